"""A sample of Randman, other spikes for a long time, and then the question which class it was."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import check_fraction, check_integer
from ..tasks.randman import Randman


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


class Trials(eqx.Module):
    """Trials one after the other, as input without an end for spectra and flossing."""

    times: Int[Array, "sample input"]
    task: Streaming = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time input"]:
        """Spikes of random samples and of the gaps between them, ``num_steps`` in all."""
        choice, noise = jax.random.split(key)
        count = -(-num_steps // self.task.num_steps)
        chosen = jax.random.choice(choice, len(self.times), (count,))
        rasters = jnp.moveaxis(self.task.rasters(self.times[chosen], noise), 1, 0)
        return rasters.reshape(-1, self.times.shape[1])[:num_steps]
