"""Delayed discrimination of frequencies: is the second of two noisy tones higher than the first?"""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_key, check_positive, check_single, settle_integers
from .losses import binary_accuracy, binary_cross_entropy
from .task import Metric, Task, Trial, refuse_other_length


@dataclasses.dataclass(frozen=True)
class FrequencyDiscrimination(Task, name="frequency-discrimination"):
    """Two sine waves, a delay between them, and the question whether the second has the higher frequency.

    A trial has a tone of ``stimulus_steps`` steps, ``delay`` steps of silence, and another tone as long:
    ``2 stimulus_steps + delay`` steps. The single input is the sine, of amplitude 1 and random phase, and
    noise at every step. The frequency of the second tone is from U(lowest, highest), and that of the first
    lies ``difference`` above or below it with equal probability. So the second tone alone says nothing about
    the answer, and a network without a memory of the first is at chance, 50 %. One that remembers the first,
    but does not compare, reaches ``1/2 + difference / (highest - lowest)`` at most. The answer is 1 if the
    second tone is higher, else 0, and is scored at the last step; targets have shape (time, 1). The loss is
    the cross-entropy of outputs as logits, in nats.

    Source: the task of Romo, Brody, Hernandez & Lemus 1999, with frequencies from a range.
    """

    delay: int = 20
    """Steps between the tones, at least 1."""
    _: dataclasses.KW_ONLY
    stimulus_steps: int = 20
    """Steps of each tone."""
    lowest: float = 0.1
    """Lowest frequency of the second tone, in cycles per step; more than ``difference``."""
    highest: float = 0.3
    """Highest frequency of the second tone, in cycles per step."""
    difference: float = 0.03
    """Difference of the two frequencies, in cycles per step; with the highest one less than a half."""
    noise: float = 0.1
    """Standard deviation of the Gaussian noise."""

    input_size = 1
    """Number of inputs: 1."""
    output_size = 1
    """Number of outputs: 1."""
    chance_loss = math.log(2)
    """Loss of the best constant output, in nats."""

    def __post_init__(self) -> None:
        settle_integers(self, delay=1, stimulus_steps=1)
        for name in ("lowest", "highest", "difference", "noise"):
            check_positive(name, getattr(self, name), zero=name == "noise")
            check_single(**{name: getattr(self, name)})
        if self.highest <= self.lowest:
            raise ValueError(
                f"highest: expected more than lowest = {self.lowest}, got {self.highest}."
            )
        room = min(self.lowest, 0.5 - self.highest)
        if self.difference >= room:
            raise ValueError(
                f"difference: expected less than {room:.3g}, so that all frequencies lie between 0 and half "
                f"a cycle per step, got {self.difference}."
            )

    @property
    def num_steps(self) -> int:
        """Steps per trial."""
        return 2 * self.stimulus_steps + self.delay

    @property
    def horizon(self) -> int:
        """Steps from the end of the first tone to the answer."""
        return self.stimulus_steps + self.delay

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial: inputs of shape (time, 1), targets (time, 1), and a mask of the last step."""
        check_key("key", key)
        refuse_other_length(num_steps, self.num_steps)
        tone_key, higher_key, phase_key, noise_key = jax.random.split(key, 4)
        second = jax.random.uniform(tone_key, (), minval=self.lowest, maxval=self.highest)
        higher = jax.random.bernoulli(higher_key)
        first = second - jnp.where(higher, self.difference, -self.difference)
        phases = jax.random.uniform(phase_key, (2, 1))
        time = jnp.arange(self.stimulus_steps)
        tones = jnp.sin(
            2 * jnp.pi * (jnp.stack([first, second])[:, None] * time[None] + phases)
        )  # fmt: skip
        shown = jnp.concatenate([tones[0], jnp.zeros(self.delay), tones[1]])
        noise = self.noise * jax.random.normal(noise_key, shown.shape)
        targets = jnp.full((self.num_steps, 1), higher.astype(float))
        return Trial((shown + noise)[:, None], targets, jnp.arange(len(shown)) == len(shown) - 1)

    def loss(self, outputs: Float[Array, "trial time 1"], trial: Trial) -> Float[Array, ""]:
        """Logistic cross-entropy of the last step, in nats."""
        return binary_cross_entropy(outputs, trial.targets, trial.mask)

    def metrics(self, outputs: Float[Array, "trial time 1"], trial: Trial) -> dict[str, Metric]:
        """The accuracy: the fraction of trials with the right answer at the last step."""
        value = binary_accuracy(outputs, trial.targets, trial.mask)
        return {"accuracy": Metric(value, chance=0.5)}

    def describe(self) -> str:
        """A few words for titles."""
        return f"frequency discrimination, delay {self.delay}"
