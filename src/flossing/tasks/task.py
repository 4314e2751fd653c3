"""What a task is: trials, a loss and metrics. The trainer knows nothing else about it."""

import abc
from collections import OrderedDict
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._choices import Choice


class Trial(NamedTuple):
    """One trial, time as leading axis; of many trials, each array has another axis before its own."""

    inputs: PyTree
    """Array of shape (time, input)."""
    targets: PyTree
    """What the outputs are compared with, in whatever form the loss of the task takes it."""
    mask: PyTree = None
    """Where the outputs are scored, if not everywhere."""


class Metric(eqx.Module):
    """A number that says how good the outputs are, and how to read it.

    Args:
        value: a scalar.
        higher_is_better: the direction.
        chance: its value for outputs that know nothing of the inputs; ``None`` where there is none.
        unit: as written on an axis; "1" for a fraction.
    """

    value: Float[Array, "*batch"]
    higher_is_better: bool = eqx.field(static=True, default=True)
    chance: float | None = eqx.field(static=True, default=None)
    unit: str = eqx.field(static=True, default="1")


class Task(Choice, abc.ABC):
    """Trials, a loss and metrics. Subclasses need ``input_size``, ``output_size``, ``sample`` and ``loss``.

    The two sizes, ``horizon`` and ``chance_loss`` may be fields, properties or attributes of the class. A
    subclass is a frozen dataclass whose fields are its settings, or an ``eqx.Module`` if it holds arrays.
    Outputs are what the network returns; for ``fl.Network``, an array of shape (trial, time, output_size).
    """

    input_size: int
    """Number of inputs per step."""
    output_size: int
    """Number of outputs per step."""
    horizon: int | None = None
    """The longest time that has to be bridged, in steps; ``None`` where nobody can say."""
    chance_loss: float | None = None
    """The loss of the best outputs that know nothing of the inputs; ``None`` where nobody can say."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial; ``num_steps`` instead of the task's own length, where the task has lengths to choose."""

    @abc.abstractmethod
    def loss(self, outputs: PyTree, trial: Trial) -> Float[Array, ""]:
        """The loss of a batch; outputs and the arrays of ``trial`` have the trial as leading axis."""

    def metrics(self, outputs: PyTree, trial: Trial) -> dict[str, Metric]:
        """Named metrics of a batch, the most important first; arguments are those of ``loss``."""
        del outputs, trial
        return {}

    def batch(self, key: PRNGKeyArray, number: Array | int, size: int) -> Trial:
        """The trials of the ``number``-th update, along the leading axis: fresh ones.

        Args:
            key: random key of the whole training.
            number: counts updates from 0.
            size: how many trials.
        """
        return _fresh(self, jax.random.fold_in(key, number), size)

    def held_out(self, key: PRNGKeyArray, count: int) -> Trial:
        """Trials for a test, along the leading axis: ``count`` fresh ones, or so many of a test part."""
        return _fresh(self, key, count)

    def sample_inputs(self, key: PRNGKeyArray, num_steps: int) -> PyTree:
        """Inputs of any length, for spectra and flossing: by default of trials one after the other."""
        length = jax.tree.leaves(jax.eval_shape(self.sample, key).inputs)[0].shape[0]
        inputs = _fresh(self, key, -(-num_steps // length)).inputs
        joined = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:])[:num_steps], inputs)
        return jax.tree.map(jnp.asarray, joined)

    def loaded(self) -> "Task":
        """The task with its data in memory, as an argument of compiled programs: by default itself."""
        return self

    def describe(self) -> str:
        """A few words for titles."""
        return type(self).__name__


@eqx.filter_jit
def _fresh(task: Task, key: PRNGKeyArray, count: int) -> Trial:
    """So many trials along the leading axis, in one program: single operations take seconds at first."""
    return jax.vmap(task.sample)(jax.random.split(key, count))


def refuse_other_length(num_steps: int | None, own: int) -> None:
    """Raises ``ValueError`` if trials that all have ``own`` steps are asked for in another length."""
    if num_steps is not None and num_steps != own:
        raise ValueError(
            f"num_steps: the trials of this task have {own} steps, got {num_steps}; leave it out."
        )


def as_metrics(metrics: Any) -> dict[str, Metric]:
    """Metrics as ``Metric`` objects; of plain numbers, higher ones count as better."""
    # JAX sorts the keys of plain dictionaries, and the first metric is that of tables.
    return OrderedDict(
        (name, value if isinstance(value, Metric) else Metric(jnp.asarray(value, float)))
        for name, value in metrics.items()
    )
