"""Runs on disk: complete, readable, never overwritten, resumable, safe against interrupts and full disks."""

import dataclasses
import json
import os
import threading

import equinox as eqx
import jax
import numpy as np
import pytest
import xarray as xr

import flossing as fl
from flossing.runs import (
    RunConfig,
    checkpoint,
    directory as files,
    from_yaml,
    load,
    resume,
    run,
    to_yaml,
)
from flossing.runs.record import epochs_to
from flossing.runs.reporter import COMPILING, KEPT, Silent

SMALL = RunConfig(
    task=fl.tasks.Copy(3, num_steps=9),
    cell=fl.TanhSpec(6),
    schedule=fl.Phases(
        num_exponents=3,
        window=8,
        warmup=2,
        state_warmup=0,
        steps_before=3,
        every=4,
        max_times=1,
        steps_between=2,
    ),
    epochs=10,
    batch_size=2,
    realisations=2,
    measure_every=5,
    test_trials=8,
)


def small(path, **changes):
    return dataclasses.replace(SMALL, directory=str(path), **changes)


class StopAfter:
    """A reporter that sets a stop event after so many blocks."""

    def __init__(self, blocks):
        self.blocks, self.event, self.messages = blocks, threading.Event(), []

    def progress(self, phase, done, total, status):
        if status in (COMPILING, KEPT):
            return
        self.blocks -= 1
        if self.blocks <= 0:
            self.event.set()

    def message(self, text):
        self.messages.append(text)


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    """A run, and what its reporter was told: before which blocks it compiles, and what is done after each."""
    told = []

    class Listener(Silent):
        def progress(self, phase, done, total, status):
            told.append((phase, done) if status == COMPILING else done)

    return run(small(tmp_path_factory.mktemp("runs") / "whole"), reporter=Listener()), told


@pytest.fixture
def finished(observed):
    return observed[0]


@pytest.mark.slow
def test_a_run_says_before_which_blocks_it_compiles(observed):
    # 3 flossing steps, 4 epochs, 2 flossing steps, 1 and 5 epochs, as measurements divide them
    assert observed[1] == [("flossing", 0), 3, ("training", 0), 4, 5, 5, 10]


def test_everything_is_in_the_directory(finished):
    names = {path.name for path in finished.directory.iterdir()}
    assert names == {
        "config.yaml",
        "metrics.nc",
        "metrics.jsonl",
        "clock.jsonl",
        "weights.eqx",
        "checkpoint.eqx",
        "environment.json",
        "log.txt",
    }
    environment = json.loads((finished.directory / "environment.json").read_text())
    assert {"versions", "devices", "command", "git_commit", "platform"} <= set(environment)


def test_metrics_are_labelled_and_complete(finished):
    data = xr.load_dataset(finished.directory / "metrics.nc", engine="h5netcdf")
    xr.testing.assert_identical(data, finished.data)
    assert dict(data["accuracy"].sizes) == {"epoch": 10, "realisation": 2}
    assert dict(data["flossing_exponents"].sizes) == {
        "flossing_step": 5,
        "realisation": 2,
        "flossed_exponent": 3,
    }
    assert data["flossing_epoch"].values.tolist() == [0, 0, 0, 4, 4]
    moments = zip(data["measurement_epoch"].values, data["measurement_label"].values, strict=True)
    assert [(int(e), str(label)) for e, label in moments] == [
        (0, "start"),
        (0, "before training"),
        (4, "after flossing"),
        (5, "during training"),
        (10, "end"),
    ]
    for name, variable in data.data_vars.items():
        assert {"units", "long_name"} <= set(variable.attrs), name
        assert np.isfinite(variable.values).all(), name


@pytest.mark.slow
def test_a_run_is_reproducible_and_loads_back(finished, tmp_path):
    again = run(small(tmp_path / "again"))
    xr.testing.assert_equal(again.data, finished.data)
    loaded = load(finished.directory)
    assert eqx.tree_equal(loaded.networks, finished.networks)
    assert loaded.config == finished.config
    assert loaded.finished


@pytest.mark.slow
def test_the_schedule_does_not_change_starts_or_data(finished):
    none = run(dataclasses.replace(SMALL, schedule=None), write=False)
    np.testing.assert_array_equal(none.data["exponents"][0], finished.data["exponents"][0])
    unflossed_start = SMALL.networks()
    assert eqx.tree_equal(unflossed_start, small("elsewhere").networks())


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_interrupted_and_resumed_equals_undisturbed(blocks, finished, tmp_path):
    reporter = StopAfter(blocks)
    partial = run(small(tmp_path / "run"), reporter=reporter, stop=reporter.event)
    assert not partial.finished
    whole = resume(tmp_path / "run")
    assert whole.finished
    xr.testing.assert_equal(whole.data, finished.data)
    assert eqx.tree_equal(whole.networks, finished.networks)


def test_an_interrupt_leaves_loadable_weights(tmp_path):
    reporter = StopAfter(3)
    run(small(tmp_path / "run"), reporter=reporter, stop=reporter.event)
    assert not load(tmp_path / "run").finished


