"""A small real run, trained once per worker, and copies of it to write into."""

import dataclasses
import shutil

import pytest

import flossing as fl
from flossing.runs import CellConfig, RunConfig, TaskConfig, run

SMALL = RunConfig(
    task=TaskConfig("copy", 3),
    cell=CellConfig(hidden_size=8),
    flossing=fl.Flossing(
        "both",
        num_exponents=3,
        window=8,
        warmup=2,
        renormalise_every=1,
        steps_before=3,
        every=10,
        max_times=1,
        steps_between=2,
    ),
    training=fl.Training(epochs=20, batch_size=2, num_steps=12),
    realisations=2,
    measure_every=5,
    test_trials=8,
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "small"
    run(dataclasses.replace(SMALL, directory=str(path)))
    return path


@pytest.fixture
def directory(trained, tmp_path):
    """A copy of the run, free to be changed."""
    return shutil.copytree(trained, tmp_path / "small")
