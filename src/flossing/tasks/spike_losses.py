"""Losses of spiking networks: distances between spike trains, and classification from readouts or counts.

Spikes, readouts and targets are arrays or lists of any real dtype, booleans among them; all are computed in
single precision at least. Where shapes do not fit, an array is empty, or a label (if values are known) is
none of the outputs', the error names the argument.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float, Int, Shaped

from .._checks import (
    as_floats,
    as_indices,
    check_finite,
    check_positive,
    check_shape,
    check_single,
)

Trains = Shaped[ArrayLike, "*batch time neuron"]
Outputs = Shaped[ArrayLike, "*batch time label"]


def squared_distance(spikes: Trains, targets: Trains) -> Float[Array, ""]:
    """``1/2 sum_t (S - S*)^2`` per spike train (L2), mean over neurons and trials."""
    return 0.5 * jnp.square(_difference(spikes, targets)).sum(-2).mean()


def van_rossum_distance(
    spikes: Trains,
    targets: Trains,
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
    ``amplitude (t / decay) exp(-t / decay)``; with the default amplitude that is the limit of nearly equal
    ones.

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
    for name, value in (
        ("decay_time_constant", decay_time_constant),
        ("time_step", time_step),
        ("rise_time_constant", rise_time_constant),
    ):
        check_positive(name, value)
        check_single(**{name: value})
    if rise_time_constant > decay_time_constant:
        raise ValueError(
            f"rise_time_constant: expected at most decay_time_constant = {decay_time_constant}, "
            f"got {rise_time_constant}."
        )
    if amplitude is not None:
        check_single(amplitude=amplitude)
    slow, fast = float(decay_time_constant), float(rise_time_constant)
    kernel = _Kernel(slow, fast, float(time_step))
    height = 1 / kernel.peak if amplitude is None else amplitude * kernel.unit

    def step(traces: tuple[Array, Array], now: Array) -> tuple[tuple[Array, Array], Array]:
        first, filtered = traces
        filtered = kernel.b * filtered + kernel.growth * first
        first = kernel.a * first + now
        return (first, filtered), jnp.square(filtered)

    trains = jnp.moveaxis(_difference(spikes, targets), -2, 0)
    zeros = jnp.zeros_like(trains[0])
    (first, filtered), squares = jax.lax.scan(step, (zeros, zeros), trains)
    total = squares.sum(0)
    if tail:
        decayed, mixed, grown = kernel.tails
        total = total + decayed * jnp.square(filtered) + mixed * filtered * first
        total = total + grown * jnp.square(first)
    return 0.5 * height**2 * total.mean()


class _Kernel:
    """``(exp(-t / slow) - exp(-t / fast)) / unit`` on a grid, from plain floats.

    The unit is ``(slow - fast) / fast``, or 1 where both are equal. Divided by it the kernel and its
    recursion have a limit for equal time constants, ``(t / slow) exp(-t / slow)``, and no difference of
    nearly equal numbers is left: ``a - b = -a expm1(-dt (1 / fast - 1 / slow))``.
    """

    def __init__(self, slow: float, fast: float, dt: float):
        ratio = (slow - fast) / fast
        self.unit = ratio or 1.0
        self.a, self.b = math.exp(-dt / slow), math.exp(-dt / fast)
        # What one step of the first trace adds: (a - b) / unit.
        self.growth = self.a * (-math.expm1(-dt * ratio / slow) / ratio if ratio else dt / slow)
        # The largest value over continuous time, at t = log1p(ratio) slow / ratio.
        late = math.log1p(ratio) / ratio if ratio else 1.0
        self.peak = math.exp(-late) / (1 + ratio)
        self._left = [
            -math.expm1(-x) for x in (2 * dt / slow, dt / slow + dt / fast, 2 * dt / fast)
        ]

    @property
    def tails(self) -> tuple[float, float, float]:
        """Sums over all later steps: of the squares of the filtered trace, mixed, of the first trace."""
        aa, ab, bb = self._left  # 1 - a^2, 1 - a b, 1 - b^2
        a, b, growth = self.a, self.b, self.growth
        return b * b / bb, 2 * b * growth / (ab * bb), growth**2 * (1 + a * b) / (aa * ab * bb)


def _difference(spikes: Any, targets: Any) -> Array:
    spikes, targets = _trains("spikes", spikes), as_floats("targets", targets)
    check_shape("targets", targets, spikes.shape)
    return spikes - targets


def _trains(name: str, value: Any) -> Array:
    """Floats with time before units, not empty."""
    array = as_floats(name, value)
    if array.ndim < 2 or 0 in array.shape:
        raise ValueError(
            f"{name}: expected shape (..., time, unit) without an empty axis, got {array.shape}."
        )
    return array


def _labels(labels: Any, outputs: Array) -> Array:
    """One of the outputs for each trial."""
    array = as_indices("labels", labels, outputs.shape[-1])
    check_shape("labels", array, outputs.shape[:-2])
    return array


def max_over_time_cross_entropy(
    outputs: Outputs, labels: Int[ArrayLike, "*batch"]
) -> Float[Array, ""]:
    """Cross-entropy of the largest value that each readout reaches, in nats, mean over trials."""
    values = _trains("outputs", outputs)
    return _cross_entropy(values.max(-2), _labels(labels, values))


def softmax_sum_cross_entropy(
    outputs: Outputs, labels: Int[ArrayLike, "*batch"]
) -> Float[Array, ""]:
    """Cross-entropy whose logits are sums over time of the softmax of the readouts, in nats."""
    values = _trains("outputs", outputs)
    logits = jax.nn.softmax(values, axis=-1).sum(-2)
    return _cross_entropy(logits, _labels(labels, values))


def _cross_entropy(logits: Array, labels: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def spike_count_loss(
    spikes: Outputs,
    labels: Int[ArrayLike, "*batch"],
    *,
    correct: float,
    wrong: float = 0.0,
) -> Float[Array, ""]:
    """Mean squared distance of spike counts from ``correct`` (the labelled neuron) and ``wrong``.

    Counts are spikes per trial.
    """
    check_positive("correct", correct, zero=True)
    check_positive("wrong", wrong, zero=True)
    counts = _counts(spikes)
    one_hot = jax.nn.one_hot(_labels(labels, _trains("spikes", spikes)), counts.shape[-1]) > 0
    return jnp.square(counts - jnp.where(one_hot, correct, wrong)).mean()


def _counts(spikes: Any) -> Array:
    """Sums over time as a product with ones: many times as fast as a sum where time leads in memory."""
    trains = _trains("spikes", spikes)
    return jnp.tensordot(jnp.ones(trains.shape[-2], trains.dtype), trains, (0, -2))


def max_over_time_accuracy(outputs: Outputs, labels: Int[ArrayLike, "*batch"]) -> Float[Array, ""]:
    """Fraction of trials whose labelled readout reaches the largest value."""
    values = _trains("outputs", outputs)
    return (values.max(-2).argmax(-1) == _labels(labels, values)).astype(values.dtype).mean()


def upper_rate_penalty(
    spikes: Trains, *, limit: ArrayLike, strength: float = 1.0
) -> Float[Array, ""]:
    """``strength`` times the mean over neurons and trials of ``max(0, count - limit)^2``.

    Counts and ``limit`` (one number, or one per neuron) are spikes per neuron and trial.
    """
    counts = _counts(spikes)
    return strength * jnp.square(jax.nn.relu(counts - _limit(limit, counts))).mean()


def lower_rate_penalty(
    spikes: Trains, *, limit: ArrayLike, strength: float = 1.0
) -> Float[Array, ""]:
    """``strength`` times the mean over neurons and trials of ``max(0, limit - count)^2``.

    Counts and ``limit`` (one number, or one per neuron) are spikes per neuron and trial.
    """
    counts = _counts(spikes)
    return strength * jnp.square(jax.nn.relu(_limit(limit, counts) - counts)).mean()


def population_rate_penalty(
    spikes: Trains, *, limit: float, strength: float = 1.0
) -> Float[Array, ""]:
    """``strength`` times the mean over trials of ``max(0, mean count of the neurons - limit)^2``.

    Counts and ``limit`` are spikes per neuron and trial. Neurons may differ, as long as the population as a
    whole stays below the limit.
    """
    check_single(limit=limit)
    means = _counts(spikes).mean(-1)
    return strength * jnp.square(jax.nn.relu(means - _limit(limit, means))).mean()


def _limit(limit: Any, counts: Array) -> Array:
    """One number for all, or one per neuron, in the shape of the counts."""
    check_finite("limit", limit)
    array = as_floats("limit", limit)
    if array.ndim:
        check_shape("limit", array, counts.shape[-1:])
    return jnp.broadcast_to(array, counts.shape)
