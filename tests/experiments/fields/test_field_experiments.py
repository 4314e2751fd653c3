"""Experiments on surrogate gradients as fields, small: what they find, and what they make of numbers."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from flossing.experiments.fields.bias import Bias, Plane, Profile
from flossing.experiments.fields.closed_loop import ClosedLoop
from flossing.experiments.fields.single_neuron import (
    NOISES,
    UNBIASED,
    OneNeuron,
    Sampled,
    SingleNeuron,
    one_neuron,
    z_scores,
)
from flossing.experiments.lab.data import Data


def done(experiment):
    """The numbers of an experiment whose cases are functions."""
    cases = experiment.cases().items()
    return Data({case: experiment.measure(case, work(lambda text: None)) for case, work in cases})


@pytest.mark.slow
def test_closed_loops_do_not_close():
    experiment = dataclasses.replace(
        ClosedLoop.quick(), points=(64, 256), smooth=(1.0, 20.0), pixels=5, neurons=4, steps=8,
        radii=(0.1, 1e-4), evaluations=2000,
    )  # fmt: skip
    claims = experiment.verdict(done(experiment))
    assert len(claims) == 6
    assert [claim for claim in claims if not claim.holds] == []


def test_bias_has_the_published_minima_and_signs():
    experiment = dataclasses.replace(Bias.quick(), map_points=5)
    data = done(experiment)
    claims = experiment.verdict(data)
    assert len(claims) == 5
    assert [claim for claim in claims if not claim.holds] == []
    everywhere = data[Profile(15.0)]["wrong_sign_everywhere"].item()
    assert everywhere == pytest.approx(53.28, abs=0.1)
    cosines = data[Plane(2.0)]["cosine"].values
    assert cosines.min() > 0  # each weight acts along one path: no component has the wrong sign
    assert cosines.min() < 0.99 < cosines.max()


def test_what_is_kept_of_a_profile_is_that_of_the_whole():
    fine = Bias.quick().profile(15.0, print)
    coarse = dataclasses.replace(Bias.quick(), num_points=501).profile(15.0, print)
    assert fine.sizes["weight"] == coarse.sizes["weight"] == 501
    np.testing.assert_allclose(fine["weight"], coarse["weight"], atol=1e-12)
    np.testing.assert_allclose(fine["output"], coarse["output"], rtol=1e-12)
    # A finer trapezoidal rule on the way.
    np.testing.assert_allclose(fine["integrated"], coarse["integrated"], atol=1e-4)


@pytest.mark.slow
def test_single_neurons_are_exact_and_depth_is_not():
    experiment = dataclasses.replace(
        SingleNeuron.quick(), width=2, depths=(1, 2), widths=(2,), steepnesses=(3.0,), networks=6,
        sampled_depths=(2,), sampled_steepnesses=(3.0,), samples=200,
    )  # fmt: skip
    data = done(experiment)
    exact, one_layer, two_layers, z, same = (c.measured for c in experiment.verdict(data))
    assert max(exact, one_layer, same) < 1e-12
    assert two_layers > 0
    assert 0 < z < 5
    tested = data[Sampled(2, 3.0)]["tested"].values
    scores = data[Sampled(2, 3.0)]["z_score"].values
    np.testing.assert_array_equal(np.isfinite(scores), np.broadcast_to(tested, scores.shape))


@pytest.mark.slow
def test_the_derivative_of_one_neuron_is_that_of_its_probability():
    """Of a sigmoid of steepness 10, beside the formula."""
    part = one_neuron(print)
    assert part.sizes == {"noise": len(NOISES), "x": 400}
    p = 1 / (1 + np.exp(-10 * part["x"]))
    for name in ("exact", "surrogate"):
        found = part[name].sel(noise="sigmoid, 10")
        np.testing.assert_allclose(found, 10 * p * (1 - p), rtol=1e-9, atol=1e-15)
    wrong = part.assign(surrogate=1.01 * part["surrogate"])
    first = next(SingleNeuron().claims(Data({OneNeuron(): wrong}), None))
    assert first.measured == pytest.approx(0.01)


def test_z_scores_count_in_networks_that_allow_them():
    scores = np.arange(2.0 * len(UNBIASED)).reshape(-1, 2)
    part = xr.Dataset(
        {"z_score": (("unbiased", "network"), scores), "tested": ("network", [False, True])}
    )
    assert set(z_scores([part, part])) == set(scores[:, 1])
    assert np.isnan(z_scores([part.assign(tested=("network", [False, False]))])).all()
