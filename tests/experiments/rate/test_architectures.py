"""Flossing of other architectures: which runs there are, and what is made of them."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from flossing.experiments.lab.data import Data
from flossing.experiments.rate.architectures import ARCHITECTURES, Architectures, Trained

ALL = Architectures(delays={"xor": (20,), "copy": (20,), "parity": (12,)})


def test_the_runs_of_a_kind_differ_in_task_and_schedule_alone():
    runs = ALL.cases()
    assert len(runs) == 8 * 3 * 2
    assert len({repr((run.task, run.cell, run.schedule)) for run in runs.values()}) == len(runs)
    for case, run in runs.items():
        like = runs[Trained(case.architecture, "xor", 20, "none")]
        assert dataclasses.replace(run, task=like.task, schedule=None) == like
        assert (run.task.name, run.task.delay) == (case.task, case.delay)


@pytest.mark.parametrize(("task", "delay", "target"), [("copy", 20, 0.0), ("parity", 12, -0.1)])
def test_exponents_go_to_zero_or_where_products_of_bits_can_be_made(task, delay, target):
    assert ALL.cases()[Trained("gru", task, delay, "adaptive")].schedule.targets == (target,)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gates_are_flossed_as_they_start(kind):
    """Half open, as they are without flossing; the schedule of the library would open them."""
    runs = Architectures(delays={"copy": (4,)}, hidden_size=8, networks=1).cases()
    plain, flossed, opened = (
        runs[Trained(name, "copy", 4, schedule)].networks()
        for name, schedule in ((kind, "none"), (kind, "adaptive"), (f"{kind}-open", "adaptive"))
    )
    np.testing.assert_array_equal(flossed.cell.bias, 0 * plain.cell.bias)
    assert set(np.abs(opened.cell.bias).ravel().tolist()) == {0.0, 3.0}


def made_up(harmed):
    """Three of four networks learn when they are flossed, one does otherwise; the harmed the other way."""
    data = {}
    for case in ALL.cases():
        solved = 3 if (case.schedule == "adaptive") != (case.architecture in harmed) else 1
        accuracy = [1.0] * solved + [0.5] * (4 - solved)
        data[case] = xr.Dataset({"test_accuracy": ("network", accuracy)})
    return Data(data)


@pytest.mark.parametrize("harmed", [(), ("gru",), ("gru", "lstm", "leaky", "tanh")])
def test_the_verdict_counts_kinds_and_networks(harmed):
    kinds, together = ALL.verdict(made_up(harmed))
    assert (kinds.measured, kinds.holds) == (len(harmed), not harmed)
    helped = len(ARCHITECTURES) - len(harmed)
    assert together.measured == 3 * (3 * helped + len(harmed))
    assert together.low == 3 * (helped + 3 * len(harmed)) + 1


def test_a_network_that_is_not_known_leaves_the_verdict_open():
    data = made_up(())
    data[Trained("leaky", "copy", 20, "none")]["test_accuracy"][1] = np.nan
    assert np.isnan([claim.measured for claim in ALL.verdict(data)[:1]]).all()
    assert not any(claim.holds for claim in ALL.verdict(data))
