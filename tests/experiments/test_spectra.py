"""Experiments on spectra and Jacobians, small: complete, and right in kind."""

import dataclasses
import json

import numpy as np
import pytest

from flossing.experiments import (
    NAMES,
    condition_number,
    experiment,
    spectra,
)
from flossing.experiments.rate.tangent_modes import effective_rank, slow_modes


def check(result, name, panels):
    json.dumps(result.numbers)
    assert result.name == name
    assert name in NAMES
    assert len(result.figure.axes) == panels
    assert all(np.isfinite(claim.measured) for claim in result.claims)


def test_spectra_of_tanh_networks_are_flattened():
    settings = dataclasses.replace(
        spectra.QUICK,
        hidden_size=40,
        flossed=(16,),
        networks=2,
        steps=60,
        epochs=20,
        epochs_between=20,
        measured_steps=300,
    )
    result = spectra.run(settings=settings)
    check(result, "spectra", 3)
    found = {int(k): np.mean(s, 0) for k, s in result.numbers["spectra"].items()}
    for k in (16,):
        assert np.abs(found[k][:k]).mean() < np.abs(found[0][:k]).mean() / 2


def test_condition_numbers_grow_as_exponents_say():
    settings = condition_number.Settings(
        hidden_size=24,
        flossed=(0, 20),
        networks=2,
        steps=60,
        horizons=(10, 20, 30),
        slope_from=10,
        gradient_steps=30,
        max_sweeps=6,
        delay=10,
        learning_rate=5e-3,
        modes=8,
        measured_steps=600,
        seed=3,
    )
    result = condition_number.run(settings=settings)
    check(result, "condition-number", 6)
    for predicted, measured, _ in (result.numbers["slopes"]["0"][m] for m in ("2", "16")):
        assert measured == pytest.approx(predicted, rel=0.35, abs=0.02)

    # So small and briefly flossed, not every start gets slow modes: with this seed both networks do.
    slow = result.numbers["slow_modes"]
    assert sum(slow["20"]) > sum(slow["0"])
    for k in ("0", "20"):
        alignment = np.array(result.numbers[k]["alignment"])
        assert alignment.shape == (2, 8)
        assert np.all((alignment > 0.05) & (alignment < 1))
        assert np.all(np.array(result.numbers["effective_rank_of_gradient"][k]) >= 1)


def test_effective_rank():
    logs = np.log([[1.0, 1.0, 1.0, 1e-9], [1.0, 1e-9, 1e-9, 1e-9]]) + 500.0
    np.testing.assert_allclose(effective_rank(logs), [3, 1])


def test_slow_modes():
    exponents = np.array([[0.1, -0.01, -0.03, -1.0], [-0.02, -0.03, -0.04, -1.0]])
    np.testing.assert_array_equal(slow_modes(exponents, 40), [2, 1])


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_is_found_by_its_name(name):
    assert callable(experiment(name))
