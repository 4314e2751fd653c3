"""Two small real runs, trained once for all workers, and copies to write into."""

import dataclasses
import functools
import os
import shutil
import time

import pytest

import flossing as fl
from flossing._system import try_lock
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
def once(tmp_path_factory):
    """Directories that the first worker of pytest-xdist to need them makes, while others wait."""
    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name, make):
        path, done = place / name, place / f"{name}.done"
        with open(place / f"{name}.lock", "w") as lock:
            while not try_lock(lock.fileno()):
                time.sleep(0.1)
            if not done.exists():
                shutil.rmtree(path, ignore_errors=True)  # of one that failed halfway
                make(path)
                done.touch()
        return path

    return made


def train(config, path):
    run(dataclasses.replace(config, directory=str(path)))
    examine_run(path, config, [1, 2])  # kept in the directory, so that no copy does it again


@pytest.fixture(scope="session")
def trained(once):
    return once("small", functools.partial(train, SMALL))


@pytest.fixture(scope="session")
def shut(once):
    """A run of GRU networks whose gates hold the state, whatever the input is."""
    cell = fl.GRUSpec(8, update_bias=6.0)
    changes = {"cell": cell, "schedule": None, "epochs": 3, "test_trials": 64}
    return once("shut", functools.partial(train, dataclasses.replace(SMALL, **changes)))


@pytest.fixture
def directory(trained, tmp_path):
    """A copy of the run, free to be changed."""
    return shutil.copytree(trained, tmp_path / "small")
