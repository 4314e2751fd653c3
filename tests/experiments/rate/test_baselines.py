"""Flossing against other remedies: what is compared, and the comparison itself."""

import dataclasses

import jax
import numpy as np
import pytest
import xarray as xr

from flossing.experiments.lab.data import Data
from flossing.experiments.rate.baselines import Baselines, Remedy, accuracy_at
from flossing.experiments.rate.baselines_figure import in_words
from flossing.experiments.rate.methods import METHODS, TunedSpec
from flossing.runs import RunConfig, RunResult, from_yaml, to_yaml
from flossing.runs.clock import Block
from flossing.tasks import Copy
from flossing.training import measure_exponents

ALL = Baselines(delay=4, hidden_size=8, networks=2, epochs=12, steps_before=3, averaged=1)


def test_all_methods_are_different_runs_of_the_same_data():
    runs = ALL.cases()
    kinds = {repr((run.cell, run.schedule, run.optimiser)) for run in runs.values()}
    assert len(kinds) == len(METHODS)
    plain = runs[Remedy("clipping")]
    for run in runs.values():
        same = {"cell": plain.cell, "schedule": None, "optimiser": plain.optimiser}
        assert dataclasses.replace(run, **same) == plain
    assert runs[Remedy("lstm-chrono")].cell.chrono == ALL.delay


def test_parts_of_the_experiment_can_be_read_from_files():
    for run in ALL.cases().values():
        assert from_yaml(to_yaml(run)) == run


@pytest.mark.slow
def test_gains_give_networks_the_first_exponent_that_was_asked_for():
    """On 2000 steps that the bisection has not seen, where exponents scatter by about 0.02."""
    cell = TunedSpec(20, first_exponent=-0.5)
    config = RunConfig(task=Copy(3, num_steps=20), cell=cell, schedule=None, realisations=2)
    networks, keys = config.networks(), config.keys()
    exponents = measure_exponents(networks, keys, config.trainer, 1, 2000)[:, 0]
    np.testing.assert_allclose(exponents, -0.5, atol=0.06)


@pytest.mark.slow
def test_a_first_exponent_that_no_gain_gives_is_refused():
    cell = TunedSpec(8, first_exponent=9.0)
    with pytest.raises(RuntimeError, match=r"no gain between 0\.01 and 4\.0 was found"):
        jax.block_until_ready(RunConfig(cell=cell).networks().cell.recurrent_weight)


def test_seconds_of_epochs_and_what_was_reached_in_them():
    """Three flossing steps in 6 s, then 2 epochs of 1 s and 2 of 0.5 s, done in two blocks."""
    accuracy = np.array([[0.5, 0.6], [0.6, 0.6], [0.7, 0.8], [0.9, 1.0]])
    raw = xr.Dataset(
        {
            "accuracy": (("epoch", "realisation"), accuracy),
            "test_accuracy": ("realisation", [0.8, 0.95]),
        }
    )
    clock = [
        Block("flossing", 0, 3, 6.0, 12.0),
        Block("training", 0, 2, 2.0, 4.0),
        Block("training", 2, 2, 1.0, 2.0),
    ]
    config = ALL.cases()[Remedy("clipping")]
    part = ALL.on_the_clock(RunResult(config, raw, None, None, True), clock)
    np.testing.assert_array_equal(part["epoch"], [1, 2, 3, 4])
    np.testing.assert_allclose(part["wall_seconds"], [7, 8, 8.5, 9])
    np.testing.assert_allclose(part["median_accuracy"], [0.55, 0.6, 0.75, 0.95])
    np.testing.assert_array_equal(part["last"], [0.8, 0.95])
    np.testing.assert_allclose(part["best"], [0.9, 1.0])
    # W, U, b; readout and its offset; the start state.
    assert int(part["parameters"]) == 64 + 8 + 8 + 8 + 1 + 8
    for seconds, expected in ((8.75, 0.85), (100, 0.95), (6.5, 0.5)):
        assert accuracy_at(part, seconds) == pytest.approx(expected)


def made_up(last, equal, seconds):
    return xr.Dataset(
        {
            "last": ("network", len(seconds) * [last]),
            "best": ("network", len(seconds) * [last]),
            "seconds_to_95": ("network", seconds),
            "median_accuracy": ("epoch", [0.5, equal]),
            "wall_seconds": ("epoch", [1.0, 2.0]),
        },
        {"epoch": [1, 2]},
    )


NEVER = np.nan


def test_the_verdict_says_where_flossing_loses():
    chosen = dataclasses.replace(ALL, methods=("clipping", "linear", "before", "adaptive"))
    data = Data(
        {
            Remedy("clipping"): made_up(0.5, 0.5, [NEVER, NEVER, NEVER]),
            Remedy("linear"): made_up(0.97, 0.99, [3.0, NEVER, 4.0]),
            Remedy("before"): made_up(1.0, 1.0, [1.0, 1.0, 1.0]),
            Remedy("adaptive"): made_up(0.99, 0.9, [9.0, 5.0, NEVER]),
        }
    )
    claims = chosen.verdict(data)
    assert [claim.holds for claim in claims] == [True, True, False, False]
    assert (claims[3].measured, claims[3].high) == (9.0, 4.0)
    better = chosen.better(data)
    assert better == {
        "equal epochs, last": [],
        "equal epochs, best": [],
        "equal wall time": ["linear"],
        "wall time to 95 %": ["linear"],
    }
    assert "equal wall time: linear recurrent" in in_words(better)
    assert "equal epochs, last: no other method" in in_words(better)
    assert "Better than adaptive flossing at" in str(chosen.drawn(data).get_suptitle())


def test_nobody_reaches_95_percent():
    chosen = dataclasses.replace(ALL, methods=("clipping", "adaptive"))
    data = Data({case: made_up(0.5, 0.5, [NEVER]) for case in chosen.cases()})
    assert len(chosen.verdict(data)) == 3
    assert not any(chosen.better(data).values())
