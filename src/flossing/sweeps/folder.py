"""A sweep's directory: what it was made with, its runs, and who works on it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import xarray as xr

from .._system import try_lock
from ..runs import directory as files, yaml_files
from ..runs.checkpoint import has_checkpoint
from ..runs.config import to_yaml
from .grid import Grid

SETTINGS = "sweep.yaml"
DATASET = "sweep.nc"
TABLE = "sweep.csv"
PROVENANCE = "sweep.json"
RUNS = "runs"
DATA = "data.nc"
"""What a function has returned."""
ERROR = "error.txt"
_LOCKS = ".locks"


def open_directory(path: Path, grid: Grid) -> None:
    """Makes the directory of a sweep, or checks that it is that of the same sweep.

    Raises:
        FileExistsError: there is something else. ValueError: the sweep there has other settings.
    """
    file = path / SETTINGS
    wanted = {"base": yaml_files.load(to_yaml(grid.base)), **grid.content()}
    if not file.is_file():
        if path.is_dir() and {p.name for p in path.iterdir()} <= {_LOCKS, RUNS}:
            path.joinpath(_LOCKS).mkdir(exist_ok=True)  # killed before the settings were written
        else:
            files.new_directory(path)
        files.write_text(file, yaml_files.dump(wanted))
    else:
        _refuse_differences(path, file, wanted)
    make(path)


def make(path: Path) -> None:
    """Makes the directory, if it is not there, and the folders that work needs in it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / RUNS).mkdir(exist_ok=True)
    (path / _LOCKS).mkdir(exist_ok=True)


def _refuse_differences(path: Path, file: Path, wanted: dict[str, Any]) -> None:
    try:
        there = yaml_files.load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml_files.YAMLError) as error:
        raise ValueError(f"{file}: cannot be read: {error}") from None
    old, new = dict(_flat(there)), dict(_flat(wanted))
    different = [
        f"{name}: {old.get(name, 'not swept')} there, {new.get(name, 'not swept')} now"
        for name in dict.fromkeys([*old, *new])
        if old.get(name) != new.get(name)
    ]
    if different:
        raise ValueError(
            f"directory: {path} holds a sweep with other settings ({'; '.join(different)}); "
            "take the same settings to continue it, or another directory."
        )


def _flat(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items() if isinstance(content, dict) else ():
        if isinstance(value, dict) and prefix + name != "over":
            yield from _flat(value, "" if name == "base" else f"{prefix}{name}.")
        elif prefix + name == "over":
            yield from ((f"over {field}", values) for field, values in value.items())
        else:
            yield prefix + name, value


def finished(run: Path) -> bool:
    """Whether the directory of a run or of a function holds everything."""
    if (run / DATA).is_file():
        return True  # written under another name first
    if not (run / files.WEIGHTS).is_file() or not (run / files.METRICS).is_file():
        return False
    try:
        with xr.open_dataset(run / files.METRICS, engine="h5netcdf") as data:
            return "test_loss" in data
    except (OSError, ValueError):
        return False


def begun(run: Path) -> bool:
    """Whether a run can go on from a checkpoint."""
    return (run / files.CONFIG).is_file() and has_checkpoint(run)


def record_error(run: Path, text: str) -> None:
    """Writes the traceback of a run, or removes the one of an earlier try when there is none now."""
    with contextlib.suppress(OSError):  # an obstacle in its place may be the very error
        if text:
            run.mkdir(exist_ok=True)
            files.write_text(run / ERROR, text)
        elif finished(run):
            (run / ERROR).unlink(missing_ok=True)


def error(run: Path) -> str:
    """The traceback of a run that failed, empty if it did not."""
    try:
        return (run / ERROR).read_text(encoding="utf-8")
    except OSError:
        return ""


@contextlib.contextmanager
def alone(
    sweep: Path, name: str, wait: float = 0.0, stop: Callable[[], bool] = lambda: False
) -> Iterator[bool]:
    """Holds the lock of a run (or of the whole sweep) while the body runs; it ends with the process.

    Yields:
        Whether the lock was free within ``wait`` seconds (and before ``stop()``). Where there are no
        locks (some network file systems), ``True``.
    """
    file = os.open(sweep / _LOCKS / name, os.O_CREAT | os.O_RDWR, 0o644)
    try:
        deadline = time.monotonic() + wait
        got = try_lock(file)
        while not got and time.monotonic() < deadline and not stop():
            time.sleep(0.1)
            got = try_lock(file)
        yield got
    finally:
        os.close(file)
