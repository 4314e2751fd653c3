"""Chaotic networks: mean-field theory against published values and products, and the experiment, small."""

import numpy as np
import pytest
import xarray as xr

from flossing.experiments.lab import mean_field
from flossing.experiments.lab.data import Data
from flossing.experiments.rate.chaos import Chaos, Chaotic, Flossed, Spectrum, growth
from flossing.experiments.rate.chaos_figure import PUBLISHED


@pytest.mark.parametrize(("gain", "value"), [(1.5, 0.0652), (2.0, 0.1547), (3.0, 0.3103)])
def test_first_exponents_of_mean_field_theory_are_the_published_ones(gain, value):
    """One unit of the last published digit, and a little for rounding."""
    assert mean_field.first_exponent(gain) == pytest.approx(value, abs=1e-4)
    assert mean_field.spectrum(gain, np.array([1e-7]))[0] == pytest.approx(
        mean_field.first_exponent(gain), abs=1e-5
    )


def test_variance_is_self_consistent():
    q = mean_field.variance(2.0)
    numbers = np.sqrt(q) * np.random.default_rng(0).normal(size=400_000)
    assert 4 * np.mean(np.tanh(numbers) ** 2) == pytest.approx(q, rel=5e-3)
    assert mean_field.variance(1.0) == 0


def test_below_the_transition_the_spectrum_is_that_of_the_circular_law():
    fraction = np.array([0.1, 0.5, 0.9])
    expected = np.log(0.8) + np.log(1 - fraction) / 2
    np.testing.assert_allclose(mean_field.spectrum(0.8, fraction), expected, atol=1e-12)
    assert mean_field.densities(0.8) == (0, 0, 0)


@pytest.mark.parametrize("gain", PUBLISHED)
def test_densities_are_the_published_ones(gain):
    """The published networks have 4096 units and lie below an infinite one by at most 12 / N and 1 %."""
    np.testing.assert_allclose(mean_field.densities(gain), PUBLISHED[gain][1:], rtol=0.012)


def test_the_spectrum_is_that_of_a_product_of_fresh_matrices():
    """``J_t D_t`` with fresh Gaussian matrices and slopes: the assumption of the theory, simulated."""
    n, steps, gain = 160, 120, 2.5
    random = np.random.default_rng(1)
    basis, sums = np.eye(n), np.zeros(n)
    for number in range(steps + 20):
        slopes = 1 - np.tanh(random.normal(size=n) * np.sqrt(mean_field.variance(gain))) ** 2
        step = gain * random.normal(size=(n, n)) / np.sqrt(n) @ (slopes[:, None] * basis)
        basis, triangle = np.linalg.qr(step)
        sums = sums + (number >= 20) * np.log(np.abs(np.diag(triangle)))
    shown = np.array([0, 16, 40, 80, 120])
    expected = mean_field.spectrum(gain, (shown + 0.5) / n)
    np.testing.assert_allclose((sums / steps)[shown], expected, atol=0.04)


@pytest.fixture(scope="module")
def small():
    chosen = Chaos(
        gains=(3.0,), sizes=((32, 2),), counted=300, flossed_gains=(3.0,), flossed_size=32,
        flossed_networks=2, windows=(1,), trajectory_steps=100, steps=150, learning_rate=5e-3,
        measured_steps=500,
    )  # fmt: skip
    return Data({case: work(print) for case, work in chosen.cases().items()})


@pytest.mark.slow
def test_small_networks_are_near_the_theory(small):
    """32 units: finite-size effects of 12 / N, relatively, and the spread of two networks."""
    found = small[Spectrum(3.0, 32)].mean("network")
    assert float(found["exponents"][0]) == pytest.approx(0.31, abs=0.12)
    assert float(found["measures"].sel(measure="dimension / N")) == pytest.approx(0.287, rel=0.5)


@pytest.mark.slow
def test_chaotic_networks_are_flossed_to_zero_in_all_ways(small):
    before, flossed = small[Chaotic(3.0)]["first_exponent"].values, small[Flossed(3.0, 1)]
    assert before.min() > 0.1
    assert flossed["way"].values.tolist() == ["at once", "clipped", "stepwise"]
    assert np.abs(flossed["after"].values).max() < before.min() / 2
    assert not flossed["skipped"].values.any()


def test_only_the_course_of_the_recommended_way_is_kept():
    chosen = Chaos(recommended_way="clipped", recommended_window=3)
    outcome = _made_up()
    kept = chosen.measure(Flossed(2.0, 3), outcome)
    np.testing.assert_array_equal(kept["in_window"], outcome["in_window"][1])
    np.testing.assert_array_equal(kept["after"], outcome["after"])
    assert "in_window" not in chosen.measure(Flossed(2.0, 10), outcome)


def _made_up():
    numbers = np.random.default_rng(0).normal(size=(3, 2, 5))
    return xr.Dataset(
        {
            "in_window": (("way", "network", "step"), numbers),
            "after": (("way", "network"), numbers[..., 0]),
        },
        {"way": ["at once", "clipped", "stepwise"]},
    )


def test_gradients_of_exp_lambda_t_grow_by_lambda():
    windows = (10, 50, 100)
    logs = 0.3 * np.array(windows) - np.log(windows)
    assert growth(np.stack([logs, logs + 1, logs - 1])[None], windows) == pytest.approx(0.3)
