"""Accuracy against delay: which runs there are, and what is made of them."""

import dataclasses

import jax
import numpy as np
import pytest
import xarray as xr

from flossing.experiments.lab.data import Data
from flossing.experiments.lab.perform import perform
from flossing.experiments.rate.ablation import Ablation
from flossing.experiments.rate.delays import XOR, Copy, Parity
from flossing.runs import job

SMALL = XOR(
    delays=(4,), hidden_size=16, larger=((18, 4),), complete=((18, 6),), schedules=("none", "adaptive"),
    networks=2, epochs=30, steps_before=5,
)  # fmt: skip


def accuracies(*values):
    return xr.Dataset({"test_accuracy": ("network", list(values))})


def test_the_largest_solved_delay():
    chosen = dataclasses.replace(SMALL, hidden_size=8, delays=(4, 6), larger=(), complete=())
    data = {
        chosen.case(8, 4, "none"): accuracies(0.99, 0.96, 0.5),
        chosen.case(8, 6, "none"): accuracies(0.99, 0.94, 0.5),
    }
    assert chosen.largest_solved(Data(data), 8, "none") == 4
    only = dataclasses.replace(chosen, delays=(6,))
    assert only.largest_solved(Data(data), 8, "none") == 0
    data[chosen.case(8, 6, "none")] = accuracies(0.99, np.nan, 0.5)
    assert np.isnan(chosen.largest_solved(Data(data), 8, "none"))


def test_the_last_exponents_are_flossed_too_where_that_is_asked_for():
    chosen = dataclasses.replace(SMALL, larger=((16, 6),), complete=((16, 4), (20, 8)))
    flossed = {
        (case.units, case.delay, case.num_exponents): run.schedule.num_exponents
        for case, run in chosen.cases().items()
        if run.schedule is not None
    }
    assert flossed == {(16, 4, 11): 11, (16, 6, 11): 11, (16, 4, 16): 16, (20, 8, 20): 20}


def test_larger_networks_have_larger_batches_and_smaller_rates():
    """Both in proportion to the units, from 80 on."""
    chosen = dataclasses.replace(SMALL, hidden_size=80, larger=((40, 4), (160, 4)), complete=())
    runs = {run.cell.hidden_size: run for run in chosen.cases().values()}
    assert {n: run.batch_size for n, run in runs.items()} == {40: 16, 80: 16, 160: 32}
    rates = {n: run.optimiser.learning_rate for n, run in runs.items()}
    assert rates == pytest.approx({40: 2e-3, 80: 2e-3, 160: 1e-3})


@pytest.mark.parametrize(("kind", "target"), [(XOR, 0.0), (Copy, 0.0), (Parity, -0.1)])
def test_parity_alone_is_flossed_below_zero(kind, target):
    runs = [run for run in kind.quick().cases().values() if run.schedule is not None]
    assert {run.schedule.targets for run in runs} == {(target,)}


@pytest.mark.slow
def test_what_is_timed_was_compiled_before(tmp_path, monkeypatch):
    """Not one program is compiled while blocks run, the last and shorter ones included."""
    programs, during = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **more: programs.append(name) if "backend_compile" in name else None
    )

    def counted(block):
        def call(*arguments):
            before = len(programs)
            outcome = jax.block_until_ready(block(*arguments))
            during.append(len(programs) - before)
            return outcome

        return call

    compile_blocks = job.compile_blocks

    def uncounted(config):
        compile_blocks(config)
        during.clear()

    for name in ("floss_block", "train_block"):
        monkeypatch.setattr(job, name, counted(getattr(job, name)))
    monkeypatch.setattr("flossing.sweeps.worker.compile_blocks", uncounted)
    chosen = Ablation(
        variants=("phases",), delay=4, hidden_size=16, networks=2, epochs=120, steps_before=5
    )
    perform(chosen, tmp_path)
    assert programs
    assert len(during) > 4
    assert not any(during)
