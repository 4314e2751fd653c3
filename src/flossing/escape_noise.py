"""Stochastic spikes: a probability of firing that grows with the membrane, and its declared derivative.

A neuron at distance ``x`` from threshold fires with ``probability(x)`` in one step. It does so by comparing
that probability with a uniform number that comes *with the input*, so a step of a stochastic network is a
deterministic function and its runs can be repeated bit for bit (``with_noise`` draws the numbers).

The derivative of a spike is by default the derivative of the probability (``rule="matched"``). For one neuron
that is the exact gradient of the expected spike (Gygax & Zenke 2025). With ``rule="spike_train"`` it is the
spike itself over ``width``, as in the multilayer-spiker rule of Gardner, Sporea & Gruening 2015: for an
exponential escape rate the derivative is ``probability / width``, and there the rule puts one sample for the
probability. It sees only neurons that fired. With ``rule="constant"`` it is ``1 / width`` everywhere, which
is what the same authors use for output neurons.
"""

from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._checks import check_choice, check_key, check_positive

Rule = Literal["matched", "spike_train", "constant"]
"""What stands for the derivative of a spike."""


class Noisy(NamedTuple):
    """Input of a stochastic cell; time leads in both when there are many steps."""

    input: Array
    uniform: Array
    """Numbers from [0, 1), as many as the cell's ``noise_size``."""


def with_noise(cell: Any, inputs: Float[Array, "time input"], *, key: PRNGKeyArray) -> Any:
    """``Noisy`` inputs with fresh uniform numbers, or the inputs as they are for a deterministic cell.

    Args:
        cell: any cell; ``cell.noise_size`` numbers are drawn for each step.
        inputs: shape ``(time, input_size)``.
        key: random key. Under ``jax.vmap`` a key per trial makes trials that differ.
    """
    check_key("key", key)
    if not cell.noise_size:
        return inputs
    shape = (inputs.shape[0], cell.noise_size)
    return Noisy(inputs, jax.random.uniform(key, shape, jnp.result_type(float)))


def parts(input: Any, noise_size: int) -> tuple[Array, Array | None]:
    """Input and uniform numbers, checked against what the cell needs."""
    if not noise_size:
        if isinstance(input, Noisy):
            raise TypeError("input: got uniform numbers (Noisy), but no layer is stochastic.")
        return jnp.asarray(input), None
    if not isinstance(input, Noisy):
        raise TypeError(
            f"input: a stochastic layer needs {noise_size} uniform numbers with each input; "
            "make them with escape_noise.with_noise(cell, inputs, key=key)."
        )
    if input.uniform.shape[-1] != noise_size:
        raise ValueError(
            f"input.uniform: expected {noise_size} numbers per step, got {input.uniform.shape[-1]}."
        )
    return jnp.asarray(input.input), input.uniform


@eqx.filter_custom_jvp
def _spike(x: Array, uniform: Array, noise: "EscapeNoise") -> Array:
    return (uniform < noise.probability(x)).astype(x.dtype)


@_spike.def_jvp
def _spike_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, uniform, noise = primals
    spikes = _spike(x, uniform, noise)
    if tangents[0] is None:
        return spikes, jnp.zeros_like(spikes)
    return spikes, (noise.derivative(x, spikes) * tangents[0]).astype(spikes.dtype)


class EscapeNoise(eqx.Module):
    """A probability of firing per step, as a function of the distance from threshold."""

    width: eqx.AbstractVar[float]
    rule: eqx.AbstractVar[str]

    def __call__(
        self, x: Float[Array, "*shape"], uniform: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """Spikes: 1 where ``uniform < probability(x)``, else 0."""
        return _spike(x, uniform, self)

    def probability(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Probability of a spike within one step, between 0 and 1."""
        raise NotImplementedError

    def slope(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Derivative of the probability."""
        raise NotImplementedError

    def derivative(
        self, x: Float[Array, "*shape"], spikes: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """The declared derivative of the spikes."""
        if self.rule == "matched":
            return self.slope(x)
        return (spikes if self.rule == "spike_train" else jnp.ones_like(spikes)) / self.width

    def describe(self) -> dict[str, Any]:
        """Name and numbers, to be recorded with results."""
        numbers = {k: v for k, v in vars(self).items() if not k.startswith("_")}
        return {"name": type(self).__name__, **numbers}


class Sigmoid(EscapeNoise):
    """``1 / (1 + exp(-x / width))``, a logistic function of steepness ``1 / width``.

    Args:
        width: in units of the threshold; 0.1 is a steepness (beta) of 10.
        rule: ``"matched"``, ``"spike_train"`` or ``"constant"``.
    """

    width: float
    rule: str = eqx.field(static=True)

    def __init__(self, width: float = 0.1, *, rule: Rule = "matched"):
        check_positive("width", width)
        check_choice("rule", rule, get_args(Rule))
        self.width = width
        self.rule = rule

    def probability(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Probability of a spike within one step."""
        return jax.nn.sigmoid(x / self.width)

    def slope(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """``p (1 - p) / width``."""
        p = self.probability(x)
        return p * (1 - p) / self.width


class Exponential(EscapeNoise):
    """``min(1, at_threshold exp(x / width))``, never more than 1 and never negative.

    Args:
        width: in units of the threshold.
        at_threshold: probability of firing in one step at threshold, in (0, 1].
        rule: ``"matched"``, ``"spike_train"`` or ``"constant"``.

    The slope is zero where the probability is 1. Defaults of Gygax & Zenke 2025 (hidden layer).
    """

    width: float
    at_threshold: float
    rule: str = eqx.field(static=True)

    def __init__(
        self,
        width: float = 0.133,
        *,
        at_threshold: float = 2 / 3,
        rule: Rule = "matched",
    ):
        check_positive("width", width)
        check_positive("at_threshold", at_threshold)
        if at_threshold > 1:
            raise ValueError(
                f"at_threshold: expected a probability, at most 1, got {at_threshold}."
            )
        check_choice("rule", rule, get_args(Rule))
        self.width = width
        self.at_threshold = at_threshold
        self.rule = rule

    def probability(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Probability of a spike within one step."""
        return jnp.exp(self._log(x))

    def slope(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """``p / width`` where p is below 1."""
        log = self._log(x)
        return jnp.where(log < 0, jnp.exp(log) / self.width, 0)

    def _log(self, x: Array) -> Array:
        return jnp.minimum(x / self.width + jnp.log(self.at_threshold), 0)
