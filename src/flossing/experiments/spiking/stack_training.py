"""Stacks of LIF layers on a streaming task: flossing the heights of their surrogates, and training."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ...cells import Stack
from ...lyapunov import lyapunov_spectrum
from ...tasks.randman import LabelledSplit
from ..lab.classifier import Schedule, hidden
from ..lab.heights import BASIS_WARMUP, bisected, first_exponent, floss_heights
from ..lab.small_classifier import Trained, batches, heights, train, with_derivatives
from .streaming import Streaming, Trials

CLIP_NORM = 1.0
"""Largest norm of the gradient of all weights together."""


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


def train_stacks(
    networks: Sequence[Stack],
    task: Streaming,
    data: LabelledSplit,
    schedule: Schedule,
    kept: Sequence[bool],
    stream: Float[Array, "time input"],
    target: float | Array,
    key: PRNGKeyArray,
) -> tuple[list[Trained], Float[np.ndarray, "network epoch layer"]]:
    """Networks after training, and the heights of their surrogate derivatives in every epoch.

    Gradients are clipped, whatever the heights, so that exploding ones do as little harm as they can.
    Where ``kept``, heights are flossed anew before every epoch, each layer's to the target on ``stream``.
    Background spikes are fresh in every batch.
    """
    schedule = dataclasses.replace(schedule, clip_norm=CLIP_NORM)
    keys = jax.random.split(jax.random.fold_in(key, 1), schedule.epochs)
    orders, noises, bases = jax.vmap(lambda k: jax.random.split(k, 3))(keys).T
    order = batches(orders, len(data.train.labels), schedule.batch_size)
    count = len(order) // schedule.epochs
    noise = jax.vmap(lambda k: jax.random.split(k, count))(noises).ravel()
    noise = jnp.append(noise, jax.random.fold_in(key, 0))
    by_epoch = []

    def change(networks: list[Stack], epoch: int) -> list[Stack]:
        for index in np.flatnonzero(kept):
            networks[index] = floss_each(networks[index], stream, target, bases[epoch])
        by_epoch.append([heights(network) for network in networks])
        return networks

    trials = Trials(schedule, data, order, task.num_steps, noise, task)
    trained = train(networks, trials, schedule, change)
    return trained, np.swapaxes(np.array(by_epoch), 0, 1)
