"""One run from its configuration to its directory, block by block, interruptible and resumable."""

import threading
from collections.abc import Sequence
from pathlib import Path

import jax
import xarray as xr

from ..floss import Flossing
from ..training import begin
from . import checkpoint, directory as files
from .config import RunConfig, from_yaml, to_yaml
from .job import Job, Reporter, RunResult, Silent
from .record import Record
from .trackers import Tracker, TrackerName


def run(
    config: RunConfig,
    *,
    write: bool = True,
    reporter: Reporter | None = None,
    stop: threading.Event | None = None,
    track: Sequence[TrackerName] = (),
    trackers: Sequence[Tracker] = (),
    beside: Flossing | None = None,
) -> RunResult:
    """Trains the networks of a configuration with their flossing schedule.

    Args:
        config: what to do; ``config.directory`` must not exist (empty for a name made of the time).
        write: write the directory; without it results are only returned.
        reporter: is told about progress.
        stop: when set, the run ends after the current block with everything written.
        track: names of trackers to make; they need a directory.
        trackers: trackers of your own, which are told what is measured.
        beside: how other networks of the same kind and training are flossed in this process, whose
            compiled program is then used for training epochs without flossing, too.

    Raises:
        FileExistsError: the directory exists. OSError: it cannot be written. ModuleNotFoundError: a
        tracker's library is missing.
    """
    state = begin(config.networks(), config.training, config.flossing)
    path = None
    if write and jax.process_index() == 0:
        label = f"{config.task.name}-{config.task.delay}-{config.cell.name}"
        path = files.new_directory(config.directory or files.default_directory(label))
        files.write_text(path / files.CONFIG, to_yaml(config))
        files.write_environment(path)
    job = Job(config, path, state, Record(), reporter or Silent(), stop, beside)
    return job.run(track, trackers)


def resume(
    directory: str | Path,
    *,
    reporter: Reporter | None = None,
    stop: threading.Event | None = None,
    track: Sequence[TrackerName] = (),
    trackers: Sequence[Tracker] = (),
) -> RunResult:
    """Continues a run from the last block that its directory holds.

    The result is that of an uninterrupted run. Where the last checkpoint is damaged, the one before it
    is used, and the reporter is told. A run that was killed before its first checkpoint starts again.

    Args:
        directory: of the run.
        reporter, stop, track, trackers: as for ``run``.

    Raises:
        ValueError: the directory is not that of a run, another process writes to it, or no checkpoint
        is sound.
    """
    path = Path(directory)
    config = read_config(path)
    reporter = reporter or Silent()
    state = begin(config.networks(), config.training, config.flossing)
    record, notes = Record(), ["there is no checkpoint yet; starting from the beginning"]
    if checkpoint.has_checkpoint(path):
        state, record, notes = checkpoint.read_checkpoint(path, state)
    job = Job(config, path if jax.process_index() == 0 else None, state, record, reporter, stop)
    job.say(notes)
    return job.run(track, trackers)


def read_config(directory: str | Path) -> RunConfig:
    """The configuration in a run's directory; raises ``ValueError`` if there is none."""
    path = Path(directory) / files.CONFIG
    if not path.is_file():
        raise ValueError(f"{directory}: has no {files.CONFIG}; is it the directory of a run?")
    return from_yaml(path.read_text(encoding="utf-8"), path)


def read_metrics(directory: str | Path) -> xr.Dataset:
    """The labelled results in a run's directory; raises ``ValueError`` if there are none."""
    return files.read_dataset(Path(directory) / files.METRICS)


def load(directory: str | Path) -> RunResult:
    """A run from its directory: configuration, results, trained networks.

    Raises:
        ValueError: the directory is not that of a run, or its files are damaged.
    """
    path = Path(directory)
    config = read_config(path)
    networks = files.read_arrays(path / files.WEIGHTS, config.networks())
    data = read_metrics(path)
    return RunResult(config, data, networks, path, "test_accuracy" in data)
