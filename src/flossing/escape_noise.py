"""Stochastic spikes: a probability of firing that grows with the membrane, and its declared derivative.

A neuron at distance ``x`` from threshold fires with ``probability(x)`` in one step. It does so by comparing
that probability with a uniform number that comes *with the input*, so a step of a stochastic network is a
deterministic function and its runs can be repeated bit for bit (``with_noise`` draws the numbers).

The derivative of a spike is by default ``slope``, the derivative of the probability (``rule="matched"``).
For one neuron that is the exact gradient of the expected spike (Gygax & Zenke 2025). With
``rule="spike_train"`` it is the spike itself over ``width``, as in the multilayer-spiker rule of Gardner,
Sporea & Gruening 2015: for an exponential escape rate the derivative is ``probability / width``, and there
the rule puts one sample for the probability. It sees only neurons that fired. With ``rule="constant"`` it
is ``1 / width`` everywhere, which is what the same authors use for output neurons.

Escape noise: Gerstner, Kistler, Naud & Paninski 2014.
"""

import abc
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._checks import check_choice, positive_parameter, real_array
from ._noisy import Noisy as Noisy, parts as parts, with_noise as with_noise
from .surrogates import Surrogate, check_surrogate

Values = Float[Array, "*shape"]
Rule = Literal["matched", "spike_train", "constant"]
"""What stands for the derivative of a spike."""


class EscapeNoise(eqx.Module):
    """A probability of firing per step, as a function of the distance from threshold.

    Calling an instance with distances and uniform numbers gives spikes; ``rule`` says what their declared
    derivative is.
    """

    width: eqx.AbstractVar[Any]
    """Scale of ``x``, for the rules other than ``"matched"``."""
    rule: eqx.AbstractVar[str]

    @abc.abstractmethod
    def probability(self, x: Values) -> Values:
        """Probability of a spike within one step, between 0 and 1 everywhere."""

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
        """Spikes: 1 where ``uniform < probability(x)``, else 0, in the dtype of ``x``."""
        return spike(real_array("x", x), uniform, self, self)

    def derivative(self, x: Values, spikes: Values) -> Values:
        """The declared derivative of the spikes."""
        if self.rule == "matched":
            return self.slope(x)
        return (spikes if self.rule == "spike_train" else jnp.ones_like(spikes)) / self.width

    def describe(self) -> dict[str, Any]:
        """Name and numbers, to be recorded with results."""
        numbers = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return {"name": type(self).__name__, **numbers}


class SigmoidNoise(EscapeNoise):
    """``p = 1 / (1 + exp(-sharpness x))``.

    Args:
        sharpness: beta, in units of one over ``x``.
        rule: ``"matched"``, ``"spike_train"`` or ``"constant"``.

    Raises:
        ValueError, TypeError: not a positive number, an unknown rule.
    """

    sharpness: float | Array
    rule: str = eqx.field(static=True)

    def __init__(self, sharpness: float | Array = 10.0, *, rule: Rule = "matched"):
        self.sharpness = positive_parameter("sharpness", sharpness)
        check_choice("rule", rule, get_args(Rule))
        self.rule = rule

    @property
    def width(self) -> Any:
        """``1 / sharpness``."""
        return 1 / self.sharpness

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
        rule: ``"matched"``, ``"spike_train"`` or ``"constant"``.

    The defaults are those of the hidden layers of Gygax & Zenke 2025; their output layer has width 0.013.

    Raises:
        ValueError, TypeError: numbers that are not positive, an unknown saturation or rule.
    """

    rate: float | Array
    width: float | Array
    saturation: str = eqx.field(static=True)
    rule: str = eqx.field(static=True)

    def __init__(
        self,
        rate: float | Array = 2 / 3,
        width: float | Array = 0.133,
        *,
        saturation: Literal["clip", "hazard"] = "clip",
        rule: Rule = "matched",
    ):
        self.rate = positive_parameter("rate", rate)
        self.width = positive_parameter("width", width)
        check_choice("saturation", saturation, ("clip", "hazard"))
        check_choice("rule", rule, get_args(Rule))
        self.saturation = saturation
        self.rule = rule

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
        # 1 - p just below saturation, where p itself rounds to 1.
        return _ratio(self.slope(x), -jnp.expm1(jnp.minimum(self._log(x), 0)))

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
        ValueError: its area is not 1, or its shape not even, so that the primitive is no probability.
    """

    surrogate: Surrogate
    rule: str = eqx.field(static=True, default="matched")

    def __init__(self, surrogate: Surrogate):
        check_surrogate("surrogate", surrogate)
        area = float(jnp.max(jnp.abs(jnp.asarray(surrogate.area, float) - 1)))
        if not area < 1e-5:
            raise ValueError(
                'surrogate: expected an area of 1 (normalise="area"), so that its primitive is a '
                f"probability; got {float(jnp.max(jnp.asarray(surrogate.area))):g}."
            )
        if not surrogate.is_even:
            raise ValueError(
                "surrogate: expected a shape with shape(-u) = shape(u), so that its primitive goes "
                "from 0 to 1."
            )
        self.surrogate = surrogate
        self.rule = "matched"

    @property
    def width(self) -> Any:
        """``1 / peak`` of the surrogate."""
        return 1 / self.surrogate.peak

    def probability(self, x: Values) -> Values:
        """Probability of a spike, between 0 and 1."""
        # Not 1/2 plus an integral: far below threshold that is 1/2 minus nearly 1/2.
        tail = jnp.clip(self.surrogate.tail(x), 0, 1)
        return jnp.where(x < 0, tail, 1 - tail)

    def slope(self, x: Values) -> Values:
        """Derivative of the probability."""
        return self.surrogate.derivative(x)

    def jump_up(self, x: Values) -> Values:
        """``slope / (1 - probability)``."""
        return _ratio(self.slope(x), self.probability(-x))


class StepNoise(EscapeNoise):
    """The limit without noise: ``p`` is 1 above threshold and 0 elsewhere; its slope is 0."""

    rule: str = eqx.field(static=True, default="matched")

    @property
    def width(self) -> Any:
        """Zero."""
        return 0.0

    def probability(self, x: Values) -> Values:
        """Probability of a spike, between 0 and 1."""
        x = real_array("x", x)
        return (x > 0).astype(x.dtype)

    def slope(self, x: Values) -> Values:
        """Derivative of the probability."""
        return jnp.zeros_like(real_array("x", x))


@eqx.filter_custom_jvp
def spike(x: Array, uniform: Array, noise: EscapeNoise, derivative: Any) -> Array:
    """Spikes ``uniform < noise.probability(x)`` whose declared derivative in ``x`` is ``derivative``'s.

    Args:
        x: distance to threshold.
        uniform: numbers in [0, 1), of the shape of ``x``.
        noise: the escape noise.
        derivative: an escape noise or a surrogate.
    """
    return (uniform < noise.probability(x)).astype(x.dtype)


@spike.def_jvp
def _spike_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, uniform, noise, derivative = primals
    spikes = jax.lax.stop_gradient((uniform < noise.probability(x)).astype(x.dtype))
    if tangents[0] is None:
        return spikes, jnp.zeros_like(spikes)
    if isinstance(derivative, EscapeNoise):
        declared = derivative.derivative(x, spikes)
    else:
        declared = derivative.derivative(x)
    return spikes, (declared * tangents[0]).astype(spikes.dtype)


def _ratio(top: Array, bottom: Array) -> Array:
    """``top / bottom``, and zero where the denominator is."""
    safe = jnp.where(bottom > 0, bottom, 1)
    return jnp.where(bottom > 0, top / safe, 0)
