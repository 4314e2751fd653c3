"""A sample of Randman, other spikes for a long time, and then the question which class it was."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray

from .._checks import check_fraction, check_integer
from ..tasks import Metric, Randman, Task, Trial, accuracy, cross_entropy, upper_rate_penalty
from ..tasks.randman import LabelledSplit, SpikeTimes
from ._classifier import Schedule


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


class Trials(Task, eqx.Module):
    """The task of one data set, with a given order; outputs are those of every layer of a stack."""

    data: LabelledSplit
    order: Int[Array, "update trial"]
    noise: Key[Array, " update"]
    test_noise: Key[Array, ""]
    task: Streaming = eqx.field(static=True)
    schedule: Schedule = eqx.field(static=True)

    def _trials(self, part: SpikeTimes, noise: PRNGKeyArray) -> Trial:
        return Trial(jnp.swapaxes(self.task.rasters(part.times, noise), 0, 1), part.labels)

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """A random one for training."""
        chosen = jax.random.randint(key, (1,), 0, len(self.data.train.labels))
        trials = self._trials(jax.tree.map(lambda x: x[chosen], self.data.train), key)
        return jax.tree.map(lambda x: x[0], trials)

    def batch(self, key: PRNGKeyArray, number: Array | int, size: int) -> Trial:
        """The trials whose turn it is."""
        chosen = jax.tree.map(lambda x: x[self.order[number]], self.data.train)
        return self._trials(chosen, self.noise[number])

    def held_out(self, key: PRNGKeyArray, count: int) -> Trial:
        """All of the test part, with the same background every time."""
        return self._trials(self.data.test, self.test_noise)

    def _logits(self, outputs: tuple) -> Array:
        return self.task.logits(jnp.swapaxes(outputs[-1], 0, 1))

    def loss(self, outputs: tuple, trial: Trial) -> Array:
        """Cross-entropy, and a penalty on high rates."""
        limit, strength = self.schedule.spike_limit, self.schedule.penalty
        penalties = [upper_rate_penalty(x, limit=limit, strength=strength) for x in outputs[:-1]]
        return cross_entropy(self._logits(outputs), trial.targets) + sum(penalties)

    def metrics(self, outputs: tuple, trial: Trial) -> dict[str, Metric]:
        """Accuracy, cross-entropy, and spikes per neuron and step of each layer."""
        logits = self._logits(outputs)
        rates = jnp.stack([spikes.mean() for spikes in outputs[:-1]])
        return {
            "accuracy": Metric(accuracy(logits, trial.targets)),
            "cross-entropy": Metric(cross_entropy(logits, trial.targets), higher_is_better=False),
            "rates": Metric(rates, higher_is_better=False),
        }
