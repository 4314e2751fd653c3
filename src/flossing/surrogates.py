"""Spike nonlinearities: the value of a step function with a derivative that we declare.

A spike is ``1`` where ``x > 0`` and ``0`` elsewhere. Its true derivative is zero almost everywhere, so
automatic differentiation is given another one, the *surrogate derivative*. Every surrogate here is
``peak * shape(sharpness * x)`` with ``shape(0) = 1``: the name of the class fixes the shape, and nothing
but the numbers ``sharpness`` and ``peak`` fixes height and width. Libraries disagree silently on those
(the same "arctan" has a peak of 1 in one and of 0.318 in another), so state them and record
``describe()`` with every result.

All of them work under ``jvp``, ``grad``, ``vmap``, ``jit`` and their compositions. Lyapunov exponents of
a spiking network taken through a surrogate are its *surrogate* Lyapunov exponents.

Sources: Zenke & Ganguli 2018 (SuperSpike); Esser et al. 2016 (exponential and triangular shapes);
Neftci, Mostafa & Zenke 2019 (review); Gygax & Zenke 2025 (theory).
"""

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._checks import check_choice, check_positive

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


class SuperSpike(Surrogate):
    """``peak / (sharpness |x| + 1)^2``, also called fast sigmoid (Zenke & Ganguli 2018)."""

    _shape_area = 2.0
    _shape_half_width = math.sqrt(2.0) - 1.0

    def _shape(self, u: Array) -> Array:
        return 1 / jnp.square(jnp.abs(u) + 1)

    def _shape_integral(self, u: Array) -> Array:
        return u / (jnp.abs(u) + 1)


class Sigmoid(Surrogate):
    """``peak * sech^2(sharpness x / 2)``: the derivative of a logistic function of steepness ``sharpness``.

    With ``normalise="area"`` the primitive is that logistic function and the peak is ``sharpness / 4``.
    """

    _shape_area = 4.0
    _shape_half_width = 2.0 * math.acosh(math.sqrt(2.0))

    def _shape(self, u: Array) -> Array:
        return 4 * jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)

    def _shape_integral(self, u: Array) -> Array:
        return 2 * jnp.tanh(u / 2)


class Arctan(Surrogate):
    """``peak / (1 + (sharpness x)^2)``."""

    _shape_area = math.pi
    _shape_half_width = 1.0

    def _shape(self, u: Array) -> Array:
        return 1 / (1 + jnp.square(u))

    def _shape_integral(self, u: Array) -> Array:
        return jnp.arctan(u)


class Triangular(Surrogate):
    """``peak * max(0, 1 - sharpness |x|)`` (Esser et al. 2016; Bellec et al. 2018)."""

    _shape_area = 1.0
    _shape_half_width = 0.5

    def _shape(self, u: Array) -> Array:
        return jnp.maximum(0, 1 - jnp.abs(u))

    def _shape_integral(self, u: Array) -> Array:
        u = jnp.clip(u, -1, 1)
        return u - u * jnp.abs(u) / 2


class Gaussian(Surrogate):
    """``peak * exp(-(sharpness x)^2 / 2)``: a Gaussian of standard deviation ``1 / sharpness``."""

    _shape_area = math.sqrt(2.0 * math.pi)
    _shape_half_width = math.sqrt(2.0 * math.log(2.0))

    def _shape(self, u: Array) -> Array:
        return jnp.exp(-jnp.square(u) / 2)

    def _shape_integral(self, u: Array) -> Array:
        return math.sqrt(math.pi / 2) * jax.scipy.special.erf(u / math.sqrt(2))


class Erf(Surrogate):
    """``peak * exp(-(sharpness x)^2)``: the derivative of an error function of ``sharpness x``."""

    _shape_area = math.sqrt(math.pi)
    _shape_half_width = math.sqrt(math.log(2.0))

    def _shape(self, u: Array) -> Array:
        return jnp.exp(-jnp.square(u))

    def _shape_integral(self, u: Array) -> Array:
        return (math.sqrt(math.pi) / 2) * jax.scipy.special.erf(u)


class Exponential(Surrogate):
    """``peak * exp(-sharpness |x|)`` (the shape of Shrestha & Orchard 2018)."""

    _shape_area = 2.0
    _shape_half_width = math.log(2.0)

    def _shape(self, u: Array) -> Array:
        return jnp.exp(-jnp.abs(u))

    def _shape_integral(self, u: Array) -> Array:
        # abs and sign have a derivative of zero at zero, where this one must be 1.
        below = u < 0
        rise = jnp.expm1(jnp.where(below, u, -u))
        return jnp.where(below, rise, -rise)


class Boxcar(Surrogate):
    """``peak`` where ``|x| < 1 / (2 sharpness)``, else 0. Cannot be flossed usefully: it warns."""

    _shape_area = 1.0
    _shape_half_width = 0.5
    has_second_derivative = False

    def _shape(self, u: Array) -> Array:
        return (jnp.abs(u) < 0.5).astype(u.dtype)

    def _shape_integral(self, u: Array) -> Array:
        return jnp.clip(u, -0.5, 0.5)


