"""What all surrogates share: spikes, declared derivative, primitive, normalisation."""

import contextlib
import math
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import check_choice, check_positive

_flossing = ContextVar("flossing_in_progress", default=False)


class NoSecondDerivativeWarning(UserWarning):
    """A surrogate without a useful second derivative is being flossed."""


@contextlib.contextmanager
def second_derivative_needed() -> Iterator[None]:
    """Within this context, surrogates whose derivative has no useful derivative warn when traced."""
    token = _flossing.set(True)
    try:
        yield
    finally:
        _flossing.reset(token)


@eqx.filter_custom_jvp
def _spike(x: Array, surrogate: "Surrogate") -> Array:
    x = jnp.asarray(x)
    return (x > 0).astype(x.dtype)


@_spike.def_jvp
def _spike_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, surrogate = jnp.asarray(primals[0]), primals[1]
    tangent = tangents[0]
    value = _spike(x, surrogate)
    if tangent is None:
        return value, jnp.zeros_like(value)
    return value, (surrogate.derivative(x) * tangent).astype(value.dtype)


class Surrogate(eqx.Module):
    """A Heaviside step whose derivative is declared to be ``peak * shape(sharpness * x)``.

    Calling an instance gives the spikes; ``derivative`` and ``primitive`` are the smooth counterparts.

    Args:
        sharpness: inverse width, in units of one over the argument (often written beta or g). Positive.
        peak: height of the derivative at threshold, when ``normalise`` is ``"peak"``. Positive.
        normalise: ``"peak"`` keeps ``peak``; ``"area"`` chooses the peak that makes the area one, so that
            the primitive rises from 0 to 1. Raises ``ValueError`` for shapes without a finite area.

    Subclasses provide ``_shape(u)``, ``_shape_integral(u)`` (odd, zero at zero), ``_shape_area`` and
    ``_shape_half_width``. ``sharpness`` may be an array, for example to differentiate in it.
    """

    sharpness: float | Float[Array, "..."]
    peak: float | Float[Array, "..."]
    normalise: str = eqx.field(static=True)

    _shape_area: ClassVar[float]
    _shape_half_width: ClassVar[float]
    has_second_derivative: ClassVar[bool] = True

    def __init__(
        self,
        sharpness: float | Array = 1.0,
        *,
        peak: float | Array = 1.0,
        normalise: Literal["peak", "area"] = "peak",
    ):
        check_positive("sharpness", sharpness)
        check_positive("peak", peak)
        check_choice("normalise", normalise, ("peak", "area"))
        if normalise == "area":
            if not math.isfinite(self._shape_area):
                raise ValueError(
                    f"normalise: got 'area', but {type(self).__name__} has no finite area; use 'peak'."
                )
            peak = sharpness / self._shape_area
        self.sharpness = sharpness
        self.peak = peak
        self.normalise = normalise

    @classmethod
    def from_half_width(
        cls,
        half_width: float,
        *,
        peak: float = 1.0,
        normalise: Literal["peak", "area"] = "peak",
    ) -> "Surrogate":
        """The surrogate of this shape whose derivative falls to half its peak at ``|x| = half_width``."""
        check_positive("half_width", half_width)
        if not math.isfinite(cls._shape_half_width):
            raise ValueError(f"half_width: {cls.__name__} never falls to half its peak.")
        return cls(cls._shape_half_width / half_width, peak=peak, normalise=normalise)

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Spikes: 1 where ``x > 0``, else 0, in the dtype of ``x``; differentiates as ``derivative``."""
        return _spike(x, self)

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The declared derivative at ``x``."""
        if _flossing.get() and not self.has_second_derivative:
            warnings.warn(
                f"{type(self).__name__} has no useful second derivative: the derivative that flossing "
                "differentiates is piecewise constant, so no gradient flows through it. Use a smooth "
                "surrogate such as SuperSpike, Sigmoid or Gaussian.",
                NoSecondDerivativeWarning,
                stacklevel=2,
            )
        return self.peak * self._shape(self.sharpness * x)

    def primitive(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The smooth function whose derivative is ``derivative``, equal to 1/2 at threshold.

        A network run with its primitives is differentiable, and its true gradient uses the same
        derivatives as the surrogate gradient, evaluated along another trajectory.
        """
        return 0.5 + (self.peak / self.sharpness) * self._shape_integral(self.sharpness * x)

    @property
    def area(self) -> float | Array:
        """Integral of the derivative over the real line (may be infinite)."""
        return self.peak * self._shape_area / self.sharpness

    @property
    def half_width(self) -> float | Array:
        """Distance from threshold at which the derivative has fallen to half its peak."""
        return self._shape_half_width / self.sharpness

    def scaled(self, factor: float | Float[Array, "..."]) -> "Surrogate":
        """The same spikes with a derivative that is ``factor`` times as high."""
        return eqx.tree_at(lambda s: s.peak, self, self.peak * factor)

    def describe(self) -> dict[str, Any]:
        """Everything needed to tell this surrogate from another, as plain numbers and strings.

        An infinite area or width is the string ``"infinity"``, because JSON has no such number.
        """
        return {
            "name": type(self).__name__,
            "sharpness": _plain(self.sharpness),
            "peak": _plain(self.peak),
            "half_width": _plain(self.half_width),
            "area": _plain(self.area),
            "normalise": self.normalise,
        }

    def _shape(self, u: Array) -> Array:
        raise NotImplementedError

    def _shape_integral(self, u: Array) -> Array:
        raise NotImplementedError


def _plain(value: Any) -> Any:
    value = np.asarray(value, float)
    return value.tolist() if np.isfinite(value).all() else "infinity"
