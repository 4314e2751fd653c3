"""Statistics of spike trains: small cases by hand, Poisson trains, and Elephant where it is installed."""

import itertools
import statistics

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

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
    # The unbiased variance of 2 1 0 is 1, that of 1 0 0 is 1 / 3.
    expected = [1 / 1, 0, (1 / 3) / (1 / 3), (1 / 3) / (1 / 3)]
    np.testing.assert_allclose(fano_factors(trials, window=5)[:, 0], expected)
    variance = statistics.variance([4, 2, 1])
    np.testing.assert_allclose(fano_factors(trials, window=15)[:, 0], variance / (7 / 3))
    assert np.isnan(fano_factors(np.zeros((2, 4, 1)), window=2)).all()


def test_poisson_trains_have_the_statistics_of_poisson_trains():
    """In steps with probability p: Fano factor 1 - p, CV sqrt(1 - p), rate p; 4 standard errors."""
    p, trials, window = 0.1, 400, 20
    spikes = poisson(trials, 200, 30, p=p)
    fano = fano_factors(spikes, window=window)
    error = (1 - p) * np.sqrt(2 / trials / fano.size)
    assert abs(fano.mean() - (1 - p)) < 4 * error
    rates = firing_rates(spikes)
    assert abs(rates.mean() / 1e3 - p) < 4 * np.sqrt(p * (1 - p) / spikes.size)
    variation = interval_variation(poisson(1, 4000, 30, p=p))
    np.testing.assert_allclose(variation.mean(), np.sqrt(1 - p), atol=0.03)
    # Another trial has a spike in the same step with probability p.
    assert abs(trial_variability(spikes).mean() - (1 - p)) < 0.01


@pytest.mark.parametrize("trials", [2, 3, 5])
def test_fano_factor_of_few_poisson_trials_is_one(trials):
    """By simulation, 4 standard errors: steps so short that the train is Poisson within 0.1 %."""
    spikes = np.random.default_rng(trials).random((trials, 40_000, 100)) < 0.001
    fano = fano_factors(spikes, window=2000)
    fano = fano[np.isfinite(fano)]
    assert abs(fano.mean() - 1) < 4 * fano.std() / np.sqrt(fano.size) + 0.002


@pytest.mark.parametrize(("trials", "window", "spikes"), [(2, 3, 2), (2, 4, 3), (3, 2, 4)])
def test_mean_fano_factor_of_all_rasters_with_so_many_spikes(trials, window, spikes):
    """Exact: given their number, spikes are anywhere; the counts are hypergeometric."""
    cells = trials * window
    found = []
    for places in itertools.combinations(range(cells), spikes):
        flat = np.zeros(cells, bool)
        flat[list(places)] = True
        found.append(fano_factors(flat.reshape(trials, window, 1), window=window)[0, 0])
    np.testing.assert_allclose(np.mean(found), (cells - spikes) / (cells - 1), rtol=1e-12)


@pytest.mark.parametrize("intervals", [2, 3, 10])
def test_few_intervals_look_too_regular_by_what_the_docstring_says(intervals):
    """Poisson trains in steps of 0.3 % of an interval; 4 standard errors, and 1 % for the steps."""
    neurons = 1500
    gaps = np.random.default_rng(intervals).geometric(0.003, (intervals, neurons))
    times = np.concatenate([np.zeros((1, neurons), int), np.cumsum(gaps, 0)])
    spikes = np.zeros((times.max() + 1, neurons), np.int8)
    spikes[times, np.arange(neurons)] = 1
    squares = np.square(interval_variation(spikes))
    error = squares.std() / np.sqrt(neurons)
    assert abs(squares.mean() - (intervals - 1) / (intervals + 1)) < 4 * error + 0.01


DTYPES = ["bool", "uint8", "int8", "int16", "int64", "float16", "bfloat16", "float32", "float64"]


@given(
    dtype=st.sampled_from([*DTYPES, "lists"]),
    shape=st.tuples(st.integers(2, 4), st.sampled_from([1, 2, 7, 300]), st.integers(1, 3)),
    p=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 100),
)
@settings(max_examples=60, deadline=None)
def test_every_dtype_and_shape_counts_alike(dtype, shape, p, seed):
    """Against counting by hand, in Python's own numbers."""
    raw = (np.random.default_rng(seed).random(shape) < p).astype(int)
    spikes = raw.tolist() if dtype == "lists" else raw.astype(jnp.dtype(dtype))
    trials, steps, neurons = shape
    counts = [[sum(raw[i, :, n].tolist()) for i in range(trials)] for n in range(neurons)]
    rates = [1000 * sum(c) / (trials * steps * 2) for c in counts]
    np.testing.assert_allclose(firing_rates(spikes, time_step=2), rates, rtol=1e-12)
    fano = [statistics.variance(c) / statistics.mean(c) if sum(c) else np.nan for c in counts]
    np.testing.assert_allclose(fano_factors(spikes, window=steps)[0], fano, rtol=1e-9)
    for n in range(neurons):
        times = [[t for t in range(steps) if raw[i, t, n]] for i in range(trials)]
        gaps = [b - a for train in times for a, b in itertools.pairwise(train)]
        found = interval_variation(spikes)[n]
        if len(gaps) >= 2:
            by_hand = statistics.pstdev(gaps) / statistics.mean(gaps)
            np.testing.assert_allclose(found, by_hand, atol=1e-12)
        else:
            assert np.isnan(found)
        pairs = list(itertools.combinations(map(set, times), 2))
        mean = sum(counts[n]) / trials
        shared = statistics.mean(len(a & b) for a, b in pairs)
        expected = 1 - shared / mean if mean else np.nan
        np.testing.assert_allclose(trial_variability(spikes)[n], expected, atol=1e-12)


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
            # There the variance is that of the trials themselves, not of what they are drawn from.
            np.testing.assert_allclose(fano[window, neuron] * 11 / 12, elephant.fanofactor(many))
