"""Chaotic networks: mean-field theory against published values and products, and the experiment, small."""

import json

import numpy as np
import pytest

from flossing.experiments import NAMES, _mean_field, chaos
from flossing.experiments.rate.chaos import PUBLISHED


@pytest.mark.parametrize(("gain", "value"), [(1.5, 0.0652), (2.0, 0.1547), (3.0, 0.3103)])
def test_first_exponents_of_mean_field_theory_are_the_published_ones(gain, value):
    """One unit of the last published digit, and a little for rounding."""
    assert _mean_field.first_exponent(gain) == pytest.approx(value, abs=1e-4)
    assert _mean_field.spectrum(gain, np.array([1e-7]))[0] == pytest.approx(
        _mean_field.first_exponent(gain), abs=1e-5
    )


def test_variance_is_self_consistent():
    q = _mean_field.variance(2.0)
    numbers = np.sqrt(q) * np.random.default_rng(0).normal(size=400_000)
    assert 4 * np.mean(np.tanh(numbers) ** 2) == pytest.approx(q, rel=5e-3)
    assert _mean_field.variance(1.0) == 0


def test_below_the_transition_the_spectrum_is_that_of_the_circular_law():
    fraction = np.array([0.1, 0.5, 0.9])
    expected = np.log(0.8) + np.log(1 - fraction) / 2
    np.testing.assert_allclose(_mean_field.spectrum(0.8, fraction), expected, atol=1e-12)
    assert _mean_field.densities(0.8) == (0, 0, 0)


@pytest.mark.parametrize("gain", PUBLISHED)
def test_densities_are_the_published_ones(gain):
    """The published networks have 4096 units and lie below an infinite one by at most 12 / N and 1 %."""
    np.testing.assert_allclose(_mean_field.densities(gain), PUBLISHED[gain][1:], rtol=0.012)


def test_the_spectrum_is_that_of_a_product_of_fresh_matrices():
    """``J_t D_t`` with fresh Gaussian matrices and slopes: the assumption of the theory, simulated."""
    n, steps, gain = 160, 120, 2.5
    random = np.random.default_rng(1)
    basis, sums = np.eye(n), np.zeros(n)
    for number in range(steps + 20):
        slopes = 1 - np.tanh(random.normal(size=n) * np.sqrt(_mean_field.variance(gain))) ** 2
        step = gain * random.normal(size=(n, n)) / np.sqrt(n) @ (slopes[:, None] * basis)
        basis, triangle = np.linalg.qr(step)
        sums = sums + (number >= 20) * np.log(np.abs(np.diag(triangle)))
    shown = np.array([0, 16, 40, 80, 120])
    expected = _mean_field.spectrum(gain, (shown + 0.5) / n)
    np.testing.assert_allclose((sums / steps)[shown], expected, atol=0.04)


@pytest.fixture(scope="module")
def small():
    return chaos.run(
        settings=chaos.Settings(
            gains=(0.5, 3.0),
            sizes=((32, 2),),
            counted=300,
            flossed_gains=(3.0,),
            flossed_size=32,
            flossed_networks=2,
            windows=(1,),
            trajectory_steps=100,
            steps=150,
            learning_rate=5e-3,
            measured_steps=500,
        )
    )


def test_the_result_is_complete(small):
    json.dumps(small.numbers)
    assert small.name == "chaos"
    assert small.name in NAMES
    assert len(small.figure.axes) == 8
    assert all(np.isfinite(claim.measured) for claim in small.claims)


def test_small_networks_are_near_the_theory(small):
    """32 units: finite-size effects of 12 / N, relatively, and the spread of two networks."""
    found = small.numbers["measured"]["3.0"]["32"]
    assert np.array(found["exponents"]).mean(0)[0] == pytest.approx(0.31, abs=0.12)
    assert np.array(found["measures"]).mean(0)[2] == pytest.approx(0.287, rel=0.5)
    below = np.array(small.numbers["measured"]["0.5"]["32"]["exponents"]).mean(0)
    assert below[8] == pytest.approx(np.log(0.5) + np.log(0.75) / 2, abs=0.2)


def test_chaotic_networks_are_flossed_to_zero(small):
    for way in ("at once", "clipped", "stepwise"):
        found = small.numbers["flossed"]["3.0"][f"{way}, window 1"]
        assert np.min(found["before"]) > 0.1
        assert np.abs(found["after"]).max() < np.min(found["before"]) / 2
        assert sum(found["skipped"]) == 0


def test_growth():
    windows = (10, 50, 100)
    logs = 0.3 * np.array(windows) - np.log(windows)
    assert chaos.growth(np.stack([logs, logs + 1, logs - 1])[None], windows) == pytest.approx(0.3)
