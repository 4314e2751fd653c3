"""Data sets that a few settings describe: made or read when they are needed, once."""

import abc
import functools

import jax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .arrays import Arrays
from .task import Metric, Task, Trial


class DataSet(Task):
    """A task whose data are made or read by ``load``; all else is done by the ``Arrays`` that it returns.

    Subclasses are frozen dataclasses. Equal settings have their data in memory once.
    """

    @abc.abstractmethod
    def load(self) -> Arrays:
        """Makes or reads the data."""

    def loaded(self) -> Arrays:
        """The data as a task of their own, whose arrays are arguments of compiled programs."""
        return _load(self)

    @property
    def input_size(self) -> int:
        """Number of inputs per step."""
        return self.loaded().input_size

    @property
    def output_size(self) -> int:
        """Number of outputs per step."""
        return self.loaded().output_size

    @property
    def horizon(self) -> int | None:
        """The longest time that has to be bridged, in steps; ``None`` where nobody can say."""
        return self.loaded().horizon

    @property
    def chance_loss(self) -> float | None:
        """The loss of the best outputs that know nothing of the inputs."""
        return self.loaded().chance_loss

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """A random example of the training part."""
        return self.loaded().sample(key, num_steps=num_steps)

    def batch(self, key: PRNGKeyArray, number: Array | int, size: int) -> Trial:
        """The examples of the ``number``-th update, as ``Arrays`` orders them."""
        return self.loaded().batch(key, number, size)

    def held_out(self, key: PRNGKeyArray, count: int) -> Trial:
        """The whole test part in a fixed order; if ``count`` is smaller, so many of it, chosen by the key."""
        return self.loaded().held_out(key, count)

    def loss(self, outputs: PyTree, trial: Trial) -> Float[Array, ""]:
        """The loss of a batch."""
        return self.loaded().loss(outputs, trial)

    def metrics(self, outputs: PyTree, trial: Trial) -> dict[str, Metric]:
        """Metrics of a batch."""
        return self.loaded().metrics(outputs, trial)


@functools.lru_cache(maxsize=4)
def _load(task: DataSet) -> Arrays:
    # Within a program that is being traced, the data would be traced, too, and of no use outside of it.
    with jax.ensure_compile_time_eval():
        return task.load()