class StraightThrough(Surrogate):
    """``peak`` everywhere (Bengio et al. 2013). Cannot be flossed usefully: it warns."""

    _shape_area = math.inf
    _shape_half_width = math.inf
    has_second_derivative = False

    def __init__(self, *, peak: float | Array = 1.0):
        super().__init__(1.0, peak=peak)

    def _shape(self, u: Array) -> Array:
        return jnp.ones_like(u)

    def _shape_integral(self, u: Array) -> Array:
        return u


class Custom(Surrogate):
    """A user's own shape: ``peak * shape(sharpness * x)``.

    Args:
        shape: elementwise JAX function, non-negative, with ``shape(0) = 1``.
        integral: its integral from 0 to ``u``, elementwise, so 0 at 0; it must agree with ``shape``.
            Without it the primitive is computed by Gauss-Legendre quadrature with 64 nodes, which is
            accurate for smooth shapes while ``|sharpness * x|`` is below about 50.
        sharpness, peak, normalise: as for every surrogate.

    Raises:
        ValueError: ``shape(0)`` is not 1, ``shape`` is negative somewhere or ``integral`` disagrees with it.
    """

    shape: Callable[[Array], Array] = eqx.field(static=True)
    integral: Callable[[Array], Array] | None = eqx.field(static=True)
    _area: float = eqx.field(static=True)
    _half: float = eqx.field(static=True)

    def __init__(
        self,
        shape: Callable[[Array], Array],
        integral: Callable[[Array], Array] | None = None,
        *,
        sharpness: float | Array = 1.0,
        peak: float | Array = 1.0,
        normalise: Literal["peak", "area"] = "peak",
    ):
        self.shape = shape
        self.integral = integral
        self._area, self._half = _measure_shape(shape, integral)
        super().__init__(sharpness, peak=peak, normalise=normalise)

    @classmethod
    def from_half_width(cls, *args: Any, **kwargs: Any) -> "Surrogate":
        """Not for a custom shape, which has to be given."""
        raise TypeError(
            "from_half_width: not for Custom; use "
            "Custom(shape, sharpness=Custom(shape).half_width / half_width)."
        )

    @property
    def _shape_area(self) -> float:
        return self._area

    @property
    def _shape_half_width(self) -> float:
        return self._half

    def _shape(self, u: Array) -> Array:
        return self.shape(u)

    def _shape_integral(self, u: Array) -> Array:
        if self.integral is not None:
            return self.integral(u)
        return _integrate(u, self.shape)


@eqx.filter_custom_jvp
def _integrate(u: Array, shape: Callable[[Array], Array]) -> Array:
    nodes, weights = np.polynomial.legendre.leggauss(64)
    points = jnp.multiply.outer(u, jnp.asarray((nodes + 1) / 2, u.dtype))
    return u * (shape(points) @ jnp.asarray(weights / 2, u.dtype))


@_integrate.def_jvp
def _integrate_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    u, shape = primals
    tangent = jnp.zeros_like(u) if tangents[0] is None else tangents[0]
    return _integrate(u, shape), shape(u) * tangent


def _measure_shape(shape: Callable, integral: Callable | None) -> tuple[float, float]:
    """Area and half width of a user's shape, after checking what can be checked."""
    from scipy import integrate, optimize

    def value(u: float) -> float:
        return float(shape(jnp.asarray(u, dtype=jnp.result_type(float))))

    if abs(value(0.0) - 1) > 1e-5:
        raise ValueError(f"shape: shape(0) must be 1, got {value(0.0):g}.")
    grid = jnp.concatenate([-jnp.geomspace(1e-3, 1e3, 61)[::-1], jnp.geomspace(1e-3, 1e3, 61)])
    values = np.asarray(shape(grid))
    if values.shape != grid.shape:
        raise ValueError(
            f"shape: must be elementwise, gave shape {values.shape} for an input of shape {grid.shape}."
        )
    if not (values >= 0).all():
        worst = int(np.argmin(values))
        raise ValueError(
            f"shape: must not be negative or NaN, got {values[worst]:g} at u = {grid[worst]:g}."
        )
    if integral is not None:
        start = float(integral(jnp.zeros(())))
        if not abs(start) <= 1e-5:
            raise ValueError(f"integral: must be 0 at u = 0, got {start:g}.")
        points = jnp.asarray([-1.7, -0.3, 0.4, 2.1])
        slopes = jax.vmap(jax.grad(integral))(points)
        if not np.allclose(slopes, shape(points), atol=1e-4):
            raise ValueError(
                f"integral: its derivative must be shape; at u = {points.tolist()} it is "
                f"{np.round(slopes, 4).tolist()}, shape is {np.round(shape(points), 4).tolist()}."
            )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", integrate.IntegrationWarning)
        area = sum(integrate.quad(value, *bounds)[0] for bounds in [(-math.inf, 0), (0, math.inf)])
    # Quadrature returns some number for a tail of 1/u or above; there u * shape(u) does not fall.
    near, far = (u * np.asarray(shape(jnp.asarray([-u, u]))) for u in (1e6, 1e12))
    if ((far > 0) & (far > 0.99 * near)).any():
        area = math.inf
    above = np.asarray(shape(jnp.geomspace(1e-3, 1e3, 241))) > 0.5
    if above.all():
        return area, math.inf
    upper = float(np.geomspace(1e-3, 1e3, 241)[int(np.argmin(above))])
    half: Any = optimize.bisect(lambda u: value(u) - 0.5, 0.0, upper, xtol=1e-7)
    return area, float(half)
