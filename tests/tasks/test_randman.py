"""Randman against its definition, and frozen Poisson input."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from flossing.tasks import Randman, frozen_poisson

SMALL = Randman(
    classes=3, inputs=4, dimension=2, frequencies=6, samples=40, num_steps=30, spike_steps=20
)


@pytest.fixture(scope="module")
def split():
    small = Randman(classes=3, inputs=4, frequencies=6, samples=40, num_steps=30, spike_steps=20)
    return small, small.split(jax.random.key(0), validation=0.1, test=0.25)


@pytest.mark.slow
def test_coordinates_are_the_products_of_the_series(key, x64):
    manifold = SMALL.manifold(key)
    points = np.random.default_rng(0).random((5, 2))
    expected = np.ones((5, 4))
    for p in range(5):
        for i in range(4):
            for j in range(2):
                expected[p, i] *= sum(
                    k**-0.5
                    * manifold.amplitude[i, j, k - 1]
                    * np.sin(
                        2
                        * np.pi
                        * (
                            k * manifold.scale[i, j, k - 1] * points[p, j]
                            + manifold.phase[i, j, k - 1]
                        )
                    )
                    for k in range(1, 7)
                )
    found = SMALL.coordinates(manifold, jnp.asarray(points))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_coefficients_are_uniform(key):
    for numbers in Randman().manifold(key):
        assert numbers.shape == (20, 1, 1000)
        assert 0 <= float(numbers.min()) < 0.001
        assert 0.999 < float(numbers.max()) <= 1
        assert abs(float(numbers.mean()) - 0.5) < 4 / np.sqrt(12 * numbers.size)


@pytest.mark.slow
def test_larger_alpha_is_smoother(key):
    points = jnp.linspace(0, 1, 400)[:, None]

    def roughness(alpha):
        made = Randman(alpha=alpha, frequencies=50)
        values = made.coordinates(made.manifold(key), points)
        return float((jnp.diff(values, axis=0).std(0) / values.std(0)).mean())

    values = [roughness(alpha) for alpha in (0.0, 1.0, 4.0)]
    assert values == sorted(values, reverse=True)


@pytest.mark.slow
def test_every_input_fires_once_and_uses_the_whole_time(split):
    task, parts = split
    times = np.concatenate([part.times for part in parts])
    assert times.min() == 0
    assert times.max() == task.spike_steps - 1
    raster = task.raster(parts.train.times)
    assert raster.shape == (len(parts.train.labels), 30, 4)
    np.testing.assert_array_equal(raster.sum(1), np.ones((len(parts.train.labels), 4)))
    np.testing.assert_array_equal(raster.argmax(1), parts.train.times)


@pytest.mark.slow
def test_as_a_task_it_shows_the_samples_of_its_seed(key):
    task = dataclasses.replace(SMALL, seed=5)
    data = task.dataset(jax.random.split(jax.random.key(5))[0])
    task_of_data = task.loaded()
    numbers = [task_of_data.train, task_of_data.validation, task_of_data.test]
    assert [len(part) for part in numbers] == [96, 12, 12]
    trials = task_of_data.examples(np.arange(120))
    np.testing.assert_array_equal(trials.inputs, task.raster(data.times))
    np.testing.assert_array_equal(trials.targets, data.labels)
    batch = eqx.filter_jit(lambda task: task.batch(key, 2, 9))(task)
    np.testing.assert_array_equal(batch.inputs, task_of_data.batch(key, 2, 9).inputs)
    np.testing.assert_array_equal(batch.inputs.sum(1), np.ones((9, 4)))


@pytest.mark.slow
def test_the_class_is_read_from_the_largest_output_over_time(key):
    trial = SMALL.held_out(key, 12)
    outputs = np.random.default_rng(0).normal(size=(12, 30, 3))
    logits = outputs.max(1)
    right = (logits.argmax(1) == np.asarray(trial.targets)).mean()
    metric = SMALL.metrics(jnp.asarray(outputs), trial)["accuracy"]
    np.testing.assert_allclose(metric.value, right, rtol=1e-6)
    assert metric.chance == pytest.approx(1 / 3, rel=1e-12)
    assert SMALL.chance_loss == pytest.approx(np.log(3), rel=1e-12)
    chosen = logits[np.arange(12), np.asarray(trial.targets)]
    expected = (np.log(np.exp(logits).sum(1)) - chosen).mean()
    np.testing.assert_allclose(SMALL.loss(jnp.asarray(outputs), trial), expected, rtol=1e-5)
    assert (SMALL.input_size, SMALL.output_size, SMALL.horizon) == (4, 3, None)
    assert SMALL.describe() == "Randman, 3 classes"


def test_every_input_of_every_class_is_rescaled(split):
    task, parts = split
    times = np.concatenate([part.times for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    for label in range(task.classes):
        mine = times[labels == label]
        np.testing.assert_array_equal(mine.min(0), np.zeros(4))
        np.testing.assert_array_equal(mine.max(0), np.full(4, task.spike_steps - 1))


def test_parts_share_no_sample_and_lose_none(split):
    task, parts = split
    assert [len(part.labels) for part in parts] == [78, 12, 30]
    everything = task.dataset(jax.random.split(jax.random.key(0))[0])

    def rows(times, labels):
        return sorted(map(tuple, np.column_stack([times, labels])))

    together = rows(*(np.concatenate([part[i] for part in parts]) for i in range(2)))
    assert together == rows(*everything)
    assert set(np.asarray(parts.test.labels)) == {0, 1, 2}


def test_same_key_same_data(split):
    task, parts = split
    again = task.split(jax.random.key(0), validation=0.1, test=0.25)
    np.testing.assert_array_equal(again.train.times, parts.train.times)
    other = task.split(jax.random.key(1), validation=0.1, test=0.25)
    assert not np.array_equal(other.train.times, parts.train.times)


@pytest.mark.slow
def test_an_integer_alpha_is_a_number_like_others(key, untyped):
    options = {"classes": 2, "inputs": 3, "frequencies": 5, "samples": 20}
    for alpha in (0, np.int8(2)):
        one, two = (Randman(alpha=a, **options).dataset(key).times for a in (alpha, float(alpha)))
        np.testing.assert_array_equal(one, two)


@pytest.mark.slow
@pytest.mark.parametrize("dimension", [2, 300])
def test_products_of_many_dimensions_stay_in_range(dimension, key):
    """Against double precision, factor by factor; a spike at the edge of a step may fall to either side."""
    task = Randman(classes=1, inputs=5, dimension=dimension, samples=200, frequencies=20)
    manifold_key, point_key = jax.random.split(jax.random.split(key, 1)[0])
    manifold = task.manifold(manifold_key)
    points = jax.random.uniform(point_key, (200, dimension))
    k = np.arange(1, 21)
    amplitude, scale, phase = (np.asarray(x, float) for x in manifold)
    x = np.asarray(points, float)[:, None, :, None]
    values = (k**-0.5 * amplitude * np.sin(2 * np.pi * (k * scale * x + phase))).sum(-1).prod(-1)
    assert (np.ptp(values, axis=0) > 0).all()
    share = (values - values.min(0)) / np.ptp(values, axis=0)
    expected = np.minimum((share * 50).astype(int), 49)
    found = np.asarray(task.dataset(key).times)
    assert np.abs(found - expected).max() <= 1
    assert (found == expected).mean() > 0.995
    assert (np.ptp(found, axis=0) == 49).all()


@pytest.mark.slow
def test_a_constant_coordinate_is_the_first_step(key):
    class Constant(Randman):
        def manifold(self, key):
            made = super().manifold(key)
            return made._replace(scale=0 * made.scale)

    with jax.debug_nans(True):
        times = Constant(classes=2, inputs=3, samples=2, frequencies=4).sample_class(key)
    np.testing.assert_array_equal(times, np.zeros((2, 3)))


@pytest.mark.slow
def test_the_ends_of_the_ranges(key):
    least = Randman(
        classes=1,
        inputs=1,
        dimension=1,
        alpha=0.0,
        frequencies=1,
        samples=2,
        num_steps=1,
        spike_steps=1,
    )
    np.testing.assert_array_equal(least.dataset(key).times, [[0], [0]])
    np.testing.assert_array_equal(least.raster(least.dataset(key).times), np.ones((2, 1, 1)))
    two = Randman(classes=3, inputs=4, samples=2, frequencies=5, alpha=1e9).dataset(key).times
    assert {
        tuple(sorted(pair)) for pair in two.reshape(3, 2, 4).swapaxes(1, 2).reshape(-1, 2).tolist()
    } == {(0, 49)}


@pytest.mark.slow
@given(
    dtype=st.sampled_from(["uint8", "int8", "int16", "uint16", "int32", "int64", "lists"]),
    num_steps=st.sampled_from([1, 100, 127, 128, 255, 256, 300, 70_000]),
    seed=st.integers(0, 20),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_input_fires_once_for_every_dtype(dtype, num_steps, seed, untyped):
    limit = num_steps if dtype == "lists" else min(num_steps, np.iinfo(dtype).max + 1)
    times = np.random.default_rng(seed).integers(0, limit, 6)
    given = times.tolist() if dtype == "lists" else times.astype(dtype)
    raster = Randman(num_steps=num_steps, spike_steps=1).raster(given)
    expected = np.zeros((num_steps, 6))
    expected[times, np.arange(6)] = 1
    np.testing.assert_array_equal(raster, expected)


def test_frozen_poisson_has_its_rate_and_stays_the_same(key):
    spikes = frozen_poisson(key, num_steps=500, inputs=200, rate=50.0, time_step=2.0)
    assert spikes.shape == (500, 200)
    assert set(np.unique(spikes)) == {0, 1}
    assert abs(float(spikes.mean()) - 0.1) < 4 * np.sqrt(0.09 / spikes.size)
    again = frozen_poisson(key, num_steps=500, inputs=200, rate=50.0, time_step=2.0)
    np.testing.assert_array_equal(spikes, again)
    with pytest.raises(
        ValueError, match=r"is a probability of 1\.2 per step; expected at most 1\."
    ):
        frozen_poisson(key, num_steps=5, inputs=2, rate=600.0, time_step=2.0)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float16", "float64", "lists"])
def test_frozen_poisson_has_a_rate_per_input_of_every_dtype(dtype, key, untyped):
    rates = np.array([0, 50, 200, 250])
    given = rates.tolist() if dtype == "lists" else rates.astype(dtype)
    spikes = frozen_poisson(key, num_steps=4000, inputs=4, rate=given, time_step=2)
    p = rates * 2e-3
    assert (np.abs(spikes.mean(0) - p) <= 4 * np.sqrt(p * (1 - p) / 4000)).all()
    each = given[2]
    alike = frozen_poisson(key, num_steps=4000, inputs=4, rate=each, time_step=2)
    assert abs(float(alike.mean()) - 0.4) < 4 * np.sqrt(0.24 / 16_000)


@given(time_step=st.floats(1e-3, 1e3))
@settings(max_examples=50, deadline=None)
def test_one_spike_in_every_step_is_the_highest_rate(time_step):
    options = {"num_steps": 3, "inputs": 2, "time_step": time_step}
    key = jax.random.key(0)
    spikes = frozen_poisson(key, rate=1e3 / time_step, **options)
    np.testing.assert_array_equal(spikes, np.ones((3, 2)))
    assert not frozen_poisson(key, rate=0.0, **options).any()
    with pytest.raises(ValueError, match="expected at most 1"):
        frozen_poisson(key, rate=1.001e3 / time_step, **options)
