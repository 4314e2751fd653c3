"""A small real run, trained once per worker, and copies of it to write into."""

import dataclasses
import shutil

import pytest

import flossing as fl
from flossing.runs import RunConfig, run
from flossing.runs.examining import examine_run

SMALL = RunConfig(
    task=fl.tasks.Copy(3, num_steps=12),
    cell=fl.TanhSpec(8),
    schedule=fl.Phases(
        num_exponents=3,
        window=8,
        warmup=2,
        steps_before=3,
        every=10,
        max_times=1,
        steps_between=2,
    ),
    epochs=20,
    batch_size=2,
    realisations=2,
    measure_every=5,
    test_trials=8,
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "small"
    run(dataclasses.replace(SMALL, directory=str(path)))
    examine_run(path, SMALL, [1, 2])  # kept in the directory, so that no copy does it again
    return path


@pytest.fixture(scope="session")
def shut(tmp_path_factory):
    """A run of GRU networks whose gates hold the state, whatever the input is."""
    path = tmp_path_factory.mktemp("runs") / "shut"
    cell = fl.GRUSpec(8, update_bias=6.0)
    changes = {"cell": cell, "schedule": None, "epochs": 3, "test_trials": 64}
    run(dataclasses.replace(SMALL, **changes, directory=str(path)))
    return path


@pytest.fixture
def directory(trained, tmp_path):
    """A copy of the run, free to be changed."""
    return shutil.copytree(trained, tmp_path / "small")
