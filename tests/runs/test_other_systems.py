"""What differs on Windows and macOS: each call that is not there or behaves otherwise, and a whole run."""

import errno
import os
import shlex
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import xarray as xr
from test_runs import StopAfter, small

from flossing import _system
from flossing.runs import directory as files, load, resume, run
from flossing.runs.checkpoint import locked
from flossing.sweeps import folder

FILES = {
    "config.yaml", "metrics.nc", "metrics.jsonl", "clock.jsonl", "weights.eqx", "checkpoint.eqx",
    "environment.json", "log.txt",
}  # fmt: skip


def floss_elsewhere(*commands, cwd):
    """What commands print, one after another in a process that believes to be on another system."""
    words = [word for command in commands for word in (*command, "--then")][:-1]
    program = [sys.executable, str(Path(__file__).with_name("other_system.py")), *words]
    done = subprocess.run(program, capture_output=True, cwd=cwd, timeout=300)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout.decode("cp1252")


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="is another system")
def test_a_run_elsewhere_is_complete_and_can_be_resumed(tmp_path):
    one = {"realisations": 1}  # on one of all cores, so that numbers are the same
    whole = run(small(tmp_path / "whole", **one))
    settings = tmp_path / "settings.yaml"
    settings.write_text((tmp_path / "whole/config.yaml").read_text())
    reporter = StopAfter(2)
    run(small(tmp_path / "half", **one), reporter=reporter, stop=reporter.event)
    name = "q[x] \u03bb"
    out = floss_elsewhere(
        ["train", "--config", str(settings), "--directory", name],
        ["train", "--resume", "half", "--devices", "1"],
        cwd=tmp_path,
    )
    assert r"run:     q[x] \u03bb" in out
    for path in (tmp_path / name, tmp_path / "half"):
        assert {p.name for p in path.iterdir()} == FILES | {"figures"}
        xr.testing.assert_equal(load(path).data.drop_attrs(), whole.data.drop_attrs())


def test_cores_are_counted_without_affinity(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert _system.cores() == os.cpu_count()
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert _system.cores() == 1


def test_all_programs_use_the_cores_of_one_place():
    """The one call that only Linux has stands in the one module that knows of another way."""
    source = Path(_system.__file__).parent
    users = [p.name for p in source.rglob("*.py") if "sched_getaffinity" in p.read_text("utf-8")]
    assert users == ["_system.py"]
    for name in ("fcntl", "os.fsync", "shlex.join"):
        users = [p.name for p in source.rglob("*.py") if name in p.read_text("utf-8")]
        assert users == ["_system.py"], name


def test_fsync_gets_what_is_open_for_writing(tmp_path, monkeypatch):
    fsync, synced = os.fsync, []

    def picky(descriptor):
        with open(
            descriptor, "ab", closefd=False
        ) as file:  # raises for one that is open for reading
            os.write(file.fileno(), b"")
        synced.append(descriptor)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", picky)
    files.write_text(tmp_path / "a.txt", "content")
    assert (tmp_path / "a.txt").read_text() == "content"
    assert synced


@pytest.mark.parametrize(("failures", "error"), [(2, 32), (2, 5), (10**6, 32), (1, None)])
def test_renaming_waits_for_others_to_close_the_file(tmp_path, monkeypatch, failures, error):
    """Windows refuses while a scanner or a reader has the old file open; other refusals stand."""
    replace, calls = Path.replace, []

    def busy(self, target):
        calls.append(target)
        if len(calls) <= failures:
            refusal = PermissionError(errno.EACCES, "in use")
            if error is not None:
                refusal.winerror = error
            raise refusal
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", busy)
    monkeypatch.setattr(_system, "_PATIENCE_SECONDS", 0.3)
    (tmp_path / "a.txt").write_text("old")
    if failures == 2:
        files.write_text(tmp_path / "a.txt", "new")
        assert (tmp_path / "a.txt").read_text() == "new"
    else:
        with pytest.raises(PermissionError):
            files.write_text(tmp_path / "a.txt", "new")
        assert (len(calls) == 1) == (error is None)
        assert (tmp_path / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.fixture(params=["own", "msvcrt"])
def locks(request, monkeypatch):
    """Locks of this system, and those of Windows."""
    if request.param == "own":
        return
    held = {}

    def locking(descriptor, mode, count):
        del mode, count
        for other, place in held.items():
            try:
                same = os.fstat(other).st_ino == place
            except OSError:
                continue
            if same and other != descriptor and place == os.fstat(descriptor).st_ino:
                raise PermissionError(errno.EACCES, "Permission denied")
        held[descriptor] = os.fstat(descriptor).st_ino

    monkeypatch.setattr(_system, "fcntl", None)
    monkeypatch.setattr(_system, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))


@pytest.mark.slow
def test_one_process_at_a_time(locks, tmp_path):
    (tmp_path / ".locks").mkdir()
    for _ in range(2):
        with (
            locked(tmp_path),
            pytest.raises(ValueError, match="another process is writing"),
            locked(tmp_path),
        ):
            pass
        assert not (tmp_path / ".lock").exists()
        with folder.alone(tmp_path, "run") as mine, folder.alone(tmp_path, "run", 0.2) as other:
            assert (mine, other) == (True, False)


def test_a_file_system_without_locks_is_no_obstacle(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_system, "msvcrt", types.SimpleNamespace(locking=refuse, LK_NBLCK=2))
    monkeypatch.setattr(_system, "fcntl", None)
    with locked(tmp_path):
        pass


def test_a_lock_that_can_only_be_removed_when_it_is_closed_is_removed(tmp_path, monkeypatch):
    unlink = Path.unlink

    def careful(self, missing_ok=False):
        if any(os.path.samefile(self, f"/proc/self/fd/{n}") for n in _descriptors()):
            raise PermissionError(errno.EACCES, "in use")
        unlink(self, missing_ok)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files are not known")
    monkeypatch.setattr(Path, "unlink", careful)
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()
    assert not (tmp_path / ".lock").exists()


def _descriptors():
    return [n for n in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{n}")]


@pytest.mark.parametrize("name", ["posix", "nt"])
def test_commands_to_go_on_have_the_quotes_of_their_shell(name, monkeypatch):
    monkeypatch.setattr(_system.os, "name", name)
    line = _system.command_line(["floss", "train", "--resume", "a b[c]"])
    assert line == f"floss train --resume {chr(34) if name == 'nt' else chr(39)}a b[c]" + line[-1]
    if name == "posix":
        assert shlex.split(line)[-1] == "a b[c]"


@pytest.mark.slow
def test_resume_needs_no_hard_links(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise OSError(errno.EPERM, "Operation not permitted")

    reporter = StopAfter(3)
    monkeypatch.setattr(os, "link", refuse)
    run(small(tmp_path / "run", realisations=1), reporter=reporter, stop=reporter.event)
    copy = Path(shutil.copytree(tmp_path / "run", tmp_path / "copy"))
    (copy / "checkpoint.eqx").unlink()
    assert resume(copy).finished
