"""Randman against its definition, and frozen Poisson input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import Randman, frozen_poisson

SMALL = Randman(
    classes=3, inputs=4, dimension=2, frequencies=6, samples=40, num_steps=30, spike_steps=20
)


@pytest.fixture(scope="module")
def split():
    small = Randman(classes=3, inputs=4, frequencies=6, samples=40, num_steps=30, spike_steps=20)
    return small, small.split(jax.random.key(0), validation=0.1, test=0.25)


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


def test_larger_alpha_is_smoother(key):
    points = jnp.linspace(0, 1, 400)[:, None]

    def roughness(alpha):
        made = Randman(alpha=alpha, frequencies=50)
        values = made.coordinates(made.manifold(key), points)
        return float((jnp.diff(values, axis=0).std(0) / values.std(0)).mean())

    values = [roughness(alpha) for alpha in (0.0, 1.0, 2.0, 4.0)]
    assert values == sorted(values, reverse=True)


def test_every_input_fires_once_and_uses_the_whole_time(split):
    task, parts = split
    times = np.concatenate([part.times for part in parts])
    assert times.min() == 0
    assert times.max() == task.spike_steps - 1
    raster = task.raster(parts.train.times)
    assert raster.shape == (len(parts.train.labels), 30, 4)
    np.testing.assert_array_equal(raster.sum(1), np.ones((len(parts.train.labels), 4)))
    np.testing.assert_array_equal(raster.argmax(1), parts.train.times)


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
    everything = task.sample(jax.random.split(jax.random.key(0))[0])

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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Randman(classes=0), "classes: expected at least 1, got 0."),
        (lambda: Randman(alpha=-1.0), "alpha: expected a finite non-negative number"),
        (lambda: Randman(num_steps=40), "spike_steps: expected at most num_steps = 40, got 50."),
        (
            lambda: SMALL.split(jax.random.key(0), validation=0.5, test=0.5),
            "validation, test: 0.5 and 0.5 of 120 samples leave a part empty.",
        ),
    ],
)
def test_wrong_arguments(make, message, untyped):
    with pytest.raises(ValueError, match=message):
        make()


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
