"""Flip-flop memory: the sign of the last pulse of each input has to be kept (Sussillo & Barak 2013)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_integer, check_key, check_positive, check_single, settle_integers
from .losses import binary_accuracy, mean_squared_error
from .task import Metric, Task, Trial


@dataclasses.dataclass(frozen=True)
class FlipFlop(Task, name="flip-flop"):
    """Each output holds the sign of the last pulse of its input, whatever the others do.

    An input is 0, but for rare pulses of +1 or -1: one at the first step, and then one per step with
    ``probability``, independently of all others. Targets are the signs of the last pulses, 1 or -1,
    shape (time, num_bits). A bit is scored at the steps at which it has no pulse, when nothing but memory
    says what it is; the mask has the shape of the targets. The loss is the mean squared error. An output of 0
    has an error of 1, and nothing does better without a memory; chance is 50 % of the signs.

    Source: the three-bit memory of Sussillo & Barak 2013.
    """

    num_steps: int = 100
    """Steps per trial, at least 2."""
    _: dataclasses.KW_ONLY
    num_bits: int = 3
    """Number of inputs, and of outputs."""
    probability: float = 0.05
    """Probability of a pulse per step and bit, more than 0 and less than 1."""

    chance_loss = 1.0
    """Variance of a sign."""

    def __post_init__(self) -> None:
        settle_integers(self, num_steps=2, num_bits=1)
        check_positive("probability", self.probability)
        check_single(probability=self.probability)
        if self.probability >= 1:
            raise ValueError(
                "probability: expected less than 1, so that there are steps without a pulse, "
                f"got {self.probability}."
            )

    @property
    def input_size(self) -> int:
        """Number of inputs: one per bit."""
        return self.num_bits

    @property
    def output_size(self) -> int:
        """Number of outputs: one per bit."""
        return self.num_bits

    @property
    def horizon(self) -> int:
        """Mean number of steps from a pulse to a scored step, in long trials: ``1 / probability``.

        Rounded, and at most ``num_steps - 1``. There is no longest time: of the scored steps,
        ``(1 - probability)^n`` ask for a pulse more than ``n`` steps ago: 5 % for three times the mean.
        """
        return round(min(1 / self.probability, self.num_steps - 1))

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial of ``num_steps`` steps: inputs, targets and mask, each of shape (time, num_bits)."""
        check_key("key", key)
        length = self.num_steps if num_steps is None else check_integer("num_steps", num_steps, 2)
        shape = (length, self.num_bits)
        pulse_key, sign_key = jax.random.split(key)
        pulses = jax.random.bernoulli(pulse_key, self.probability, shape).at[0].set(True)
        signs = jax.random.rademacher(sign_key, shape, float)
        steps = jnp.broadcast_to(jnp.arange(length)[:, None], shape)
        last = jax.lax.cummax(jnp.where(pulses, steps, 0))
        return Trial(pulses * signs, jnp.take_along_axis(signs, last, axis=0), ~pulses)

    def loss(self, outputs: Float[Array, "trial time bit"], trial: Trial) -> Float[Array, ""]:
        """Mean squared error of the scored bits; NaN if none is."""
        return mean_squared_error(outputs[..., None], trial.targets[..., None], trial.mask)

    def metrics(self, outputs: Float[Array, "trial time bit"], trial: Trial) -> dict[str, Metric]:
        """The accuracy: the fraction of scored bits with the right sign."""
        value = binary_accuracy(outputs[..., None], trial.targets[..., None], trial.mask)
        return {"accuracy": Metric(value, chance=0.5)}

    def describe(self) -> str:
        """A few words for titles."""
        bits = "1 bit" if self.num_bits == 1 else f"{self.num_bits} bits"
        return f"flip-flop of {bits}, a pulse in {1 / self.probability:.4g} steps"