def test_resuming_a_finished_run_changes_nothing(finished):
    xr.testing.assert_equal(resume(finished.directory).data, finished.data)


def test_an_existing_directory_is_refused_and_untouched(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(FileExistsError, match="not overwritten"):
        run(small(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "file.txt"
    files.write_text(path, "old")

    def fail(temporary):
        temporary.write_text("half of the ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        files.write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_a_full_disk_during_training_is_said_and_survived(finished, tmp_path, monkeypatch):
    """Writing fails in the middle of the run and works again at the end: nothing is lost."""
    write, calls = checkpoint.write_checkpoint, []

    def sometimes(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(*arguments)

    monkeypatch.setattr(checkpoint, "write_checkpoint", sometimes)
    reporter = StopAfter(1000)
    result = run(small(tmp_path / "run"), reporter=reporter)
    assert any("No space" in text for text in reporter.messages)
    xr.testing.assert_equal(result.data, finished.data)
    assert load(tmp_path / "run").finished


@pytest.mark.parametrize("name", ["checkpoint.eqx", "metrics.nc", "config.yaml"])
def test_a_damaged_file_is_named(name, finished, tmp_path):
    for path in finished.directory.iterdir():
        content = path.read_bytes()
        keep = len(content) // 2 if path.name == name else len(content)
        (tmp_path / path.name).write_bytes(content[:keep])
    if name == "config.yaml":
        (tmp_path / name).write_text("task: [")
    with pytest.raises(ValueError, match=name):
        resume(tmp_path)


def test_config_survives_yaml_and_odd_values():
    config = dataclasses.replace(
        SMALL,
        cell=fl.LIFSpec(4, adaptation_time_constant=100.0, layers=2),
        schedule=fl.Before(
            num_exponents=75, targets=tuple(-0.01 * i for i in range(75)), clip_norm=None
        ),
        optimiser=fl.SGD(clip=None, momentum=0.5),
    )
    assert from_yaml(to_yaml(config)) == config
    assert from_yaml("") == RunConfig()
    assert from_yaml("optimiser: {learning_rate: 1e-3}") == RunConfig()
    assert from_yaml("schedule: none").schedule is None
    assert from_yaml("cell: lif").cell == fl.LIFSpec()


@pytest.mark.slow
def test_a_finished_run_is_extended(finished, tmp_path):
    """As if it had been longer from the start; the old end is a measurement like others."""
    longer = run(small(tmp_path / "longer", epochs=14, measure_every=None))
    run(small(tmp_path / "run", measure_every=None))
    extended = resume(tmp_path / "run", config=small("elsewhere", epochs=14, measure_every=None))
    assert extended.finished
    assert eqx.tree_equal(extended.networks, longer.networks)
    for name in ("loss", "accuracy", "flossing_exponents", "test_accuracy"):
        xr.testing.assert_equal(extended.data[name], longer.data[name])
    labels = ["start", "before training", "after flossing", "during training", "end"]
    assert extended.data["measurement_label"].values.tolist() == labels
    assert load(tmp_path / "run").config.epochs == 14


def test_a_run_is_not_shortened_nor_changed(finished):
    with pytest.raises(
        ValueError, match=r"epochs: the run in .* has done 10 epochs already, got 9"
    ):
        resume(finished.directory, config=small("", epochs=9))
    changed = small("", task=fl.tasks.Copy(2, num_steps=9))
    with pytest.raises(ValueError, match=r"but has task.delay = 3, not 2\. Leave these out"):
        resume(finished.directory, config=changed)


def test_harm_done_by_flossing_is_said_and_logged(tmp_path, monkeypatch):
    seen = []

    def harm(before, after, state, inputs, *, step, key):
        seen.append((before, after, inputs.shape))
        return ["gates are shut."]

    monkeypatch.setattr("flossing.runs.job.flossing_harm", harm)
    reporter = StopAfter(1)
    run(small(tmp_path / "run"), reporter=reporter, stop=reporter.event)
    assert reporter.messages == ["network 1: gates are shut.", "network 2: gates are shut."]
    assert "network 2: gates are shut." in (tmp_path / "run/log.txt").read_text()
    before, after, shape = seen[1]
    assert shape == (150, 1)
    start = jax.tree.map(lambda x: x[1], eqx.filter(SMALL.networks(), eqx.is_array))
    assert eqx.tree_equal(eqx.filter(before, eqx.is_array), start)
    assert not eqx.tree_equal(before, after)


def test_epochs_to_a_level():
    accuracy = np.array([[0.5, 0.5, 1.0]] * 5 + [[0.9, 1.0, 1.0]] * 5)
    assert epochs_to(accuracy, level=0.95, width=3) == [None, 7, 2]
    assert epochs_to(accuracy[:2], width=3) == [None, None, None]


def test_files_are_readable_by_others(finished):
    assert all(os.stat(p).st_mode & 0o444 == 0o444 for p in finished.directory.iterdir())
