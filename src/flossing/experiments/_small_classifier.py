"""Small recurrent LIF classifiers of Randman that share one compiled program, whatever their surrogates."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from ..cells import LeakyReadout, LIFCell, Stack, fluctuation_driven
from ..surrogates import Sigmoid
from ..tasks.randman import Randman
from ..training.optimisers import all_finite, apply_if
from ..training.updates import flossed_leaves
from ._classifier import Schedule, objective

WEIGHTS = ("input_weight", "recurrent_weight", "weight")


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


def heights_of(network: Stack) -> list[float]:
    """Of the surrogate derivatives, bottom first."""
    return [float(layer.surrogate.peak) for layer in hidden(network).layers]  # pyright: ignore


def hidden(network: Stack) -> Stack:
    """The network without its readout."""
    return Stack(network.layers[:-1])


def with_hidden(network: Stack, layers: Stack) -> Stack:
    """The network with other layers below its readout."""
    return Stack([*layers.layers, network.layers[-1]])


class Trained(NamedTuple):
    """A network after training, and its record by epoch."""

    network: Stack
    loss: Float[Array, " epoch"]
    accuracy: Float[Array, " epoch"]
    skipped: Int[Array, ""]
    """Updates that were left out because loss or gradient was not finite."""


def weights_and_rest(network: PyTree) -> tuple[PyTree, PyTree]:
    """What training changes, and everything else."""
    return eqx.partition(network, flossed_leaves(network, WEIGHTS))


def loss_of(network: Stack, rasters: Array, labels: Array) -> Array:
    """Cross-entropy of the largest readouts, and the penalty on spikes; ``(time, trial, input)``."""
    return objective(network, rasters, labels, Schedule())[0]


@eqx.filter_jit
def train(
    network: Stack,
    times: Int[Array, "sample input"],
    labels: Int[Array, " sample"],
    key: PRNGKeyArray,
    schedule: Schedule,
    num_steps: int,
) -> Trained:
    """Adam with a cosine decay over whole batches in random order, all epochs in one program."""
    weights, rest = weights_and_rest(network)
    epochs, size = schedule.epochs, schedule.batch_size
    count = len(labels) // size
    optimiser = schedule.make(epochs * count)

    def step(carry: tuple, chosen: Array) -> tuple[tuple, tuple]:
        weights, state = carry
        rasters = jax.nn.one_hot(times[chosen], num_steps, axis=0)

        def loss(weights: PyTree) -> tuple:
            return objective(eqx.combine(weights, rest), rasters, labels[chosen], schedule)

        (value, (right, _)), gradient = jax.value_and_grad(loss, has_aux=True)(weights)
        good = all_finite((value, gradient))
        updates, new = optimiser.update(gradient, state, weights)
        new = (optax.apply_updates(weights, updates), new)
        return apply_if(good, new, (weights, state)), (value, right, ~good)

    def order(key: Array) -> Array:
        return jax.random.permutation(key, len(labels))[: count * size].reshape(count, size)

    batches = jax.vmap(order)(jax.random.split(key, epochs)).reshape(-1, size)
    (weights, _), found = jax.lax.scan(step, (weights, optimiser.init(weights)), batches)
    loss, right = (x.reshape(epochs, count).mean(1) for x in found[:2])
    return Trained(eqx.combine(weights, rest), loss, right, found[2].sum())


@eqx.filter_jit
def share_right(
    network: Stack, times: Int[Array, "sample input"], labels: Int[Array, " sample"], num_steps: int
) -> Float[Array, ""]:
    """Accuracy on these samples."""
    values = network.over_time(jax.nn.one_hot(times, num_steps, axis=0))
    return (values.max(0).argmax(-1) == labels).mean(dtype=values.dtype)


class Stream(eqx.Module):
    """Samples one after the other, as input without an end for spectra and flossing."""

    times: Int[Array, "sample input"]
    num_steps: int = eqx.field(static=True)

    def __call__(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time input"]:
        """Spikes of random samples, ``num_steps`` in all."""
        count = -(-num_steps // self.num_steps)
        chosen = jax.random.choice(key, len(self.times), (count,))
        rasters = jax.nn.one_hot(self.times[chosen], self.num_steps, axis=1)
        return rasters.reshape(-1, self.times.shape[1])[:num_steps]
