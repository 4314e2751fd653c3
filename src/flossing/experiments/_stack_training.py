"""Stacks of LIF layers on a streaming task: flossing the heights of their surrogates, and training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..cells import Stack
from ..lyapunov import lyapunov_spectrum
from ..tasks.randman import LabelledSplit
from ..training import begin, evaluate, train_block
from ._classifier import Schedule, hidden
from ._field_measures import BASIS_WARMUP, bisected, first_exponent, floss_heights
from ._small_classifier import batches, one_of, stacked, with_derivatives
from ._streaming import Streaming, Trials


def heights(network: Stack) -> Float[Array, " layer"]:
    """Of the surrogate derivatives, bottom first."""
    return jnp.stack([layer.surrogate.peak for layer in hidden(network).layers])  # pyright: ignore


def with_heights(network: Stack, values: Float[Array, " layer"]) -> Stack:
    """The same spikes with surrogate derivatives of these heights."""
    surrogate: Any = network.layers[0].surrogate  # pyright: ignore[reportAttributeAccessIssue]
    return with_derivatives(network, surrogate.sharpness, values)


def floss_each(
    network: Stack, inputs: Float[Array, "time input"], target: float | Array, key: PRNGKeyArray
) -> Stack:
    """The network with heights that bring the first exponent of every layer to the target."""
    return with_heights(network, jnp.stack(floss_heights(network, inputs, target, key)))


@eqx.filter_jit
def floss_together(
    network: Stack, inputs: Float[Array, "time input"], target: float | Array, key: PRNGKeyArray
) -> Stack:
    """The network with all heights multiplied by the factor that brings the stack's first exponent there."""
    given = heights(network)

    def exponent(log: Array) -> Array:
        changed = with_heights(network, given * jnp.exp(log))
        return first_exponent(hidden(changed), inputs, key)

    return with_heights(network, given * bisected(exponent, target))


@eqx.filter_jit
def exponents(
    network: Stack, inputs: Float[Array, "time input"], count: int, key: PRNGKeyArray
) -> tuple[Float[Array, " count"], Float[Array, "layer count"]]:
    """The leading exponents of the whole stack, and of each layer driven by the spikes it receives."""

    def leading(step: Any, given: Array) -> Array:
        return lyapunov_spectrum(
            step,
            step.initial_state(),
            given,
            num_exponents=count,
            warmup=BASIS_WARMUP,
            key=key,
        ).exponents

    layers, below = [], inputs
    for layer in hidden(network).layers:
        layers.append(leading(layer, below))
        below = layer.over_time(below)
    return leading(hidden(network), inputs), jnp.stack(layers)


class Trained(NamedTuple):
    """A network after training, and its record by epoch."""

    network: Stack
    accuracy: Float[np.ndarray, " epoch"]
    """On held-out samples, after the epoch."""
    loss: Float[np.ndarray, " epoch"]
    """Cross-entropy of the training batches."""
    rates: Float[np.ndarray, "epoch layer"]
    """Spikes per neuron and step, on held-out samples."""
    heights: Float[np.ndarray, "epoch layer"]
    skipped: int
    """Updates that were left out because loss or gradient was not finite."""


def train(
    networks: Sequence[Stack],
    task: Streaming,
    data: LabelledSplit,
    schedule: Schedule,
    kept: Sequence[bool],
    stream: Float[Array, "time input"],
    target: float | Array,
    key: PRNGKeyArray,
) -> list[Trained]:
    """Adam with a cosine decay; all networks see the same, with fresh background spikes in every batch.

    Gradients are clipped, whatever the heights, so that exploding ones do as little harm as they can.
    Where ``kept``, heights are flossed anew before every epoch, each layer's to the target on ``stream``.
    """
    epoch_keys = jax.random.split(jax.random.fold_in(key, 1), schedule.epochs)
    orders, noises, bases = jax.vmap(lambda k: jax.random.split(k, 3))(epoch_keys).T
    order = batches(orders, len(data.train.labels), schedule.batch_size)
    count = len(order) // schedule.epochs
    noise = jax.vmap(lambda k: jax.random.split(k, count))(noises).ravel()
    trials = Trials(data, order, noise, jax.random.fold_in(key, 0), task, schedule)
    trainer = schedule.trainer(trials, len(order))
    keys = jnp.broadcast_to(key, (len(networks),))
    state, found = begin(stacked(networks), trainer), []
    for basis in bases:
        now = [one_of(state.networks, i) for i in range(len(networks))]
        now = [
            floss_each(n, stream, target, basis) if again else n
            for n, again in zip(now, kept, strict=True)
        ]
        state = eqx.tree_at(lambda s: s.realisations.network, state, stacked(now))
        state, metrics = train_block(state, keys, count, count, trainer)
        test = evaluate(state.networks, keys, trainer).metrics
        found.append(
            (
                test["accuracy"].value,
                metrics.metrics["cross-entropy"].value.mean(0),
                test["rates"].value,
                jnp.stack([heights(n) for n in now]),
                metrics.skipped.sum(0),
            )
        )
    by_network = [np.stack(values, 1) for values in zip(*found, strict=True)]
    return [
        Trained(
            one_of(state.networks, i), *(x[i] for x in by_network[:-1]), by_network[-1][i].sum()
        )
        for i in range(len(networks))
    ]
