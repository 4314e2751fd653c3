"""Experiments on the theory of surrogate gradients, small: complete, and right in kind."""

import dataclasses
import json

import numpy as np
import pytest

from flossing.experiments import NAMES, bias, closed_loop, single_neuron


def check(result, name, panels):
    json.dumps(result.numbers, allow_nan=False)
    assert result.name == name
    assert name in NAMES
    assert len(result.figure.axes) >= panels
    assert all(np.isfinite(claim.measured) for claim in result.claims)


def test_closed_loops_do_not_close():
    settings = dataclasses.replace(
        closed_loop.QUICK, points=(64, 256), smooth=(1.0, 20.0), pixels=5, neurons=4, steps=8,
        radii=(0.1, 1e-4), evaluations=2000,
    )  # fmt: skip
    result = closed_loop.run(settings=settings)
    check(result, "closed-loop", 6)
    assert all(claim.holds for claim in result.claims)


def test_bias_has_the_published_minima_and_signs():
    result = bias.run(settings=dataclasses.replace(bias.QUICK, map_points=5))
    check(result, "bias", 6)
    assert all(claim.holds for claim in result.claims)
    assert result.numbers["15.0"]["wrong_sign_percent_everywhere"] == pytest.approx(53.28, abs=0.1)


def test_single_neurons_are_exact_and_depth_is_not():
    settings = dataclasses.replace(
        single_neuron.QUICK, width=2, depths=(1, 2), widths=(2,), steepnesses=(3.0,), networks=6,
        sampled_depths=(2,), sampled_steepnesses=(3.0,), samples=200,
    )  # fmt: skip
    result = single_neuron.run(settings=settings)
    check(result, "single-neuron", 6)
    exact, one_layer, two_layers, _, same = (claim.measured for claim in result.claims)
    assert max(exact, one_layer, same) < 1e-12
    assert two_layers > 0
