"""Escape noise: neurons that spike with a probability, and small networks of them.

A stochastic neuron of membrane potential ``u`` and threshold ``theta`` spikes with probability
``p(u - theta)``. Randomness is an input: a spike is ``uniform < p``, with a uniform number that the caller
brings, so that a network is a deterministic function of its parameters and its noise.

Source: Gygax & Zenke 2025; Gerstner, Kistler, Naud & Paninski 2014 (escape noise).
"""

import abc
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_choice, check_positive
from ..surrogates import Surrogate

Values = Float[Array, "*shape"]


class EscapeNoise(eqx.Module):
    """A spike probability as a function of the distance to threshold, and its matched derivative.

    Calling an instance with distances ``x`` and uniform numbers gives spikes, ``1`` where
    ``uniform < probability(x)``. Their declared derivative is ``slope(x)``, the derivative of the
    probability, so that noise and surrogate match; ``with_surrogate`` of ``StochasticNet`` and the
    estimator ``Surrogate`` take another.
    """

    @abc.abstractmethod
    def probability(self, x: Values) -> Values:
        """Probability of a spike, between 0 and 1 everywhere."""

    @abc.abstractmethod
    def slope(self, x: Values) -> Values:
        """Derivative of the probability."""

    def jump_up(self, x: Values) -> Values:
        """``slope / (1 - probability)``: rate at which silence turns into a spike as ``x`` grows."""
        return _ratio(self.slope(x), 1 - self.probability(x))

    def jump_down(self, x: Values) -> Values:
        """``slope / probability``: rate at which a spike turns into silence as ``x`` falls."""
        return _ratio(self.slope(x), self.probability(x))

    def __call__(self, x: Values, uniform: Values) -> Values:
        """Spikes, in the dtype of ``x``; they differentiate as ``slope(x)``."""
        return spike(x, uniform, self, self)


class SigmoidNoise(EscapeNoise):
    """``p = 1 / (1 + exp(-sharpness x))``.

    Args:
        sharpness: beta, in units of one over ``x``.

    Raises:
        ValueError, TypeError: not a positive number.
    """

    sharpness: float | Array

    def __init__(self, sharpness: float | Array = 10.0):
        check_positive("sharpness", sharpness)
        self.sharpness = sharpness

    def probability(self, x: Values) -> Values:
        """Probability of a spike, between 0 and 1."""
        return jax.nn.sigmoid(self.sharpness * x)

    def slope(self, x: Values) -> Values:
        """Derivative of the probability."""
        u = self.sharpness * x
        return self.sharpness * jax.nn.sigmoid(u) * jax.nn.sigmoid(-u)

    def jump_up(self, x: Values) -> Values:
        """``slope / (1 - probability)``."""
        return self.sharpness * jax.nn.sigmoid(self.sharpness * x)

    def jump_down(self, x: Values) -> Values:
        """``slope / probability``."""
        return self.sharpness * jax.nn.sigmoid(-self.sharpness * x)


