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

from .._checks import check_choice, check_instance, positive_parameter, real_array
from .._choices import spelled

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

    Subclasses provide ``_shape(u)``, ``_shape_integral(u)`` (zero at zero, odd if the shape is even),
    ``_shape_area``, ``_shape_half_width`` and, where the area is finite, an exact ``_shape_tail(u)`` too.
    ``sharpness`` may be an array, for example to differentiate in it.
    """

    sharpness: float | Float[Array, "..."]
    peak: float | Float[Array, "..."]
    normalise: str = eqx.field(static=True)

    _shape_area: ClassVar[float]
    _shape_half_width: ClassVar[float]
    has_second_derivative: ClassVar[bool] = True

    @property
    def is_even(self) -> bool:
        """Whether the derivative is the same on both sides of threshold."""
        return True

    def __init__(
        self,
        sharpness: float | Array = 1.0,
        *,
        peak: float | Array = 1.0,
        normalise: Literal["peak", "area"] = "peak",
    ):
        if type(self) is Surrogate:
            raise TypeError(
                "Surrogate: has no shape; use one of its kinds, such as SuperSpike(10.0)."
            )
        sharpness = positive_parameter("sharpness", sharpness)
        peak = positive_parameter("peak", peak)
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
        width = positive_parameter("half_width", half_width)
        if not math.isfinite(cls._shape_half_width):
            raise ValueError(f"half_width: {cls.__name__} never falls to half its peak.")
        return cls(cls._shape_half_width / width, peak=peak, normalise=normalise)

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Spikes: 1 where ``x > 0``, else 0, in the dtype of ``x``; differentiates as ``derivative``.

        Integers and booleans give spikes of the default precision, here and in the other methods.
        """
        return _spike(real_array("x", x), self)

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
        x, dtype = self._wide(x)
        return _as(dtype, self.peak * self._shape(self.sharpness * x))

    def primitive(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The smooth function whose derivative is ``derivative``, equal to 1/2 at threshold.

        A network run with its primitives is differentiable, and its true gradient uses the same
        derivatives as the surrogate gradient, evaluated along another trajectory.
        """
        x, dtype = self._wide(x)
        rise = (self.peak / self.sharpness) * self._shape_integral(self._finite(self.sharpness * x))
        return _as(dtype, 0.5 + rise)

    def tail(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Integral of the derivative from ``|x|`` to infinity, however small (shapes that are even)."""
        x, dtype = self._wide(x)
        u = self._finite(self.sharpness * jnp.abs(x))
        return _as(dtype, (self.peak / self.sharpness) * self._shape_tail(u))

    def _wide(self, x: Any) -> tuple[Array, Any]:
        """``x`` in single precision at least, and the precision of the result.

        In half precision ``sharpness x`` and its square overflow at 65504, near threshold already.
        """
        x = real_array("x", x)
        return _as(jnp.promote_types(x.dtype, jnp.float32), x), jnp.result_type(
            x, self.sharpness, self.peak
        )

    @staticmethod
    def _finite(u: Array) -> Array:
        """``u`` without infinities, of which an integral would make NaN."""
        limit = jnp.finfo(u.dtype).max / 4
        return jnp.clip(u, -limit, limit)

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
        factor = positive_parameter("factor", factor, zero=True)
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

    def _shape_tail(self, u: Array) -> Array:
        """The integral from ``u >= 0`` to infinity, exact where that of the whole shape would hide it."""
        return self._shape_area / 2 - self._shape_integral(u)


def by_name() -> dict[str, type[Surrogate]]:
    """Surrogates made from a sharpness, by name (``super-spike`` for ``SuperSpike``); users' own, too."""
    return {
        spelled(kind.__name__): kind
        for kind in Surrogate.__subclasses__()
        if not (kind.__name__.startswith("_") or "__init__" in vars(kind))
    }


def check_surrogate(name: str, value: Any) -> None:
    """Raises ``TypeError`` unless ``value`` is a surrogate, and says what to write for what came instead."""
    wanted = "a surrogate such as fl.surrogates.SuperSpike(10.0)"
    if not isinstance(value, Surrogate | type | eqx.Module) and callable(value):
        label = getattr(value, "__name__", type(value).__name__)
        raise TypeError(
            f"{name}: expected {wanted}, got the function {label}; "
            "for a derivative of another shape write fl.surrogates.Custom(shape)."
        )
    if value is Surrogate:
        raise TypeError(f"{name}: expected {wanted}, got the class of all surrogates.")
    check_instance(name, value, Surrogate, wanted)


def _as(dtype: Any, x: Array) -> Array:
    return x if x.dtype == dtype else x.astype(dtype)


def _plain(value: Any) -> Any:
    value = np.asarray(value, float)
    return value.tolist() if np.isfinite(value).all() else "infinity"
