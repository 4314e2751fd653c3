"""Surrogate derivatives of a shape that the user gives."""

import math
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ._base import Surrogate


class Custom(Surrogate):
    """A user's own shape: ``peak * shape(sharpness * x)``.

    Args:
        shape: elementwise JAX function, non-negative, with ``shape(0) = 1``.
        integral: its integral from 0 to ``u``, elementwise, so 0 at 0; it must agree with ``shape``.
            Without it the primitive is computed by quadrature, which is accurate for smooth shapes
            whose width in ``u`` is of order one, however large ``|sharpness * x|`` is.
        sharpness, peak, normalise: as for every surrogate.

    Raises:
        TypeError: ``shape`` or ``integral`` is no function that JAX can trace (``numpy`` in place of
            ``jax.numpy``).
        ValueError: ``shape(0)`` is not 1, ``shape`` is negative somewhere or ``integral`` disagrees with it.
    """

    shape: Callable[[Array], Array] = eqx.field(static=True)
    integral: Callable[[Array], Array] | None = eqx.field(static=True)
    _area: float = eqx.field(static=True)
    _half: float = eqx.field(static=True)
    _even: bool = eqx.field(static=True)

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
        self._area, self._half, self._even = _measure_shape(shape, integral)
        super().__init__(sharpness, peak=peak, normalise=normalise)

    @classmethod
    def from_half_width(cls, *args: Any, **kwargs: Any) -> "Surrogate":
        """Not for a custom shape, which has to be given."""
        raise TypeError(
            "from_half_width: not for Custom; use "
            "Custom(shape, sharpness=Custom(shape).half_width / half_width)."
        )

    @property
    def is_even(self) -> bool:
        """Whether the shape is the same on both sides of zero."""
        return self._even

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
    # u = sinh(t): equal steps of t resolve the shape near zero and a tail over many decades alike.
    nodes, weights = np.polynomial.legendre.leggauss(256)
    way = jnp.arcsinh(u)
    t = jnp.multiply.outer(way, jnp.asarray((nodes + 1) / 2, u.dtype))
    return way * ((shape(jnp.sinh(t)) * jnp.cosh(t)) @ jnp.asarray(weights / 2, u.dtype))


@_integrate.def_jvp
def _integrate_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    u, shape = primals
    tangent = jnp.zeros_like(u) if tangents[0] is None else tangents[0]
    return _integrate(u, shape), shape(u) * tangent


def _measure_shape(shape: Any, integral: Any) -> tuple[float, float, bool]:
    """Area and half width of a user's shape, and whether it is even, after checking what can be checked."""
    from scipy import integrate, optimize

    _check_traceable("shape", shape)
    shape = jax.jit(shape)

    def value(u: float) -> float:
        return float(shape(jnp.asarray(u, dtype=jnp.result_type(float))))

    def scaled(unit: float, u: float) -> float:
        return value(unit * u)

    if abs(value(0.0) - 1) > 1e-5:
        raise ValueError(f"shape: shape(0) must be 1, got {value(0.0):g}.")
    right = jnp.geomspace(1e-3, 1e3, 61)
    grid = jnp.concatenate([-right[::-1], right])
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
        _check_integral(shape, integral)
    # A decade at a time: over the whole line quadrature misses a narrow or a wide shape and returns 0.
    pieces = [(1e-12, 0, 1), *((10.0**k, 1, 10) for k in range(-12, 12)), (1e12, 1, math.inf)]
    error = 1e-9 + 10 * float(jnp.finfo(jnp.result_type(float)).eps)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", integrate.IntegrationWarning)
        area = sum(
            unit
            * integrate.quad(
                partial(scaled, side * unit), *ends, epsabs=1e-10 / unit, epsrel=error
            )[0]
            for unit, *ends in pieces
            for side in (-1, 1)
        )
    # Quadrature returns some number for a tail of 1/u or above; there u * shape(u) does not fall.
    near, far = (u * np.asarray(shape(jnp.asarray([-u, u]))) for u in (1e6, 1e12))
    if ((far > 0) & (far > 0.99 * near)).any():
        area = math.inf
    even = bool(np.allclose(values, values[::-1], rtol=1e-3))
    ends = np.geomspace(1e-12, 1e12, 961)
    above = np.asarray(shape(jnp.asarray(ends))) > 0.5
    if above.all():
        return area, math.inf, even
    upper = int(np.argmin(above))
    lower = ends[upper - 1] if upper else 0.0
    half: Any = optimize.bisect(
        lambda u: value(u) - 0.5, lower, ends[upper], xtol=1e-7 * ends[upper]
    )
    return area, float(half), even


def _check_traceable(name: str, function: Any) -> None:
    if not callable(function):
        raise TypeError(
            f"{name}: expected a function of an array, got {function!r} ({type(function).__name__})."
        )
    try:
        jax.eval_shape(lambda u: function(u), jnp.zeros(2))
    except jax.errors.TracerArrayConversionError:
        raise TypeError(
            f"{name}: expected a function that JAX can trace; write it with jax.numpy, not numpy."
        ) from None


def _check_integral(shape: Callable, integral: Any) -> None:
    _check_traceable("integral", integral)
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
