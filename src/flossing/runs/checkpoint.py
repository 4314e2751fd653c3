"""Checkpoints: the last two are kept, damage is noticed, and the newest sound one is found again.

A checkpoint is the training state (``checkpoint.eqx``, which ends with a digest of itself) and the metrics
up to it (``metrics.nc``). Metrics are written first, so they may be a block ahead of the state, never
behind it.
"""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import equinox as eqx
import xarray as xr

from .._system import replace, try_lock
from ..training import TrainState
from . import directory as files
from .record import Record

_MAGIC = b"flossing-sha256:"
_DIGEST = hashlib.sha256().digest_size
_LOCK = ".lock"


def previous(path: Path) -> Path:
    """Where the file before this one is kept."""
    return path.with_stem(f"{path.stem}-previous")


def write_checkpoint(directory: Path, state: TrainState, metrics: xr.Dataset) -> None:
    """Writes metrics and state; what was there becomes the previous checkpoint.

    Whenever it is interrupted, a sound checkpoint remains.

    Raises:
        OSError: it cannot be written.
    """
    _rotate_and_write(
        directory / files.METRICS, lambda path: files.write_dataset_plainly(path, metrics)
    )
    _rotate_and_write(directory / files.CHECKPOINT, lambda path: _write_state(path, state))


def has_checkpoint(directory: Path) -> bool:
    """Whether a checkpoint was ever written, sound or not."""
    path = directory / files.CHECKPOINT
    return path.exists() or previous(path).exists()


def discard_previous(directory: Path) -> None:
    """Removes the previous checkpoint of a run that is finished."""
    for name in (files.METRICS, files.CHECKPOINT):
        previous(directory / name).unlink(missing_ok=True)


def _rotate_and_write(path: Path, write: Callable[[Path], object]) -> None:
    def rotate() -> None:
        if path.exists():
            link = path.with_name(f".{previous(path).name}")
            link.unlink(missing_ok=True)
            try:
                os.link(path, link)
            except OSError:
                # A file system without hard links: for a moment there is only the previous file.
                replace(path, previous(path))
            else:
                replace(link, previous(path))

    files.write_atomically(path, write, before=rotate)


def _write_state(path: Path, state: TrainState) -> None:
    eqx.tree_serialise_leaves(path, state)
    with path.open("r+b") as file:
        digest = _digest(file, path.stat().st_size)
        file.seek(0, os.SEEK_END)
        file.write(_MAGIC + digest)


def _digest(file: IO[bytes], size: int) -> bytes:
    digest = hashlib.sha256()
    file.seek(0)
    while size:
        part = file.read(min(size, 1 << 20))
        size -= len(part)
        digest.update(part)
        if not part:
            break
    return digest.digest()


def _read_state(path: Path, like: TrainState) -> TrainState:
    tail = len(_MAGIC) + _DIGEST
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(size - tail, 0))
        end = file.read()
        if len(end) != tail or end != _MAGIC + _digest(file, size - tail):
            raise ValueError(f"{path}: damaged or incomplete.")
    return files.read_arrays(path, like)


def read_checkpoint(directory: Path, like: TrainState) -> tuple[TrainState, Record, list[str]]:
    """The newest sound checkpoint of a run.

    Args:
        directory: of the run.
        like: a state of the same run, for shapes.

    Returns:
        State, record of metrics up to it, and one line for each file that could not be used.

    Raises:
        ValueError: there is none.
    """
    # State and metrics are two files, and of each the one before is kept. A process may die between the two
    # writes, or a file be damaged: then there is, say, a state of epoch 200 and metrics up to epoch 300. Any
    # sound pair will do in which metrics reach as far as the state; what they have beyond it is cut off, and
    # is computed again.
    notes: list[str] = []
    metrics = list(_sound(directory / files.METRICS, files.read_dataset, notes))
    for state in _sound(directory / files.CHECKPOINT, lambda p: _read_state(p, like), notes):
        epochs, steps = int(state.epochs), int(state.floss_steps)
        for data in metrics:
            enough = data.sizes.get("epoch", 0) >= epochs
            if enough and data.sizes.get("flossing_step", 0) >= steps:
                if notes:
                    notes.append(f"going on after epoch {epochs} and flossing step {steps}")
                return state, Record.from_dataset(data, epochs, steps), notes
    raise ValueError("; ".join([f"{directory}: has no usable checkpoint", *notes]))


def _sound(path: Path, read: Callable[[Path], object], notes: list[str]) -> Iterator:
    for candidate in (path, previous(path)):
        if not candidate.exists():
            if candidate == path:
                notes.append(f"{candidate.name} is missing")
            continue
        try:
            content = read(candidate)
        except (ValueError, OSError) as error:
            notes.append(f"{candidate.name} cannot be used ({error})")
        else:
            yield content


def remove_leftovers(directory: Path) -> None:
    """Removes temporary files of a process that was killed while it wrote."""
    for path in directory.glob(".*"):
        if path.is_file() and path.name.startswith((".checkpoint", ".metrics", ".weights")):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keeps other processes on this machine from writing into the directory.

    The lock goes with the process, however that ends.

    Raises:
        ValueError: another process holds it.
    """
    path = directory / _LOCK
    with path.open("w") as file:
        if not try_lock(file.fileno()):
            raise ValueError(f"directory: another process is writing to {directory}.")
        try:
            yield
        finally:
            open_still = _remove(path)
    if open_still:
        _remove(path)


def _remove(path: Path) -> bool:
    """Removes a lock's file; ``True`` where that has to wait until it is closed (Windows)."""
    try:
        path.unlink(missing_ok=True)
    except PermissionError:
        return True
    return False
