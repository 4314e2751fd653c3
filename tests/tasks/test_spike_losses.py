"""Losses of spiking networks against numpy, finite differences and closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import (
    lower_rate_penalty,
    max_over_time_accuracy,
    max_over_time_cross_entropy,
    population_rate_penalty,
    softmax_sum_cross_entropy,
    spike_count_loss,
    squared_distance,
    upper_rate_penalty,
    van_rossum_distance,
)


@pytest.fixture(autouse=True)
def double_precision(x64):
    """In all of these."""


def trains(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random(shape) < 0.2, float)


def kernel(slow, fast, dt, steps):
    t = dt * np.arange(steps)
    if slow == fast:
        return t / slow * np.exp(-t / slow)
    return np.exp(-t / slow) - np.exp(-t / fast)


@pytest.mark.parametrize("fast", [5.0, 10.0], ids=["double exponential", "alpha"])
@pytest.mark.parametrize("tail", [False, True])
def test_van_rossum_is_the_squared_convolution(fast, tail):
    spikes, targets = trains(2, 30, 3), trains(2, 30, 3, seed=1)
    steps = 3000 if tail else 30
    shape = kernel(10.0, fast, 0.5, steps)
    total = 0.0
    for trial in range(2):
        for neuron in range(3):
            difference = np.asarray(spikes - targets)[trial, :, neuron]
            total += 0.5 * np.square(np.convolve(difference, 0.2 * shape)[:steps]).sum() / 6
    found = van_rossum_distance(
        spikes,
        targets,
        decay_time_constant=10.0,
        rise_time_constant=fast,
        time_step=0.5,
        amplitude=0.2,
        tail=tail,
    )
    np.testing.assert_allclose(found, total, rtol=1e-12)


def distance(spikes, targets, **options):
    return van_rossum_distance(
        spikes, targets, decay_time_constant=10.0, rise_time_constant=5.0, **options
    )


def test_van_rossum_default_kernel_peaks_at_one():
    one = jnp.zeros((400, 1)).at[0].set(1.0)
    fine = distance(one, 0 * one, time_step=0.01, tail=True) * 0.01
    # Integral of the squared kernel: (slow - fast)^2 / (2 (slow + fast)), over its squared peak 1/16.
    np.testing.assert_allclose(fine, 0.5 * 25 / 30 * 16, rtol=1e-3)


def test_van_rossum_distance_is_zero_for_equal_trains_and_symmetric():
    spikes, targets = trains(20, 2), trains(20, 2, seed=1)
    assert float(distance(spikes, spikes)) == 0
    np.testing.assert_allclose(distance(spikes, targets), distance(targets, spikes))


def test_van_rossum_grows_with_the_shift_of_a_spike():
    def shifted(by):
        return distance(jnp.zeros((80, 1)).at[10 + by].set(1.0), jnp.zeros((80, 1)).at[10].set(1.0))

    values = [float(shifted(by)) for by in (0, 1, 3, 9, 30)]
    assert values == sorted(values)


LOGITS = np.random.default_rng(2).normal(size=(4, 6, 3))
LABELS = jnp.asarray([0, 2, 1, 2])
LOSSES = {
    "L2": lambda x: squared_distance(x, trains(4, 6, 3)),
    "van Rossum": lambda x: distance(x, trains(4, 6, 3), tail=True),
    "max over time": lambda x: max_over_time_cross_entropy(x, LABELS),
    "sum of softmax": lambda x: softmax_sum_cross_entropy(x, LABELS),
    "spike count": lambda x: spike_count_loss(x, LABELS, correct=4.0, wrong=1.0),
    "upper": lambda x: upper_rate_penalty(x, limit=0.5, strength=2.0),
    "lower": lambda x: lower_rate_penalty(x, limit=0.5, strength=2.0),
    "population": lambda x: population_rate_penalty(x, limit=-0.5, strength=2.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_differences(name):
    loss = jax.jit(LOSSES[name])
    gradient = jax.grad(loss)(LOGITS)
    assert jnp.abs(gradient).max() > 0
    direction = jnp.asarray(np.random.default_rng(3).normal(size=LOGITS.shape))
    h = 1e-6
    numerical = (loss(LOGITS + h * direction) - loss(LOGITS - h * direction)) / (2 * h)
    np.testing.assert_allclose((gradient * direction).sum(), numerical, rtol=1e-6)


def cross_entropy(logits):
    logits = np.asarray(logits)
    chosen = logits[np.arange(4), np.asarray(LABELS)]
    return (np.log(np.exp(logits).sum(1)) - chosen).mean()


def test_values_of_the_classification_losses():
    logits = jnp.asarray(LOGITS)
    found = max_over_time_cross_entropy(logits, LABELS)
    np.testing.assert_allclose(found, cross_entropy(LOGITS.max(1)))
    soft = np.exp(LOGITS) / np.exp(LOGITS).sum(2, keepdims=True)
    np.testing.assert_allclose(
        softmax_sum_cross_entropy(logits, LABELS), cross_entropy(soft.sum(1))
    )
    right = (LOGITS.max(1).argmax(1) == np.asarray(LABELS)).mean()
    assert float(max_over_time_accuracy(logits, LABELS)) == right


def test_values_of_distances_and_penalties():
    spikes = jnp.asarray([[1.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    assert float(squared_distance(spikes, 0 * spikes)) == (1.5 + 0.5) / 2
    assert float(spike_count_loss(spikes, jnp.asarray(0), correct=5.0)) == (4 + 1) / 2
    assert float(upper_rate_penalty(spikes, limit=1.0, strength=0.1)) == pytest.approx(0.1 * 4 / 2)
    assert float(lower_rate_penalty(spikes, limit=2.0)) == 1 / 2
    assert float(population_rate_penalty(spikes, limit=0.5)) == 1.5**2
