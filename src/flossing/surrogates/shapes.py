"""The shapes of surrogate derivatives that come with the library."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._base import Surrogate


class SuperSpike(Surrogate):
    """``peak / (sharpness |x| + 1)^2``, also called fast sigmoid (Zenke & Ganguli 2018)."""

    _shape_area = 2.0
    _shape_half_width = math.sqrt(2.0) - 1.0

    def _shape(self, u: Array) -> Array:
        return 1 / jnp.square(jnp.abs(u) + 1)

    def _shape_integral(self, u: Array) -> Array:
        return u / (jnp.abs(u) + 1)

    def _shape_tail(self, u: Array) -> Array:
        return 1 / (1 + u)


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

    def _shape_tail(self, u: Array) -> Array:
        return 4 * jax.nn.sigmoid(-u)


class Arctan(Surrogate):
    """``peak / (1 + (sharpness x)^2)``."""

    _shape_area = math.pi
    _shape_half_width = 1.0

    def _shape(self, u: Array) -> Array:
        return 1 / (1 + jnp.square(u))

    def _shape_integral(self, u: Array) -> Array:
        return jnp.arctan(u)

    def _shape_tail(self, u: Array) -> Array:
        return jnp.arctan2(1, u)


class Triangular(Surrogate):
    """``peak * max(0, 1 - sharpness |x|)`` (Esser et al. 2016; Bellec et al. 2018)."""

    _shape_area = 1.0
    _shape_half_width = 0.5

    def _shape(self, u: Array) -> Array:
        return jnp.maximum(0, 1 - jnp.abs(u))

    def _shape_integral(self, u: Array) -> Array:
        u = jnp.clip(u, -1, 1)
        return u - u * jnp.abs(u) / 2

    def _shape_tail(self, u: Array) -> Array:
        return jnp.square(jnp.maximum(0, 1 - u)) / 2


class Gaussian(Surrogate):
    """``peak * exp(-(sharpness x)^2 / 2)``: a Gaussian of standard deviation ``1 / sharpness``."""

    _shape_area = math.sqrt(2.0 * math.pi)
    _shape_half_width = math.sqrt(2.0 * math.log(2.0))

    def _shape(self, u: Array) -> Array:
        return jnp.exp(-jnp.square(u) / 2)

    def _shape_integral(self, u: Array) -> Array:
        return math.sqrt(math.pi / 2) * jax.scipy.special.erf(u / math.sqrt(2))

    def _shape_tail(self, u: Array) -> Array:
        return math.sqrt(math.pi / 2) * jax.scipy.special.erfc(u / math.sqrt(2))


class Erf(Surrogate):
    """``peak * exp(-(sharpness x)^2)``: the derivative of an error function of ``sharpness x``."""

    _shape_area = math.sqrt(math.pi)
    _shape_half_width = math.sqrt(math.log(2.0))

    def _shape(self, u: Array) -> Array:
        return jnp.exp(-jnp.square(u))

    def _shape_integral(self, u: Array) -> Array:
        return (math.sqrt(math.pi) / 2) * jax.scipy.special.erf(u)

    def _shape_tail(self, u: Array) -> Array:
        return (math.sqrt(math.pi) / 2) * jax.scipy.special.erfc(u)


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

    def _shape_tail(self, u: Array) -> Array:
        return jnp.exp(-u)


class Boxcar(Surrogate):
    """``peak`` where ``|x| < 1 / (2 sharpness)``, else 0. Cannot be flossed usefully: it warns."""

    _shape_area = 1.0
    _shape_half_width = 0.5
    has_second_derivative = False

    def _shape(self, u: Array) -> Array:
        return (jnp.abs(u) < 0.5).astype(u.dtype)

    def _shape_integral(self, u: Array) -> Array:
        return jnp.clip(u, -0.5, 0.5)

    def _shape_tail(self, u: Array) -> Array:
        return jnp.maximum(0, 0.5 - u)


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
