"""A sample of Randman, other spikes for a long time, and then the question which class it was."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from ..._checks import check_fraction, check_integer
from ...tasks import Randman, Trial
from ...tasks.randman import SpikeTimes
from ..lab.small_classifier import Samples


@dataclasses.dataclass(frozen=True)
class Streaming:
    """Trials in which a class is shown first, and asked for last.

    Every input spikes once while the sample lasts. In the ``gap`` behind it and while the answer is
    read, inputs fire at random, with nothing in their spikes about the class: it has to be kept by the
    network, and gradients have to cross the gap.
    """

    randman: Randman
    gap: int = 60
    """Steps between sample and answer."""
    answer: int = 10
    """Steps at the end over which readouts are averaged."""
    background: float = 0.02
    """Spikes per input and step after the sample, at random."""

    def __post_init__(self) -> None:
        check_integer("gap", self.gap, 0)
        check_integer("answer", self.answer, 1)
        check_fraction("background", self.background)

    @property
    def num_steps(self) -> int:
        """Of a trial."""
        return self.randman.num_steps + self.gap + self.answer

    def rasters(
        self, times: Int[Array, "trial input"], key: PRNGKeyArray
    ) -> Float[Array, "time trial input"]:
        """Spikes, 0 or 1, with fresh ones after the samples."""
        shown = jax.nn.one_hot(times, self.num_steps, axis=0)
        noise = jax.random.bernoulli(key, self.background, shown.shape).astype(shown.dtype)
        return shown.at[self.randman.num_steps :].set(noise[self.randman.num_steps :])

    def logits(self, readouts: Float[Array, "time trial class"]) -> Float[Array, "trial class"]:
        """Means of readouts over the answer."""
        return readouts[-self.answer :].mean(0)


def stream(
    times: Int[Array, "sample input"], task: Streaming, key: PRNGKeyArray, length: int
) -> Float[Array, "time input"]:
    """Trials of random samples one after the other, ``length`` steps in all."""
    choice, noise = jax.random.split(key)
    chosen = jax.random.choice(choice, len(times), (-(-length // task.num_steps),))
    rasters = jnp.moveaxis(task.rasters(times[chosen], noise), 1, 0)
    return rasters.reshape(-1, times.shape[1])[:length]


class Trials(Samples):
    """The task of one data set, with a given order."""

    noise: Key[Array, " update_or_test"]
    """Of the background in each update, and in the test."""
    task: Streaming = eqx.field(static=True)

    def trials(self, part: SpikeTimes, number: Array | int | None) -> Trial:
        """Rasters with the background of that update, or of the test."""
        noise = self.noise[-1 if number is None else number]
        return Trial(jnp.swapaxes(self.task.rasters(part.times, noise), 0, 1), part.labels)

    def logits(self, values: Float[Array, "trial time class"]) -> Float[Array, "trial class"]:
        """Means of readouts over the answer."""
        return self.task.logits(jnp.swapaxes(values, 0, 1))

    def penalty(self, spikes: Float[Array, "trial time neuron"]) -> Float[Array, ""]:
        """On high rates in a layer."""
        return self.schedule.on_rates(spikes)
