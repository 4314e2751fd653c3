"""Whatever happens to a run or its files, a sound checkpoint is found, and the result is the same."""

import contextlib
import dataclasses
import os
import shutil
import sys
from pathlib import Path

import equinox as eqx
import numpy as np
import pytest
import xarray as xr

import flossing as fl
from flossing.cli import main
from flossing.runs import RunConfig, resume, run
from flossing.runs.checkpoint import locked, previous, read_checkpoint
from flossing.runs.reporter import COMPILING, KEPT
from flossing.training import begin

CONFIG = RunConfig(
    task=fl.tasks.Copy(3, num_steps=9),
    cell=fl.TanhSpec(6),
    schedule=fl.Before(num_exponents=3, window=8, warmup=2, state_warmup=0, steps_before=60),
    epochs=160,
    batch_size=2,
    realisations=2,
    measure_every=None,
    test_trials=8,
)


class Listener:
    """Stops a run after so many blocks and keeps what it says."""

    def __init__(self, blocks=None):
        import threading

        self.blocks, self.event, self.messages = blocks, threading.Event(), []

    def progress(self, phase, done, total, status):
        if self.blocks is not None and status not in (COMPILING, KEPT):
            self.blocks -= 1
            if self.blocks == 0:
                self.event.set()

    def message(self, text):
        self.messages.append(text)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(at(tmp_path_factory.mktemp("runs") / "whole"))


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run stopped after three blocks: two of flossing (60 steps), one of training."""
    path = tmp_path_factory.mktemp("runs") / "half"
    listener = Listener(3)
    run(at(path), reporter=listener, stop=listener.event)
    return path


@pytest.fixture
def half(interrupted, tmp_path):
    return Path(shutil.copytree(interrupted, tmp_path / "half"))


def at(path):
    return dataclasses.replace(CONFIG, directory=str(path))


def assert_same(result, undisturbed):
    xr.testing.assert_equal(result.data, undisturbed.data)
    assert eqx.tree_equal(result.networks, undisturbed.networks)
    assert result.finished


DAMAGES = {
    "empty": lambda data: b"",
    "cut in the middle": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "one bit flipped": lambda data: data[:-200] + bytes([data[-200] ^ 1]) + data[-199:],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["checkpoint.eqx", "metrics.nc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_noticed_and_the_previous_one_used(half, undisturbed, name, damage):
    path = half / name
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    if name == "metrics.nc" and damage == "one bit flipped":
        path.write_bytes(flipped_in_the_data(path.read_bytes(), previous(path)))
    listener = Listener()
    result = resume(half, reporter=listener)
    assert any(f"{name} cannot be used" in message for message in listener.messages)
    assert any("going on after epoch" in message for message in listener.messages)
    assert "cannot be used" in (half / "log.txt").read_text()
    assert_same(result, undisturbed)


def flipped_in_the_data(data, other):
    """A bit within the numbers of a netCDF file; most of the file is empty space."""
    accuracy = xr.load_dataset(other, engine="h5netcdf")["flossing_exponents"].values
    place = data.find(np.ascontiguousarray(accuracy).tobytes()[:40])
    assert place > 0
    return data[: place + 20] + bytes([data[place + 20] ^ 1]) + data[place + 21 :]


@pytest.mark.slow
def test_a_missing_checkpoint_is_replaced_by_the_previous_one(half, undisturbed):
    (half / "checkpoint.eqx").unlink()
    listener = Listener()
    assert_same(resume(half, reporter=listener), undisturbed)
    assert "checkpoint.eqx is missing" in listener.messages


@pytest.mark.slow
def test_a_run_that_never_wrote_a_checkpoint_starts_again(half, undisturbed):
    for name in ("checkpoint.eqx", "metrics.nc"):
        (half / name).unlink()
        previous(half / name).unlink()
    assert_same(resume(half), undisturbed)


def test_nothing_sound_is_an_error_that_names_the_files(half):
    for path in half.glob("checkpoint*"):
        path.write_bytes(b"no")
    with pytest.raises(ValueError, match=r"no usable checkpoint.*checkpoint\.eqx.*previous\.eqx"):
        resume(half)


def test_previous_files_go_when_the_run_is_finished(half):
    resume(half)
    assert not list(half.glob("*previous*"))


@pytest.mark.slow
def test_killed_between_any_two_operations_on_files(half, monkeypatch):
    """The n-th change of the file system is the last one before the process dies."""

    class Killed(BaseException):
        pass

    like = begin(CONFIG.networks(), CONFIG.trainer)
    state, record, _ = read_checkpoint(half, like)
    metrics = record.dataset({})
    from flossing.runs import checkpoint

    for number in range(100):
        left = [number]

        def dying(original, left=left):
            def operation(*args, **kwargs):
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return original(*args, **kwargs)

            return operation

        with monkeypatch.context() as patch:
            for owner, name in [
                (os, "link"),
                (os, "fsync"),
                (Path, "replace"),
                (Path, "unlink"),
                (Path, "chmod"),
            ]:
                patch.setattr(owner, name, dying(getattr(owner, name)))
            try:
                checkpoint.write_checkpoint(half, state, metrics)
            except Killed:
                died = True
            else:
                died = False
        found, _, notes = read_checkpoint(half, like)
        assert int(found.epochs) == int(state.epochs)
        assert not [note for note in notes if "cannot be used" in note]
        if not died:
            assert number > 5
            return
    raise AssertionError("it never got through")


def test_leftovers_of_a_killed_process_are_removed(half, undisturbed):
    (half / ".checkpoint-abc.eqx").write_bytes(b"half a file")
    (half / ".metrics-abc.nc").write_bytes(b"half a file")
    assert_same(resume(half), undisturbed)
    assert not list(half.glob(".*"))


def test_two_processes_do_not_write_into_one_directory(half, undisturbed):
    with (
        locked(half),
        pytest.raises(ValueError, match=f"another process is writing to {half}"),
    ):
        resume(half)
    assert_same(resume(half), undisturbed)


@contextlib.contextmanager
def full_disk(limit):
    """Files of this process may not grow beyond a limit, which stands for a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))  # Python ignores the signal
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs limits of processes")
@pytest.mark.filterwarnings("ignore:Error writing persistent compilation cache")
def test_a_full_disk_leaves_the_last_checkpoint(half, undisturbed, monkeypatch, capsys):
    limit = (half / "checkpoint.eqx").stat().st_size - 1
    shutil.copy(half / "checkpoint.eqx", half.parent / "saved")
    # Python would leave compiled modules of ours cut off at the limit
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    with full_disk(limit):
        assert main(["train", "--devices", "1", "--resume", str(half)]) == 2
    out, errors = capsys.readouterr()
    assert "could not write to" in out
    assert "File too large" in errors
    assert (half / "checkpoint.eqx").read_bytes() == (half.parent / "saved").read_bytes()
    assert not list(half.glob(".*-*"))
    assert_same(resume(half), undisturbed)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs groups of processes")
def test_killed_at_a_random_moment(tmp_path, undisturbed):
    from kill_train import kill_and_resume

    kills = kill_and_resume(CONFIG, tmp_path / "killed", undisturbed, kills=2, seed=0)
    assert kills == 2
