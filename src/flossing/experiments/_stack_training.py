"""Stacks of LIF layers on a streaming task: flossing the heights of their surrogates, and training."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._norms import tree_norm
from ..cells import Stack
from ..lyapunov import lyapunov_spectrum
from ..tasks.randman import LabelledSplit
from ..training import upper_rate_penalty
from ..training.optimisers import all_finite, apply_if, clip_by_global_norm
from ._classifier import Schedule
from ._field_measures import BASIS_WARMUP, bisected, first_exponent, floss_heights
from ._small_classifier import hidden, weights_and_rest, with_derivatives
from ._streaming import Streaming

CLIP_NORM = 1.0
"""Largest norm of the gradient of all weights together."""


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
    accuracy: Float[Array, " epoch"]
    """On held-out samples, after the epoch."""
    loss: Float[Array, " epoch"]
    """Cross-entropy of the training batches."""
    gradient: Float[Array, " epoch"]
    """log10 of the norm of the gradient of the weights, mean over batches."""
    rates: Float[Array, "epoch layer"]
    """Spikes per neuron and step, on held-out samples."""
    heights: Float[Array, "epoch layer"]
    skipped: Int[Array, ""]
    """Updates that were left out because loss or gradient was not finite."""


def objective(
    network: Stack, rasters: Array, labels: Array, task: Streaming, schedule: Schedule
) -> tuple[Array, tuple[Array, Array, Array]]:
    """Loss with its penalty on spikes; beside it cross-entropy, accuracy and spikes per neuron and step."""
    *spikes, values = network.all_over_time(rasters)
    logits = task.logits(values)
    error = optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()
    penalty = sum(
        upper_rate_penalty(
            jnp.moveaxis(s, 0, 1), limit=schedule.spike_limit, strength=schedule.penalty
        )
        for s in spikes
    )
    right = (logits.argmax(-1) == labels).mean(dtype=logits.dtype)
    return error + penalty, (error, right, jnp.stack([s.mean() for s in spikes]))


@eqx.filter_jit
def train(
    network: Stack,
    task: Streaming,
    data: LabelledSplit,
    schedule: Schedule,
    kept: Bool[Array, ""],
    stream: Float[Array, "time input"],
    target: Float[Array, ""],
    key: PRNGKeyArray,
) -> Trained:
    """Adam with a cosine decay, all epochs in one program; background spikes are fresh in every batch.

    Gradients are clipped, whatever the heights, so that exploding ones do as little harm as they can.
    Where ``kept``, heights are flossed anew before every epoch, each layer's to the target on ``stream``.
    """
    weights, rest = weights_and_rest(network)
    size = schedule.batch_size
    count = len(data.train.labels) // size
    adam = schedule.make(schedule.epochs * count)
    optimiser = optax.chain(clip_by_global_norm(CLIP_NORM), adam)

    def whole(weights: PyTree, high: Array) -> Stack:
        return with_heights(eqx.combine(weights, rest), high)

    def update(carry: tuple, at: tuple) -> tuple[tuple, tuple]:
        weights, state, high = carry
        chosen, noise = at
        rasters = task.rasters(data.train.times[chosen], noise)

        def loss(weights: PyTree) -> tuple:
            labels = data.train.labels[chosen]
            return objective(whole(weights, high), rasters, labels, task, schedule)

        (value, (error, _, _)), gradient = jax.value_and_grad(loss, has_aux=True)(weights)
        good = all_finite((value, gradient))
        updates, new = optimiser.update(gradient, state, weights)
        new = (optax.apply_updates(weights, updates), new)
        weights, state = apply_if(good, new, (weights, state))
        return (weights, state, high), (error, jnp.log10(tree_norm(gradient)), ~good)

    test = task.rasters(data.test.times, jax.random.fold_in(key, 0))

    def epoch(carry: tuple, key: Array) -> tuple[tuple, tuple]:
        weights, state, high = carry
        order, noise, basis = jax.random.split(key, 3)
        high = jax.lax.cond(
            kept,
            lambda: jnp.stack(floss_heights(whole(weights, high), stream, target, basis)),
            lambda: high,
        )
        chosen = jax.random.permutation(order, len(data.train.labels))[: count * size]
        batches = chosen.reshape(count, size), jax.random.split(noise, count)
        (weights, state, high), found = jax.lax.scan(update, (weights, state, high), batches)
        labels = data.test.labels
        _, (_, right, rates) = objective(whole(weights, high), test, labels, task, schedule)
        error, norm, skipped = found
        return (weights, state, high), (right, error.mean(), norm.mean(), rates, high, skipped)

    start = weights, optimiser.init(weights), heights(network)
    keys = jax.random.split(jax.random.fold_in(key, 1), schedule.epochs)
    (weights, _, high), found = jax.lax.scan(epoch, start, keys)
    return Trained(whole(weights, high), *found[:-1], found[-1].sum())
