"""Statistics of spike trains: small cases by hand, Poisson trains, and Elephant where it is installed."""

import numpy as np
import pytest

from flossing.spike_statistics import (
    fano_factors,
    firing_rates,
    interspike_intervals,
    interval_variation,
    trial_variability,
)


def raster(*times, steps=20):
    """One neuron per list of times."""
    spikes = np.zeros((steps, len(times)))
    for neuron, moments in enumerate(times):
        spikes[list(moments), neuron] = 1
    return spikes


def poisson(*shape, p=0.1, seed=0):
    return (np.random.default_rng(seed).random(shape) < p).astype(float)


def test_rates_are_spikes_per_second():
    spikes = raster([0, 5, 9], [])
    np.testing.assert_allclose(firing_rates(spikes, time_step=2.0), [75.0, 0.0])
    trials = np.stack([spikes, raster([1], [3])])
    np.testing.assert_allclose(firing_rates(trials, time_step=2.0), [50.0, 12.5])


def test_intervals_are_in_milliseconds():
    train = raster([2, 3, 7, 19])[:, 0]
    np.testing.assert_allclose(interspike_intervals(train, time_step=0.5), [0.5, 2.0, 6.0])
    assert interspike_intervals(raster([4])[:, 0]).size == 0


def test_regular_trains_do_not_vary_and_silent_ones_have_no_value():
    found = interval_variation(raster([1, 4, 7, 10], [3, 8], [], [0, 1, 3, 6]))
    np.testing.assert_allclose(found, [0, np.nan, np.nan, np.std([1, 2, 3]) / 2])


def test_intervals_do_not_reach_from_one_trial_into_the_next():
    trials = np.stack([raster([0, 2]), raster([10, 16])])
    np.testing.assert_allclose(interval_variation(trials), [np.std([2, 6]) / 4])


def test_fano_factors_compare_trials_within_windows():
    trials = np.stack([raster([0, 1, 7, 12]), raster([2, 7, 18]), raster([7])])
    # Counts in the windows of 5 steps: 2 1 0, then 0 0 0 with one each at 7, then 1 0 0, then 0 1 0.
    expected = [np.var([2, 1, 0]) / 1, 0, np.var([1, 0, 0]) * 3, np.var([0, 1, 0]) * 3]
    np.testing.assert_allclose(fano_factors(trials, window=5)[:, 0], expected)
    np.testing.assert_allclose(fano_factors(trials, window=15)[:, 0], np.var([4, 2, 1]) / (7 / 3))
    assert np.isnan(fano_factors(np.zeros((2, 4, 1)), window=2)).all()


def test_poisson_trains_have_the_statistics_of_poisson_trains():
    """In steps with probability p: Fano factor 1 - p, CV sqrt(1 - p), rate p; 4 standard errors."""
    p, trials, window = 0.1, 400, 20
    spikes = poisson(trials, 200, 30, p=p)
    fano = fano_factors(spikes, window=window)
    error = (1 - p) * np.sqrt(2 / trials / fano.size)
    assert abs(fano.mean() - (1 - p) * (1 - 1 / trials)) < 4 * error
    rates = firing_rates(spikes)
    assert abs(rates.mean() / 1e3 - p) < 4 * np.sqrt(p * (1 - p) / spikes.size)
    variation = interval_variation(poisson(1, 4000, 30, p=p))
    np.testing.assert_allclose(variation.mean(), np.sqrt(1 - p), atol=0.03)
    # Another trial has a spike in the same step with probability p.
    assert abs(trial_variability(spikes).mean() - (1 - p)) < 0.01


def test_variability_of_equal_and_of_disjoint_trials():
    same = np.stack([raster([1, 5], [])] * 3)
    np.testing.assert_allclose(trial_variability(same), [0, np.nan])
    np.testing.assert_allclose(trial_variability(np.stack([raster([1]), raster([2])])), [1])
    half = np.stack([raster([1, 5]), raster([1, 9])])
    np.testing.assert_allclose(trial_variability(half), [0.5])


def test_elephant_finds_the_same():
    elephant = pytest.importorskip("elephant.statistics")
    neo, pq = pytest.importorskip("neo"), pytest.importorskip("quantities")
    spikes = poisson(12, 300, 4, p=0.07, seed=3)

    def train(trial, neuron, start=0, stop=300):
        times = np.flatnonzero(spikes[trial, start:stop, neuron]).astype(float)
        return neo.SpikeTrain(times * pq.ms, t_start=0 * pq.ms, t_stop=(stop - start) * pq.ms)

    fano = fano_factors(spikes, window=60)
    rates, variation = firing_rates(spikes[0]), interval_variation(spikes[0])
    for neuron in range(4):
        one = train(0, neuron)
        np.testing.assert_allclose(
            interspike_intervals(spikes[0, :, neuron]), elephant.isi(one).magnitude
        )
        np.testing.assert_allclose(variation[neuron], elephant.cv(elephant.isi(one).magnitude))
        np.testing.assert_allclose(
            rates[neuron], elephant.mean_firing_rate(one).rescale("Hz").magnitude
        )
        for window in range(5):
            many = [train(t, neuron, 60 * window, 60 * window + 60) for t in range(12)]
            np.testing.assert_allclose(fano[window, neuron], elephant.fanofactor(many))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: firing_rates(np.zeros(5)), r"spikes: expected 2 or 3 axes, got shape \(5,\)."),
        (lambda: firing_rates(np.full((5, 2), 0.5)), "spikes: expected zeros and ones only."),
        (lambda: firing_rates(np.zeros((0, 2))), r"got an empty array of shape \(0, 2\)."),
        (lambda: fano_factors(np.zeros((1, 5, 2)), window=5), "needs at least 2, got 1."),
        (lambda: fano_factors(np.zeros((2, 5, 2)), window=6), "window: expected at most 5, got 6."),
        (lambda: trial_variability(np.zeros((1, 5, 2))), "needs at least 2, got 1."),
    ],
)
def test_wrong_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
