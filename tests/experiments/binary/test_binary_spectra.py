"""First exponents and spectra of binary networks: published curves, flossing, and gaps."""

import dataclasses

import numpy as np
import pytest

from flossing.experiments.binary.first_exponent import BinaryFirstExponent
from flossing.experiments.binary.spectra import BinarySpectra, falls, share_with_gap
from flossing.experiments.lab.flossed import Networks, binary_cell
from flossing.experiments.lab.published import Published
from flossing.tasks import DelayedXOR


@pytest.fixture(scope="module")
def spectra():
    """Published spectra, by number of flossed exponents and network."""
    return Published(("binary_spectrum",)).curves(
        "binary_spectrum", "flossed_exponents_k", "realisation", "index", "exponent_per_step"
    )


def test_published_binary_curves_have_the_published_means(spectra):
    first = Published(("binary_first_exponent",)).curves(
        "binary_first_exponent", "surrogate_sharpness", "realisation", "epoch",
        "first_exponent_per_step",
    )  # fmt: skip
    assert first[0.5]["mean"][0, 1] == pytest.approx(-0.2234)
    assert first[1.0]["mean"][-1, 1] == pytest.approx(0.0013)
    assert len(first[1.0]) == 10
    for k in (16, 32):
        mean = spectra[k]["mean"][:, 1]
        assert np.abs(mean[:k]).max() < 0.06
        assert mean[k - 1] - mean[k] > 0.14


@pytest.mark.slow
def test_binary_networks_have_the_published_spectrum_before_flossing(spectra):
    published = spectra[0]["mean"][:50, 1]
    networks = Networks(binary_cell(80, 0.5), DelayedXOR(18), 9, 3)
    ours = networks.spectra(networks.fresh, 50, 300).mean(0)
    assert np.abs(ours - published).max() < 0.035
    fall = published[0] - published[-1]
    assert ours[0] - ours[-1] == pytest.approx(fall, abs=0.04)


def test_gaps_are_compared_with_their_standard_errors():
    ours = np.array([[0.0, -0.3, -0.3], [0.0, -0.1, -0.3], [0.0, 0.0, -0.3], [0.0, 0.0, -0.3]])
    theirs = np.array([[0.0, -0.2, -0.2], [0.0, -0.4, -0.4]])
    gap, distance = falls(1, 1, "gap", ours, theirs)
    assert (gap.measured, gap.published) == pytest.approx((0.1, 0.3))
    # Variances of the means: (0.04 + 0 + 0.01 + 0.01) / 3 / 4 and (0.01 + 0.01) / 1 / 2.
    assert distance.measured == pytest.approx(0.2 / (0.06 / 12 + 0.02 / 2) ** 0.5)
    share = share_with_gap(1, ours, theirs)
    error = (0.25 / 4) ** 0.5
    assert (share.measured, share.published) == (0.5, 1)
    assert (share.low, share.high) == pytest.approx((1 - 2 * error, 1 + 2 * error))
    assert not share_with_gap(1, np.nan * ours, theirs).holds


@pytest.mark.slow
def test_first_surrogate_exponents_go_to_zero():
    """With sharpness 1; the spectra are those of 0.5."""
    experiment = BinaryFirstExponent(
        hidden_size=40, networks=4, fresh_networks=4, epochs=40, starts=2, learning_rate=5e-3
    )
    part = experiment.driven(1.0, print)
    mean = part["exponent"].mean("network")
    assert mean.sel(step=0) == pytest.approx(-0.45, abs=0.15)
    np.testing.assert_array_equal(part["fresh"], part["exponent"].sel(step=0))  # as many
    assert abs(mean.sel(step=40)) < abs(mean.sel(step=0)) / 2


@pytest.mark.slow
def test_the_first_k_surrogate_exponents_go_to_zero_and_a_gap_opens():
    experiment = dataclasses.replace(
        BinarySpectra.quick(),
        hidden_size=40,
        networks=2,
        steps=250,
    )
    assert experiment.schedule(1) == BinaryFirstExponent().schedule()  # of which the test above is
    found = {k: experiment.spectrum(k, print)["exponents"].values.mean(0) for k in (0, 16)}
    assert np.abs(found[16][:16]).mean() < 0.3 * np.abs(found[0][:16]).mean()
    # The gap: how far exponents fall from the 16th to the fifth behind it.
    assert found[16][15] - found[16][20] > 2.5 * (found[0][15] - found[0][20])
