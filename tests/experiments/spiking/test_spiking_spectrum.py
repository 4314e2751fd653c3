"""Surrogate spectra of small LIF networks, before and after flossing, and their gradients."""

import dataclasses

import numpy as np
import pytest

from flossing.experiments.spiking.gradients import SpikingGradients, r_squared, slope_of, slopes
from flossing.experiments.spiking.spectrum import SpikingSpectrum
from flossing.experiments.spiking.spectrum_figure import mean_of_networks


@pytest.fixture(scope="module")
def spectrum():
    small = dataclasses.replace(
        SpikingSpectrum.quick(),
        neurons=12,
        channels=30,
        flossed=6,
        flossed_exactly=4,
        phases=((50, 2e-2),),
        window=60,
        measured_steps=150,
        look_every=50,
        sharpnesses=(0.5, 8.0),
        leading=24,
    )
    return small.flossing(lambda text: None)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")
def test_exponents_are_exact_at_rest_and_directions_are_lost_where_neurons_fire(spectrum):
    assert spectrum["error_at_rest"].max() < 1e-6
    np.testing.assert_array_equal(
        spectrum["lost_without_recurrence"], spectrum["fired_without_recurrence"]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")
def test_flossing_brings_exponents_nearer_to_zero_with_either_derivative(spectrum):
    start, end = np.abs(spectrum["without_reset_factor"].values[[0, -1], :, :6]).mean((1, 2))
    assert end < start
    before, after = (
        np.abs(spectrum[f"exact_{when}"].values[:, :4]).mean()
        for when in ("before", "flossed_exactly")
    )
    assert after < before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")
def test_exponents_fall_with_the_sharpness_of_the_surrogate_of_the_same_spikes(spectrum):
    gentle, steep = spectrum["by_sharpness"].isel(lead=slice(8)).mean(("network", "lead"))
    assert gentle > steep + 0.03


def test_lost_directions_are_left_out_of_the_mean_and_unknown_ones_are_not():
    values = np.array([[1.0, 2.0, -np.inf, np.nan], [3.0, -np.inf, -np.inf, 1.0]])
    np.testing.assert_array_equal(mean_of_networks(values), [2, 2, np.nan, np.nan])


@pytest.mark.slow
def test_gradients_grow_as_the_first_exponent_says():
    small = dataclasses.replace(
        SpikingGradients.quick(),
        neurons=16,
        channels=30,
        networks=6,
        measured_steps=300,
        horizon=150,
    )
    found = small.drawn_networks(lambda text: None)
    growth = slopes(found["log_gradient"].values, small.skip)
    assert np.corrcoef(found["first_exponent"], growth)[0, 1] > 0.9


def test_slopes_and_explained_variance():
    rows = np.array([[0.0, 5.0, 1.0, 2.0, 3.0], [1.0, 1.0, -2.0, -4.0, -6.0]])
    np.testing.assert_allclose(slopes(rows, 2), [1, -2])
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 20))
    assert slope_of(x, y) == pytest.approx(np.polyfit(x, y, 1)[0])
    x = np.array([1.0, 2.0, 3.0])
    assert r_squared(x, x) == 1
    assert r_squared(x + 1, x) == pytest.approx(-0.5)
