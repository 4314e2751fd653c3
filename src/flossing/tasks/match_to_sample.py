"""Delayed match-to-sample: is the stimulus after the delay the one that was shown before?"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_key, check_positive, check_single, settle_integers
from .losses import binary_accuracy, binary_cross_entropy
from .task import Metric, Task, Trial, refuse_other_length


@dataclasses.dataclass(frozen=True)
class MatchToSample(Task, name="match-to-sample"):
    """Delayed match-to-sample: does the test stimulus have the direction of the sample?

    The sample, the test after a delay, and the period of response after the test take ``stimulus_steps``
    each. A stimulus is the cosine and sine of one of ``num_stimuli`` directions that divide the circle
    evenly; without a stimulus both inputs are 0, and noise is added at every step. In half of the trials the
    test is the sample, in the others any other direction with the same probability. Hence neither stimulus
    alone says anything about the answer, and chance is 50 %. The delay of a trial is a random number of steps
    from ``min_delay`` to ``delay``; all trials have ``3 stimulus_steps + delay`` steps, and silence fills the
    shorter ones up. Targets are 1 for a match, else 0, shape (time, 1), and scored in the period of response.
    The loss is the cross-entropy of outputs as logits, in nats.

    Source: the task of Miller, Erickson & Desimone 1996.
    """

    delay: int = 20
    """Largest number of steps between sample and test, at least 1."""
    _: dataclasses.KW_ONLY
    min_delay: int | None = None
    """Smallest number of steps between sample and test, at least 1; ``None``: it is always ``delay``."""
    num_stimuli: int = 8
    """How many directions there are."""
    stimulus_steps: int = 3
    """Steps of the sample, of the test, and of the response."""
    noise: float = 0.1
    """Standard deviation of the Gaussian noise of both inputs."""

    input_size = 2
    """Number of inputs: cosine and sine of the direction."""
    output_size = 1
    """Number of outputs: 1."""
    chance_loss = math.log(2)
    """Loss of the best constant output, in nats."""

    def __post_init__(self) -> None:
        settle_integers(self, delay=1, num_stimuli=2, stimulus_steps=1)
        check_positive("noise", self.noise, zero=True)
        check_single(noise=self.noise)
        if self.min_delay is not None:
            settle_integers(self, min_delay=1)
            if self.min_delay > self.delay:
                raise ValueError(
                    f"min_delay: expected at most delay = {self.delay}, got {self.min_delay}."
                )

    @property
    def num_steps(self) -> int:
        """Steps per trial."""
        return 3 * self.stimulus_steps + self.delay

    @property
    def horizon(self) -> int:
        """Steps from the end of the sample to the end of the response, after the longest delay."""
        return 2 * self.stimulus_steps + self.delay

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial: inputs of shape (time, 2), targets (time, 1), and the mask of the response."""
        check_key("key", key)
        refuse_other_length(num_steps, self.num_steps)
        first_key, match_key, other_key, delay_key, noise_key = jax.random.split(key, 5)
        first = jax.random.randint(first_key, (), 0, self.num_stimuli)
        match = jax.random.bernoulli(match_key)
        turned = jax.random.randint(other_key, (), 1, self.num_stimuli)
        shortest = self.delay if self.min_delay is None else self.min_delay
        delay = jax.random.randint(delay_key, (), shortest, self.delay + 1)

        step, length = jnp.arange(self.num_steps), self.stimulus_steps
        since_test = step - length - delay
        tested = (since_test >= 0) & (since_test < length)
        noise = self.noise * jax.random.normal(noise_key, (self.num_steps, 2))
        shown = self._shown(first, step < length)
        shown += self._shown(first + jnp.where(match, 0, turned), tested)
        targets = jnp.full((self.num_steps, 1), match.astype(float))
        return Trial(shown + noise, targets, (since_test >= length) & (since_test < 2 * length))

    def _shown(self, stimulus: Array, when: Array) -> Float[Array, "time 2"]:
        """A direction by its number, at the steps when it is shown."""
        angle = 2 * jnp.pi * stimulus / self.num_stimuli
        return when[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)])[None]

    def loss(self, outputs: Float[Array, "trial time 1"], trial: Trial) -> Float[Array, ""]:
        """Mean logistic cross-entropy of the response, in nats."""
        return binary_cross_entropy(outputs, trial.targets, trial.mask)

    def metrics(self, outputs: Float[Array, "trial time 1"], trial: Trial) -> dict[str, Metric]:
        """The accuracy: the fraction of steps of the response with the right answer."""
        value = binary_accuracy(outputs, trial.targets, trial.mask)
        return {"accuracy": Metric(value, chance=0.5)}

    def describe(self) -> str:
        """A few words for titles."""
        shortest = "" if self.min_delay in (None, self.delay) else f"{self.min_delay} to "
        return f"match to sample, delay {shortest}{self.delay}"
