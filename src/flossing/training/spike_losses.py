"""Losses of spiking networks: distances between spike trains, and classification from readouts or counts."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from .._checks import check_positive


def squared_distance(
    spikes: Float[Array, "*batch time neuron"], targets: Float[Array, "*batch time neuron"]
) -> Float[Array, ""]:
    """``1/2 sum_t (S - S*)^2`` per spike train (L2), mean over neurons and trials."""
    return 0.5 * jnp.square(spikes - targets).sum(-2).mean()


def van_rossum_distance(
    spikes: Float[Array, "*batch time neuron"],
    targets: Float[Array, "*batch time neuron"],
    *,
    decay_time_constant: float,
    rise_time_constant: float,
    time_step: float = 1.0,
    amplitude: float | None = None,
    tail: bool = False,
) -> Float[Array, ""]:
    """Distance between filtered spike trains, mean over neurons and trials.

    ``1/2 sum_t z_t^2`` with ``z = kernel * (S - S*)`` and the double-exponential kernel
    ``amplitude (exp(-t / decay) - exp(-t / rise))`` for ``t = 0, dt, 2 dt, ...``: exact on the time axis of
    the spikes, in any length of time, by recursion. With equal time constants the kernel is
    ``amplitude (t / decay) exp(-t / decay)``.

    Args:
        spikes: with time before neurons; differentiable.
        targets: likewise.
        decay_time_constant: in ms.
        rise_time_constant: in ms, at most ``decay_time_constant``.
        time_step: in ms.
        amplitude: of the kernel; default such that its largest value (over continuous time) is 1.
        tail: count the time after the last step too, to infinity: what late spikes leave behind.

    Source: van Rossum 2001; double-exponential kernel and normalisation of Gygax & Zenke 2025
    (there ``amplitude`` is 0.2).
    """
    for name, value in (("decay_time_constant", decay_time_constant), ("time_step", time_step)):
        check_positive(name, value)
    check_positive("rise_time_constant", rise_time_constant)
    if rise_time_constant > decay_time_constant:
        raise ValueError(
            f"rise_time_constant: expected at most decay_time_constant = {decay_time_constant}, "
            f"got {rise_time_constant}."
        )
    slow, fast = decay_time_constant, rise_time_constant
    height = 1 / _peak(slow, fast) if amplitude is None else amplitude
    difference = spikes - targets
    a, b = (jnp.exp(-time_step / jnp.asarray(x, difference.dtype)) for x in (slow, fast))
    equal = slow == fast
    ratio = time_step / slow

    def step(traces: tuple[Array, Array], now: Array) -> tuple[tuple[Array, Array], Array]:
        first, second = traces
        # With equal constants the second trace is that of t exp(-t / tau) / tau.
        second = a * second + ratio * a * first if equal else b * second + now
        first = a * first + now
        return (first, second), jnp.square(second if equal else first - second)

    trains = jnp.moveaxis(difference, -2, 0)
    zeros = jnp.zeros_like(trains[0])
    (first, second), squares = jax.lax.scan(step, (zeros, zeros), trains)
    total = squares.sum(0)
    if tail:
        if equal:
            # sum over n >= 1 of (a^n (second + n ratio first))^2
            q = jnp.square(a)
            s0, s1, s2 = q / (1 - q), q / (1 - q) ** 2, q * (1 + q) / (1 - q) ** 3
            total = total + s0 * jnp.square(second) + 2 * s1 * ratio * first * second
            total = total + s2 * jnp.square(ratio * first)
        else:
            for c, x, y in ((a * a, first, first), (b * b, second, second)):
                total = total + c / (1 - c) * x * y
            total = total - 2 * a * b / (1 - a * b) * first * second
    return 0.5 * height**2 * total.mean()


def _peak(slow: float, fast: float) -> Array:
    """Largest value of the kernel with amplitude 1."""
    if slow == fast:
        return jnp.exp(-1.0)
    time = jnp.log(slow / fast) * slow * fast / (slow - fast)
    return jnp.exp(-time / slow) - jnp.exp(-time / fast)


def max_over_time_cross_entropy(
    outputs: Float[Array, "*batch time label"], labels: Int[Array, "*batch"]
) -> Float[Array, ""]:
    """Cross-entropy of the largest value that each readout reaches, in nats, mean over trials."""
    logits = outputs.max(-2)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def softmax_sum_cross_entropy(
    outputs: Float[Array, "*batch time label"], labels: Int[Array, "*batch"]
) -> Float[Array, ""]:
    """Cross-entropy whose logits are sums over time of the softmax of the readouts, in nats."""
    logits = jax.nn.softmax(outputs, axis=-1).sum(-2)
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def spike_count_loss(
    spikes: Float[Array, "*batch time label"],
    labels: Int[Array, "*batch"],
    *,
    correct: float,
    wrong: float = 0.0,
) -> Float[Array, ""]:
    """Mean squared distance of spike counts from ``correct`` (the labelled neuron) and ``wrong``."""
    check_positive("correct", correct, zero=True)
    check_positive("wrong", wrong, zero=True)
    label = jax.nn.one_hot(labels, spikes.shape[-1], dtype=spikes.dtype)
    return jnp.square(_counts(spikes) - (wrong + (correct - wrong) * label)).mean()


def _counts(spikes: Array) -> Array:
    """Sums over time as a product with ones: many times as fast as a sum where time leads in memory."""
    return jnp.tensordot(jnp.ones(spikes.shape[-2], spikes.dtype), spikes, (0, -2))


def max_over_time_accuracy(
    outputs: Float[Array, "*batch time label"], labels: Int[Array, "*batch"]
) -> Float[Array, ""]:
    """Fraction of trials whose labelled readout reaches the largest value."""
    return (outputs.max(-2).argmax(-1) == labels).astype(outputs.dtype).mean()


def upper_rate_penalty(
    spikes: Float[Array, "*batch time neuron"], *, limit: float, strength: float = 1.0
) -> Float[Array, ""]:
    """``strength`` times the mean over neurons and trials of ``max(0, count - limit)^2``.

    Counts are spikes per neuron and trial.
    """
    return strength * jnp.square(jax.nn.relu(_counts(spikes) - limit)).mean()


def lower_rate_penalty(
    spikes: Float[Array, "*batch time neuron"], *, limit: float, strength: float = 1.0
) -> Float[Array, ""]:
    """``strength`` times the mean over neurons and trials of ``max(0, limit - count)^2``."""
    return strength * jnp.square(jax.nn.relu(limit - _counts(spikes))).mean()


def population_rate_penalty(
    spikes: Float[Array, "*batch time neuron"], *, limit: float, strength: float = 1.0
) -> Float[Array, ""]:
    """``strength`` times the mean over trials of ``max(0, mean count of the neurons - limit)^2``.

    Neurons may differ, as long as the population as a whole stays below the limit.
    """
    return strength * jnp.square(jax.nn.relu(_counts(spikes).mean(-1) - limit)).mean()