class ExponentialNoise(EscapeNoise):
    """A spike probability that grows exponentially, ``rate exp(x / width)``, and saturates at one.

    Args:
        rate: probability at threshold, before saturation.
        width: Delta u, in units of ``x``.
        saturation: ``"clip"``: ``p = min(1, r)`` with ``r = rate exp(x / width)``, as published; its slope
            is zero where it is clipped. ``"hazard"``: ``p = 1 - exp(-r)``, the probability of at least one
            event of a Poisson process of intensity ``r`` in one step, smooth everywhere.

    The defaults are those of the hidden layers of Gygax & Zenke 2025; their output layer has width 0.013.

    Raises:
        ValueError, TypeError: numbers that are not positive, an unknown saturation.
    """

    rate: float | Array
    width: float | Array
    saturation: str = eqx.field(static=True)

    def __init__(
        self,
        rate: float | Array = 2 / 3,
        width: float | Array = 0.133,
        *,
        saturation: Literal["clip", "hazard"] = "clip",
    ):
        check_positive("rate", rate)
        check_positive("width", width)
        check_choice("saturation", saturation, ("clip", "hazard"))
        self.rate = rate
        self.width = width
        self.saturation = saturation

    def probability(self, x: Values) -> Values:
        """Probability of a spike, between 0 and 1."""
        if self.saturation == "hazard":
            return -jnp.expm1(-jnp.exp(self._log(x)))
        return jnp.exp(jnp.minimum(self._log(x), 0))

    def slope(self, x: Values) -> Values:
        """Derivative of the probability."""
        log = self._log(x)
        if self.saturation == "hazard":
            return jnp.exp(log - jnp.exp(log)) / self.width
        return jnp.where(log < 0, jnp.exp(jnp.minimum(log, 0)), 0) / self.width

    def jump_up(self, x: Values) -> Values:
        """``slope / (1 - probability)``."""
        if self.saturation == "hazard":
            return jnp.exp(self._log(x)) / self.width
        return super().jump_up(x)

    def jump_down(self, x: Values) -> Values:
        """``slope / probability``."""
        log = self._log(x)
        if self.saturation == "hazard":
            rate = jnp.exp(log)
            return jnp.where(rate < 1e-12, 1.0, _ratio(rate, jnp.expm1(rate))) / self.width
        return jnp.where(log < 0, 1 / self.width, 0).astype(log.dtype)

    def _log(self, x: Array) -> Array:
        # Far above threshold the intensity would overflow; exp(60) is as certain as infinity.
        return jnp.minimum(x / self.width + jnp.log(self.rate), 60.0)


class ShapeNoise(EscapeNoise):
    """The escape noise that belongs to a surrogate: ``p`` is its primitive, which rises from 0 to 1.

    Args:
        surrogate: of area 1, as ``SuperSpike(10, normalise="area")``.

    Raises:
        ValueError: its area is not 1, so that the primitive is no probability.
    """

    surrogate: Surrogate

    def __init__(self, surrogate: Surrogate):
        if not isinstance(surrogate, Surrogate):
            raise TypeError(f"surrogate: expected a surrogate, got {type(surrogate).__name__}.")
        area = float(jnp.max(jnp.abs(jnp.asarray(surrogate.area, float) - 1)))
        if not area < 1e-5:
            raise ValueError(
                'surrogate: expected an area of 1 (normalise="area"), so that its primitive is a '
                f"probability; got {float(jnp.max(jnp.asarray(surrogate.area))):g}."
            )
        self.surrogate = surrogate

    def probability(self, x: Values) -> Values:
        """Probability of a spike, between 0 and 1."""
        return jnp.clip(self.surrogate.primitive(x), 0, 1)

    def slope(self, x: Values) -> Values:
        """Derivative of the probability."""
        return self.surrogate.derivative(x)


class StepNoise(EscapeNoise):
    """The limit without noise: ``p`` is 1 above threshold and 0 elsewhere; its slope is 0."""

    def probability(self, x: Values) -> Values:
        """Probability of a spike, between 0 and 1."""
        return (x > 0).astype(x.dtype)

    def slope(self, x: Values) -> Values:
        """Derivative of the probability."""
        return jnp.zeros_like(x)


@eqx.filter_custom_jvp
def spike(x: Array, uniform: Array, noise: EscapeNoise, derivative: Any) -> Array:
    """Spikes ``uniform < noise.probability(x)`` whose declared derivative in ``x`` is ``derivative``'s.

    Args:
        x: distance to threshold.
        uniform: numbers in [0, 1), of the shape of ``x``.
        noise: the escape noise.
        derivative: an escape noise, whose slope is taken, or a surrogate, whose derivative is.
    """
    return (uniform < noise.probability(x)).astype(x.dtype)


@spike.def_jvp
def _spike_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, uniform, noise, derivative = primals
    value = jax.lax.stop_gradient((uniform < noise.probability(x)).astype(x.dtype))
    if tangents[0] is None:
        return value, jnp.zeros_like(value)
    slope = derivative.slope if isinstance(derivative, EscapeNoise) else derivative.derivative
    return value, (slope(x) * tangents[0]).astype(value.dtype)


def _ratio(top: Array, bottom: Array) -> Array:
    """``top / bottom``, and zero where the denominator is."""
    safe = jnp.where(bottom > 0, bottom, 1)
    return jnp.where(bottom > 0, top / safe, 0)
