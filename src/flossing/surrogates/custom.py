"""Surrogate derivatives of a shape that the user gives."""

import math
import warnings
from collections.abc import Callable
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
