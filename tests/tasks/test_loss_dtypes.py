"""Losses in single precision, for every dtype: against NumPy in double precision and exact decimals."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from flossing.tasks import (
    binary_accuracy,
    binary_cross_entropy,
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

pytestmark = pytest.mark.usefixtures("untyped")
PROPERTY = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NARROW = ["bool", "uint8", "int8", "float16", "bfloat16"]
"""Dtypes that cannot count to 300."""
DTYPES = [*NARROW, "int32", "float32"]


def convert(array, dtype):
    return array.tolist() if dtype == "lists" else jnp.asarray(array.astype(jnp.dtype(dtype)))


def log_softmax(x):
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def mean_cross_entropy(logits, labels):
    return -np.take_along_axis(log_softmax(logits), labels[..., None], -1).mean()


@pytest.mark.slow
@given(
    kind=st.sampled_from(
        [
            *[(dtype, (2, 300, 3)) for dtype in NARROW],
            ("int32", (1, 4, 1)),
            ("float32", (2, 3, 7, 4)),
            ("lists", (5, 1, 2)),
        ]
    ),
    p=st.sampled_from([0.0, 0.4, 1.0]),
    seed=st.integers(0, 50),
)
@PROPERTY
def test_losses_of_spikes_are_the_same_for_every_dtype(kind, p, seed):
    dtype, shape = kind
    rng = np.random.default_rng(seed)
    raw, wanted = ((rng.random(shape) < q).astype(int) for q in (p, 0.5))
    labels = rng.integers(0, shape[-1], shape[:-2])
    spikes, targets = convert(raw, dtype), convert(wanted, dtype)
    counts = raw.sum(-2).astype(float)
    right = np.where(np.arange(shape[-1]) == labels[..., None], 2.0, 250.0)
    limits = np.arange(shape[-1]) + 0.5
    known = [
        (squared_distance(spikes, targets), 0.5 * (raw != wanted).sum(-2).mean()),
        (
            spike_count_loss(
                spikes, labels.astype(np.uint8), correct=np.uint8(2), wrong=np.uint8(250)
            ),
            np.mean((counts - right) ** 2),
        ),
        (upper_rate_penalty(spikes, limit=200), np.mean(np.maximum(counts - 200, 0) ** 2)),
        (lower_rate_penalty(spikes, limit=limits), np.mean(np.maximum(limits - counts, 0) ** 2)),
        (
            population_rate_penalty(spikes, limit=0.5, strength=2),
            2 * np.mean(np.maximum(counts.mean(-1) - 0.5, 0) ** 2),
        ),
        (max_over_time_accuracy(spikes, labels), (raw.max(-2).argmax(-1) == labels).mean()),
        (
            max_over_time_cross_entropy(spikes, labels),
            mean_cross_entropy(raw.max(-2).astype(float), labels),
        ),
        (
            softmax_sum_cross_entropy(spikes, labels),
            mean_cross_entropy(np.exp(log_softmax(raw.astype(float))).sum(-2), labels),
        ),
    ]
    for found, expected in known:
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@pytest.mark.slow
@given(
    kind=st.sampled_from(
        [
            *[(dtype, "bool", (70, 1000, 1)) for dtype in DTYPES],
            *[("float16", mask, (70, 1000, 1)) for mask in ("uint8", "float16")],
            ("lists", "lists", (3, 40, 1)),
            ("float32", "lists", (1, 1, 1)),
        ]
    ),
    seed=st.integers(0, 50),
)
@PROPERTY
def test_losses_of_bits_score_what_the_mask_selects(kind, seed):
    """The largest has more steps than half precision can count."""
    dtype, mask_dtype, shape = kind
    rng = np.random.default_rng(seed)
    outputs = rng.integers(0, 2, shape)
    targets = rng.integers(0, 2, shape)
    mask = rng.random(shape[:-1]) < 0.99
    mask.flat[0] = True
    arguments = (
        convert(outputs, dtype),
        convert(targets, dtype),
        convert(mask * rng.integers(1, 9, mask.shape), mask_dtype),
    )
    losses = np.log1p(np.exp(outputs.astype(float))) - outputs * targets
    np.testing.assert_allclose(binary_cross_entropy(*arguments), losses[mask].mean(), rtol=2e-5)
    np.testing.assert_allclose(
        binary_accuracy(*arguments), (outputs == targets)[mask].mean(), rtol=2e-5
    )


def test_without_a_scored_step_there_is_no_loss():
    one = jnp.ones((4, 1))
    assert np.isnan(binary_cross_entropy(one, one, jnp.zeros(4, bool)))
    assert np.isnan(binary_accuracy(one, one, jnp.zeros(4, bool)))


def exactly(train, slow, fast, dt, tail):
    """The distance of a train from silence by its definition, in decimals of 120 digits."""
    with localcontext() as context:
        context.prec = 120
        slow, fast, dt = Decimal(slow), Decimal(fast), Decimal(dt)
        a, b = (-dt / slow).exp(), (-dt / fast).exp()
        if slow == fast:
            peak = Decimal(-1).exp()
        else:
            time = (slow / fast).ln() * slow * fast / (slow - fast)
            peak = (-time / slow).exp() - (-time / fast).exp()
        one = two = total = Decimal(0)

        for spike in train:
            # Both exponential traces; for equal constants the second is that of t / slow exp(-t / slow).
            two = a * two + dt / slow * a * one if slow == fast else b * two + spike
            one = a * one + spike
            total += (two if slow == fast else one - two) ** 2
        if tail and slow == fast:
            q = a * a
            s0, s1, s2 = q / (1 - q), q / (1 - q) ** 2, q * (1 + q) / (1 - q) ** 3
            step = dt / slow * one
            total += s0 * two**2 + 2 * s1 * step * two + s2 * step**2
        elif tail:
            total += one**2 * a * a / (1 - a * a) + two**2 * b * b / (1 - b * b)
            total -= 2 * one * two * a * b / (1 - a * b)
        return float(total / 2 / peak**2)


@pytest.mark.slow
@given(
    slow=st.sampled_from([0.5, 10.0, 1e3, 1e6, 1e8]),
    gap=st.sampled_from([0.0, 1e-15, 1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, 0.5, 0.99, 1 - 1e-9]),
    dt=st.sampled_from([0.1, 1.0]),
    tail=st.booleans(),
    seed=st.integers(0, 20),
)
@PROPERTY
def test_van_rossum_for_nearly_equal_and_for_long_time_constants(slow, gap, dt, tail, seed):
    train = np.random.default_rng(seed).integers(0, 2, 40)
    train[3] = 1
    fast = slow * (1 - gap)
    found = van_rossum_distance(
        jnp.asarray(train, jnp.float32)[:, None],
        jnp.zeros((40, 1)),
        decay_time_constant=slow,
        rise_time_constant=fast,
        time_step=dt,
        tail=tail,
    )
    expected = exactly(train.tolist(), slow, fast, dt, tail)
    np.testing.assert_allclose(found, expected, rtol=2e-5)


def test_a_given_amplitude_multiplies_the_kernel_as_it_is():
    train = np.zeros(60)
    train[2] = 1
    t = np.arange(58)
    for slow, fast in ((10.0, 9.99), (10.0, 5.0)):
        kernel = 3 * (np.exp(-t / slow) - np.exp(-t / fast))
        found = van_rossum_distance(
            train[:, None],
            np.zeros((60, 1)),
            decay_time_constant=slow,
            rise_time_constant=fast,
            amplitude=3,
        )
        np.testing.assert_allclose(found, 0.5 * np.square(kernel).sum(), rtol=1e-5)


def test_losses_of_half_precision_are_differentiable_in_it():
    spikes = jnp.ones((300, 2), jnp.float16)
    gradient = jax.grad(lambda s: upper_rate_penalty(s, limit=299.0))(spikes)
    assert gradient.dtype == jnp.float16
    np.testing.assert_array_equal(gradient, np.ones((300, 2)))


ONES, LABELS = np.ones((2, 5, 3)), np.array([0, 2])
