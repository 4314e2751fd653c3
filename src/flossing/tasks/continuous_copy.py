"""Continuous copy: numbers are shown once and have to be reproduced in order after a delay."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_key, check_positive, check_single, settle_integers
from .losses import mean_squared_error
from .task import Metric, Task, Trial, refuse_other_length


@dataclasses.dataclass(frozen=True)
class ContinuousCopy(Task, name="continuous-copy"):
    """Delayed recall of ``num_values`` numbers from U(-1, 1), each of which is shown for one step.

    A trial has the numbers, ``delay`` steps without any, one step with the cue, and as many steps of recall
    as numbers: ``2 num_values + delay + 1`` steps. The first input is the number, and distractors where there
    is none; the second is 1 at the step of the cue, else 0. Every step after the cue asks for one number, in
    the order in which they were shown. Targets have shape (time, 1) and are 0 where the mask is false. The
    loss is the mean squared error of the steps of recall. An output of 0 has an error of 1/3 in the mean, and
    nothing does better without a memory.

    Source: the layout is that of the copying problem in Arjovsky, Shah & Bengio 2016, with numbers in place
    of symbols; there, nothing is shown during the delay, which is the default here.
    """

    delay: int = 20
    """Steps between the last number and the cue, at least 1."""
    _: dataclasses.KW_ONLY
    num_values: int = 3
    """How many numbers have to be kept."""
    noise: float = 0.0
    """Standard deviation of the distractors, which are Gaussian and stand where no number is shown."""

    input_size = 2
    """Number of inputs: the number and the cue."""
    output_size = 1
    """Number of outputs: 1."""
    chance_loss = 1 / 3
    """Variance of a number from U(-1, 1)."""

    def __post_init__(self) -> None:
        settle_integers(self, delay=1, num_values=1)
        check_positive("noise", self.noise, zero=True)
        check_single(noise=self.noise)

    @property
    def num_steps(self) -> int:
        """Steps per trial."""
        return self.horizon + self.num_values

    @property
    def horizon(self) -> int:
        """Steps from a number to its recall."""
        return self.num_values + self.delay + 1

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial: inputs of shape (time, 2), targets (time, 1), and the mask of the steps of recall."""
        check_key("key", key)
        refuse_other_length(num_steps, self.num_steps)
        value_key, noise_key = jax.random.split(key)
        values = jax.random.uniform(value_key, (self.num_values,), minval=-1, maxval=1)
        distractors = self.noise * jax.random.normal(noise_key, (self.num_steps,))
        step = jnp.arange(self.num_steps)
        cue = (step == self.horizon - 1).astype(float)
        inputs = jnp.stack([distractors.at[: self.num_values].set(values), cue], axis=-1)
        targets = jnp.zeros((self.num_steps, 1)).at[self.horizon :, 0].set(values)
        return Trial(inputs, targets, step >= self.horizon)

    def loss(self, outputs: Float[Array, "trial time 1"], trial: Trial) -> Float[Array, ""]:
        """Mean squared error of the steps of recall."""
        return mean_squared_error(outputs, trial.targets, trial.mask)

    def metrics(self, outputs: Float[Array, "trial time 1"], trial: Trial) -> dict[str, Metric]:
        """The mean squared error."""
        value = self.loss(outputs, trial)
        return {"error": Metric(value, higher_is_better=False, chance=self.chance_loss)}

    def describe(self) -> str:
        """A few words for titles."""
        numbers = "1 number" if self.num_values == 1 else f"{self.num_values} numbers"
        return f"continuous copy of {numbers}, delay {self.delay}"
