"""Flossing against other remedies: what is compared, and the comparison itself."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray as xr

from flossing.experiments import baselines
from flossing.experiments.rate.baselines_figure import figure
from flossing.experiments.rate.methods import METHODS, Settings, TunedSpec
from flossing.experiments.lab.runs import Outcome
from flossing.runs import RunConfig, from_yaml, to_yaml
from flossing.runs.clock import Block
from flossing.tasks import Copy
from flossing.training import measure_exponents

SMALL = Settings(
    methods=("clipping", "before"),
    delay=4,
    hidden_size=8,
    networks=2,
    epochs=12,
    steps_before=3,
    averaged=5,
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return baselines.run(settings=SMALL, folder=tmp_path_factory.mktemp("baselines"))


def test_a_small_one_is_complete(small):
    methods = small.numbers["methods"]
    assert set(methods) == set(SMALL.methods)
    json.dumps(small.numbers)
    json.dumps(small.settings)
    for found in methods.values():
        # W, U, b; readout and its offset; the start state.
        assert found["parameters_of_a_network"] == 64 + 8 + 8 + 8 + 1 + 8
        assert len(found["last_accuracy"]) == len(found["best_accuracy"]) == 2
        assert found["epochs_shown"][-1] == 11
    assert methods["clipping"]["wall_seconds"] == pytest.approx(
        small.numbers["budget_wall_seconds"]
    )
    assert small.claims == []


def test_flossing_comes_first_on_the_clock(small):
    """Its seconds count before the first epoch; the plain network is at its end when time is up."""
    before, plain = (small.numbers["methods"][m] for m in ("before", "clipping"))
    each = before["wall_seconds_shown"]
    assert each[0] > each[1] - each[0]
    assert plain["first_exponent_end"] != before["first_exponent_end"]
    assert plain["first_exponent_start"] == before["first_exponent_start"]


def test_all_methods_are_different_runs_of_the_same_data():
    runs = dataclasses.replace(SMALL, methods=tuple(METHODS)).runs()
    kinds = {repr((config.cell, config.schedule, config.optimiser)) for config in runs.values()}
    assert len(kinds) == len(METHODS)
    plain = runs["clipping"]
    for config in runs.values():
        same = {"cell": plain.cell, "schedule": None, "optimiser": plain.optimiser}
        assert dataclasses.replace(config, **same) == plain
    assert runs["lstm-chrono"].cell.chrono == SMALL.delay


def test_parts_of_the_experiment_can_be_read_from_files():
    for config in dataclasses.replace(SMALL, methods=tuple(METHODS)).runs().values():
        assert from_yaml(to_yaml(config)) == config


def test_gains_give_networks_the_first_exponent_that_was_asked_for():
    """On 2000 steps that the bisection has not seen, where exponents scatter by about 0.02."""
    cell = TunedSpec(20, first_exponent=-0.5)
    config = RunConfig(task=Copy(3, num_steps=20), cell=cell, schedule=None, realisations=2)
    networks, keys = config.networks(), config.keys()
    exponents = measure_exponents(networks, keys, config.trainer, 1, 2000)[:, 0]
    np.testing.assert_allclose(exponents, -0.5, atol=0.06)


def test_a_first_exponent_that_no_gain_gives_is_refused():
    cell = TunedSpec(8, first_exponent=9.0)
    with pytest.raises(RuntimeError, match=r"no gain between 0\.01 and 4\.0 was found"):
        jax.block_until_ready(RunConfig(cell=cell).networks().cell.recurrent_weight)


def curve_of(levels, wall):
    return {
        "accuracy": np.asarray(levels, float),
        "wall": np.asarray(wall, float),
        "processor": 2 * np.asarray(wall, float),
    }


def test_seconds_of_epochs_and_what_was_reached_in_them():
    """Three flossing steps in 6 s, then 2 epochs of 1 s and 2 of 0.5 s, done in two blocks."""
    accuracy = np.array([[0.5, 0.6], [0.6, 0.6], [0.7, 0.8], [0.9, 1.0]])
    data = xr.Dataset({"accuracy": (("epoch", "realisation"), accuracy)})
    clock = [
        Block("flossing", 0, 3, 6.0, 12.0),
        Block("training", 0, 2, 2.0, 4.0),
        Block("training", 2, 2, 1.0, 2.0),
    ]
    settings = dataclasses.replace(SMALL, averaged=1)
    curve = baselines.learning_curve(Outcome(None, data, 0.0, None), clock, settings)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(curve["wall"], [7, 8, 8.5, 9])
    np.testing.assert_allclose(curve["processor"], [14, 16, 17, 18])
    np.testing.assert_allclose(baselines.accuracy_at(curve, "wall", 8.75), [0.8, 0.9])
    np.testing.assert_allclose(baselines.accuracy_at(curve, "wall", 100), [0.9, 1.0])
    np.testing.assert_allclose(baselines.accuracy_at(curve, "wall", 6.5), [0.5, 0.5])


def made_up(last, equal, seconds):
    return {
        "median_last_accuracy": last,
        "median_best_accuracy": last,
        "median_accuracy_at_equal_wall_time": equal,
        "wall_seconds_to_95": seconds,
        "last_accuracy": [last],
        "best_accuracy": [last],
        "accuracy_at_equal_wall_time": [equal],
    }


def test_the_verdict_says_where_flossing_loses():
    numbers = {
        "clipping": made_up(0.5, 0.5, [None, None, None]),
        "linear": made_up(0.97, 0.99, [3.0, None, 4.0]),
        "before": made_up(1.0, 1.0, [1.0, 1.0, 1.0]),
        "adaptive": made_up(0.99, 0.9, [9.0, 5.0, None]),
    }
    settings = dataclasses.replace(SMALL, methods=tuple(numbers), networks=1)
    claims, better = baselines._verdict(numbers, settings)
    assert [claim.holds for claim in claims] == [True, True, False, False]
    assert better == {
        "equal epochs, last": [],
        "equal epochs, best": [],
        "equal wall time": ["linear"],
        "wall time to 95 %": ["linear"],
    }
    curves = {name: curve_of([[0.5], [0.9]], [1, 2]) for name in numbers}
    words = figure(numbers, curves, 2.0, better, settings).get_suptitle()
    assert "equal wall time: linear recurrent" in words
    assert "equal epochs, last: no other method" in words


def test_nobody_reaches_95_percent():
    numbers = {name: made_up(0.5, 0.5, [None]) for name in ("clipping", "adaptive")}
    settings = dataclasses.replace(SMALL, methods=tuple(numbers))
    claims, better = baselines._verdict(numbers, settings)
    assert len(claims) == 3
    assert not any(better.values())
