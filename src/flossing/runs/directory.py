"""A run's directory: what is in it, and writing to it without ever leaving half a file."""

import contextlib
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import numpy as np
import xarray as xr
from jaxtyping import PyTree

from .. import _environment
from .._system import command_line, replace, write_through

CONFIG = "config.yaml"
METRICS = "metrics.nc"
WEIGHTS = "weights.eqx"
CHECKPOINT = "checkpoint.eqx"
ENVIRONMENT = "environment.json"
LOG = "log.txt"
CLOCK = "clock.jsonl"
EXAMINATION = "examine.json"
FIGURES = "figures"


def free_directory(path: str | Path) -> Path:
    """A directory that does not exist yet, or is empty.

    Raises:
        FileExistsError: it exists and is not empty, or is a file.
    """
    path = Path(path)
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise FileExistsError(
            f"directory: {path} exists already and is not overwritten; choose another name."
        )
    return path


def new_directory(path: str | Path) -> Path:
    """Makes a free directory.

    Raises:
        FileExistsError: it exists and is not empty, or is a file. OSError: it cannot be made.
    """
    path = free_directory(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def default_directory(label: str) -> Path:
    """``runs/<time>-<label>``, with a number behind it if that is taken."""
    base = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{label}"
    path, number = base, 2
    while path.exists():
        path, number = base.with_name(f"{base.name}-{number}"), number + 1
    return path


def write_atomically(
    path: Path, write: Callable[[Path], object], before: Callable[[], object] | None = None
) -> None:
    """Calls ``write`` with a temporary name beside ``path`` and renames the result to ``path``.

    When writing fails (a full disk, say) the old file stays and the temporary one is removed. ``before`` is
    called when all is written, just before the renaming.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        write_through(temporary)
        temporary.chmod(0o644)
        if before is not None:
            before()
        replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Any) -> None:
    """Writes JSON atomically, indented, with each innermost list on one line; NumPy numbers become plain."""
    text = json.dumps(content, indent=1, default=_plain)
    flat = re.sub(r"\[[^\[\]{}]*\]", lambda match: " ".join(match.group().split()), text)
    write_text(path, flat + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def append_to_log(directory: Path, text: str) -> None:
    """Adds lines to ``log.txt``; a log that cannot be written stops nothing."""
    with contextlib.suppress(OSError), (directory / LOG).open("a", encoding="utf-8") as file:
        file.write(text + "\n")


def write_arrays(path: Path, tree: PyTree) -> None:
    """Writes the arrays of a pytree atomically, in Equinox's format (no pickle)."""
    write_atomically(path, lambda p: eqx.tree_serialise_leaves(p, tree))


def read_arrays(path: Path, like: PyTree) -> PyTree:
    """Reads arrays into a pytree shaped like ``like``.

    Raises:
        ValueError: the file is damaged or holds arrays of other shapes.
    """
    try:
        return eqx.tree_deserialise_leaves(path, like)
    except FileNotFoundError:
        raise ValueError(
            f"{path.parent}: has no {path.name}; is it the directory of a run?"
        ) from None
    except Exception as error:
        raise ValueError(f"{path}: damaged, or of another configuration: {error}") from error


def write_dataset(path: Path, dataset: xr.Dataset) -> None:
    """Writes a labelled dataset as netCDF, atomically."""
    write_atomically(path, lambda p: write_dataset_plainly(p, dataset))


def write_dataset_plainly(path: Path, dataset: xr.Dataset) -> None:
    """Writes a labelled dataset as netCDF, with check sums.

    Raises:
        OSError: it cannot be written.
    """
    encoding: Any = {
        name: {"fletcher32": True, "chunksizes": variable.shape}
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "fiu" and variable.size
    }
    # Made in memory first: on a full disk the HDF5 library fails in ways that end the process.
    with _no_cluster():
        content = dataset.to_netcdf(engine="h5netcdf", encoding=encoding)
    path.write_bytes(content)


def _no_cluster() -> contextlib.AbstractContextManager:
    """Keeps xarray on a Dask worker from asking the cluster for a lock on what is in memory."""
    if "dask" not in sys.modules:
        return contextlib.nullcontext()
    import dask

    return dask.config.set(scheduler="synchronous")


def read_dataset(path: Path) -> xr.Dataset:
    """Reads a labelled dataset.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    if not path.is_file():
        raise ValueError(f"{path.parent}: has no {path.name}; is it the directory of a run?")
    try:
        return xr.load_dataset(path, engine="h5netcdf")
    except Exception as error:
        raise ValueError(f"{path}: damaged: {error}") from error


def environment(devices: bool = True) -> dict[str, Any]:
    """What a run ran on: versions, devices, command, and the commit of the directory it started in.

    Without ``devices`` JAX is not started, so that no GPU is taken.
    """
    return {
        "command": command_line([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "versions": _environment.versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "devices": _environment.devices() if devices else [],
        "x64": _environment.x64(),
        "git_commit": _git_commit(),
    }


def _git_commit() -> str | None:
    try:
        completed = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return completed.stdout.strip() or None if completed.returncode == 0 else None


def write_environment(directory: Path) -> None:
    """Writes ``environment.json``."""
    write_json(directory / ENVIRONMENT, environment())
