"""Small recurrent LIF classifiers of Randman that share one compiled program, whatever their surrogates."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PRNGKeyArray, PyTree

from ...cells import LeakyReadout, LIFCell, Stack, fluctuation_driven
from ...surrogates import Sigmoid
from ...tasks import Randman, Trial
from ...tasks.randman import LabelledSplit, SpikeTimes
from ...training import begin, evaluate, train_block
from .classifier import Batch, Labelled, Schedule, hidden, side_by_side


@dataclasses.dataclass(frozen=True)
class Shape:
    """Recurrent LIF layers and a leaky readout, time constants in ms."""

    neurons: int = 32
    layers: int = 2
    time_step: float = 2.0
    membrane_time_constant: float = 20.0
    synapse_time_constant: float = 10.0
    readout_time_constant: float | None = None
    """Of the readout's membranes; default the length of a trial."""
    reset: Literal["to_zero", "subtract", "none"] = "to_zero"
    rate: float | None = None
    """Input rate in Hz that weights are drawn for; default one spike in a trial."""

    def build(self, task: Randman, key: PRNGKeyArray, reset_gradient: Any = "detached") -> Stack:
        """A network with fluctuation-driven weights for the inputs of the task."""
        *keys, readout_key, draw_key = jax.random.split(key, self.layers + 2)
        common: dict[str, Any] = {
            "time_step": self.time_step,
            "synapse_time_constant": self.synapse_time_constant,
        }
        layers: list[Any] = []
        for k in keys:
            cell = LIFCell(
                self.neurons if layers else task.inputs,
                self.neurons,
                membrane_time_constant=self.membrane_time_constant,
                reset=self.reset,
                reset_gradient=reset_gradient,
                key=k,
                **common,
            )
            layers.append(cell)
        duration = task.num_steps * self.time_step
        rate = 1000 / duration if self.rate is None else self.rate
        layers.append(
            LeakyReadout(
                self.neurons,
                task.classes,
                membrane_time_constant=self.readout_time_constant or duration,
                key=readout_key,
                **common,
            )
        )
        return fluctuation_driven(Stack(layers), rate=rate, key=draw_key)


def with_derivatives(network: Stack, steepness: float, heights: Sequence[Any] | Array) -> Stack:
    """The network with logistic surrogate derivatives of that steepness, and a height for each layer."""
    values = iter(heights)

    def change(layer: Any) -> Any:
        if not isinstance(layer, LIFCell):
            return layer
        # Arrays: all networks share one compiled program.
        new = Sigmoid(jnp.asarray(steepness, float), peak=jnp.asarray(next(values), float))
        return eqx.tree_at(lambda c: c.surrogate, layer, new)

    return Stack([change(layer) for layer in network.layers])


def heights(network: Stack) -> Float[Array, " layer"]:
    """Of the surrogate derivatives, bottom first."""
    return jnp.stack([layer.surrogate.peak for layer in hidden(network).layers])  # pyright: ignore


def stacked(networks: Sequence[PyTree]) -> PyTree:
    """Networks along a leading axis, as the trainer takes them."""
    arrays, rest = zip(*(eqx.partition(network, eqx.is_array) for network in networks), strict=True)
    return eqx.combine(jax.tree.map(lambda *x: jnp.stack(x), *arrays), rest[0])


def one_of(networks: PyTree, index: int) -> PyTree:
    """One of the networks along a leading axis."""
    return jax.tree.map(lambda x: x[index] if eqx.is_array(x) else x, networks)


def batches(keys: Key[Array, " epoch"], samples: int, size: int) -> Int[Array, "update trial"]:
    """Numbers of samples by update: all in an order of its own in each epoch, in whole batches."""
    count = samples // size

    def order(key: Array) -> Array:
        return jax.random.permutation(key, samples)[: count * size].reshape(count, size)

    return jax.vmap(order)(keys).reshape(-1, size)


def stream(
    times: Int[Array, "sample input"], num_steps: int, key: PRNGKeyArray, length: int
) -> Float[Array, "time input"]:
    """Random samples of ``num_steps`` one after the other, ``length`` steps in all."""
    chosen = jax.random.choice(key, len(times), (-(-length // num_steps),))
    rasters = jax.nn.one_hot(times[chosen], num_steps, axis=1)
    return rasters.reshape(-1, times.shape[1])[:length]


class Samples(Labelled):
    """Samples of Randman as a task, with a given order of those for training."""

    data: LabelledSplit
    order: Int[Array, "update trial"]
    num_steps: int = eqx.field(static=True)

    def trials(self, part: SpikeTimes, number: Array | int | None) -> Trial:
        """Samples of the ``number``-th update, or of the test, with their rasters."""
        return Trial(jax.nn.one_hot(part.times, self.num_steps, axis=-2), part.labels)

    def batch(self, key: PRNGKeyArray, number: Array | int, size: int) -> Trial:
        """The trials whose turn it is."""
        chosen = jax.tree.map(lambda x: x[self.order[number]], self.data.train)
        return self.trials(chosen, number)

    def held_out(self, key: PRNGKeyArray, count: int) -> Trial:
        """All of the test part."""
        return self.trials(self.data.test, None)

    def sample_inputs(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time input"]:
        """A stream of those for training."""
        return stream(self.data.train.times, self.num_steps, key, num_steps)


def loss_of(network: Stack, rasters: PyTree, labels: Array) -> Array:
    """Cross-entropy of the largest readouts, and the penalty on spikes; ``(trial, time, input)``."""
    trial = Trial(rasters, labels)
    return Batch(Schedule(), trial).loss(side_by_side(network, rasters), trial)


class Trained(NamedTuple):
    """A network after training, and its record by epoch."""

    network: Stack
    train: dict[str, np.ndarray]
    """Loss and metrics, means over the batches of an epoch."""
    test: dict[str, np.ndarray]
    """Metrics after each epoch."""
    skipped: np.ndarray
    """Updates that were left out because loss or gradient was not finite."""


def train(
    networks: Sequence[Stack],
    task: Samples,
    schedule: Schedule,
    change: Callable[[list[Stack], int], Sequence[Stack]] = lambda networks, epoch: networks,
) -> list[Trained]:
    """Networks that all see the same batches, after ``change(networks, epoch)`` before every epoch."""
    trainer = schedule.trainer(task, len(task.order))
    count = len(task.order) // schedule.epochs
    keys = jax.random.split(jax.random.key(0), len(networks))  # of nothing: all is in the task
    state, rows = begin(stacked(networks), trainer), []
    for epoch in range(schedule.epochs):
        now = [one_of(state.networks, i) for i in range(len(networks))]
        state = eqx.tree_at(lambda s: s.networks, state, stacked(change(now, epoch)))
        state, metrics = train_block(state, keys, count, count, trainer)
        by_name = {name: metric.value for name, metric in metrics.metrics.items()}
        train = {name: x.mean(0) for name, x in (by_name | {"loss": metrics.loss}).items()}
        test = evaluate(state.networks, keys, trainer).metrics
        test = {name: metric.value for name, metric in test.items()}
        rows.append((train, test, metrics.skipped.sum(0)))
    record = jax.tree.map(lambda *x: np.stack(x, 1), *rows)
    return [
        Trained(one_of(state.networks, i), *jax.tree.map(lambda x, i=i: x[i], record))
        for i in range(len(networks))
    ]
