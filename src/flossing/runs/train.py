"""One run from its configuration to its directory, block by block, interruptible and resumable."""

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import optax
import xarray as xr

from ..cells import CellSpec
from ..floss import Adaptive, Schedule
from ..optimisers import Adam, OptimiserSpec
from ..tasks import Task
from ..training import begin
from ..training.trainer import cell_of, start_of
from . import checkpoint, directory as files, parts, yaml_files
from .clock import seconds_of
from .config import RunConfig, check_network, differences, from_yaml, to_yaml
from .job import Job
from .record import Record
from .reporter import Reporter, Silent
from .result import RunResult
from .trackers import Tracker, TrackerName


def run(
    config: RunConfig,
    *,
    write: bool = True,
    reporter: Reporter | None = None,
    stop: threading.Event | None = None,
    track: Sequence[TrackerName] = (),
    trackers: Sequence[Tracker] = (),
) -> RunResult:
    """Trains the networks of a configuration with their flossing schedule.

    Args:
        config: what to do; ``config.directory`` must not exist (``None`` for a name made of the time).
        write: write the directory; without it results are only returned.
        reporter: is told about progress.
        stop: when set, the run ends after the current block with everything written.
        track: names of trackers to make; they need a directory.
        trackers: trackers of your own, which are told what is measured.

    Raises:
        FileExistsError: the directory exists. OSError: it cannot be written. ModuleNotFoundError: a
        tracker's library is missing.
    """
    config.check()
    state = begin(config.networks(), config.trainer)
    path = None
    if write and jax.process_index() == 0:
        path = files.new_directory(config.directory or files.default_directory(_label(config)))
        files.write_text(path / files.CONFIG, to_yaml(config))
        files.write_environment(path)
    job = Job(config, path, state, Record(), reporter or Silent(), stop)
    return job.run(track, trackers)


def _label(config: RunConfig) -> str:
    """What the default directory of a run is called, after the time."""
    names = [parts.name_of(part, getattr(config, part)) for part in ("task", "cell")]
    return "-".join((name or "own").rpartition(":")[2] for name in names)


def resume(
    directory: str | Path,
    *,
    config: RunConfig | None = None,
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
        config: its settings again, as parts that Python gave need them; only ``epochs`` may be others: more
            of them extend the run. Learning rates that fall over the epochs then fall over the new ones.
        reporter, stop, track, trackers: as for ``run``.

    Raises:
        ValueError: the directory is not that of a run, the settings are others, another process writes to
        it, or no checkpoint is sound.
    """
    path = Path(directory)
    if config is None:
        config = read_config(path)
    else:
        config = dataclasses.replace(config, directory=str(path))
        _check_same(path, config)
    reporter = reporter or Silent()
    state = begin(config.networks(), config.trainer)
    record, notes = Record(), ["there is no checkpoint yet; starting from the beginning"]
    if checkpoint.has_checkpoint(path):
        state, record, notes = checkpoint.read_checkpoint(path, state)
        record.goes_on(config.epochs)
    if config.epochs < int(state.epochs):
        raise ValueError(
            f"epochs: the run in {path} has done {int(state.epochs)} epochs already, got {config.epochs}."
        )
    if jax.process_index() == 0:
        files.write_text(path / files.CONFIG, to_yaml(config))
    job = Job(config, path if jax.process_index() == 0 else None, state, record, reporter, stop)
    job.say(notes)
    return job.run(track, trackers)


def _check_same(path: Path, config: RunConfig) -> None:
    """Raises ``ValueError`` if the run in a directory has other settings than its number of epochs."""
    kept = yaml_files.load(_text(path))
    changed = [text for text in differences(kept, config) if not text.startswith("epochs = ")]
    if changed:
        raise ValueError(
            f"directory: the run in {path} goes on with its own settings, but has {'; '.join(changed)}. "
            "Leave these out, or choose another directory."
        )


def _text(directory: Path) -> str:
    """The settings in a run's directory as they are written there."""
    path = directory / files.CONFIG
    if not path.is_file():
        raise ValueError(f"{directory}: has no {files.CONFIG}; is it the directory of a run?")
    return path.read_text(encoding="utf-8")


def read_config(directory: str | Path) -> RunConfig:
    """The configuration in a run's directory; raises ``ValueError`` if there is none."""
    path = Path(directory)
    return from_yaml(_text(path), path / files.CONFIG)


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
    return RunResult(config, data, networks, path, "test_loss" in data, seconds_of(path))


def train(
    network: CellSpec | Callable,
    task: Task,
    *,
    schedule: Schedule | None = Adaptive(),  # noqa: B008
    optimiser: OptimiserSpec | optax.GradientTransformation = Adam(),  # noqa: B008
    epochs: int = 3001,
    batch_size: int = 16,
    realisations: int = 1,
    seed: int = 1,
    measure_every: int | None = 100,
    measure_exponents: int | None = None,
    test_trials: int = 256,
    directory: str | Path | None = None,
    step: Callable[[Any], Any] = cell_of,
    state: Callable[[Any], Any] = start_of,
    reporter: Reporter | None = None,
    trackers: Sequence[Tracker] = (),
) -> RunResult:
    """Trains networks on a task, with flossing around it.

    Args:
        network: settings of a cell, such as ``fl.TanhSpec(80)``; or a function of a random key that makes a
            network: a ``fl.Network``, or an object of your own that is called as ``network(inputs)`` with
            inputs of shape (time, input), and as ``network(inputs, state=..., key=...)`` if it takes these.
        task: what is learned, such as ``fl.tasks.DelayedXOR(40)``.
        schedule: when and how networks are flossed; ``None`` for not at all.
        optimiser: settings such as ``fl.Adam()``, or any Optax transformation.
        epochs: number of updates, each on one batch.
        batch_size: trials per update.
        realisations: independent networks, trained side by side.
        seed: random seed of weights, data and tangent bases.
        measure_every: epochs between measurements of the spectrum; ``None`` for start and end only.
        measure_exponents: how many exponents are measured; default all, at most 128.
        test_trials: held-out trials per network at the end.
        directory: where the run is written, block by block. If it holds this run already, the run goes on
            from there; with more epochs than before it is extended. ``None``: nothing is written.
        step: makes the recurrent step ``(state, input) -> state`` from a network of your own; default its
            ``cell``.
        state: makes the state in which trials start from a network of your own; default its
            ``initial_state``.
        reporter: is told about progress; default a progress bar.
        trackers: get the numbers as they are measured.

    Returns:
        A ``RunResult`` with ``data`` (an xarray dataset), ``networks`` (realisations along the leading axis
        of every array), ``plot()``, ``driven(1)`` (what ``fl.examine`` takes), ``seconds`` and ``finished``:
        after Ctrl-C, the current block ends and what was done so far is returned, with ``finished`` false and
        without held-out numbers. Printed, it says how to go on. A second Ctrl-C interrupts at once.

    Raises:
        ValueError, TypeError: arguments that do not fit; a directory with another run.
    """
    check_network("network", network)
    config = RunConfig(
        task=task,
        cell=network,
        schedule=schedule,
        optimiser=optimiser,
        epochs=epochs,
        batch_size=batch_size,
        realisations=realisations,
        seed=seed,
        measure_every=measure_every,
        measure_exponents=measure_exponents,
        test_trials=test_trials,
        directory=None if directory is None else str(directory),
        step=step,
        state=state,
    )
    with _bar(reporter) as (told, stop):
        options: dict[str, Any] = {"reporter": told, "trackers": trackers, "stop": stop}
        if directory is not None and (Path(directory) / files.CONFIG).is_file():
            return resume(directory, config=config, **options)
        return run(config, write=directory is not None, **options)


@contextlib.contextmanager
def _bar(reporter: Reporter | None) -> Iterator[tuple[Reporter, threading.Event]]:
    """The reporter that is given, or a progress bar; and an event that Ctrl-C sets."""
    from rich.console import Console

    from .console import ConsoleReporter, graceful_interrupt, progress_display

    console = Console(stderr=True)
    with graceful_interrupt(console) as stop:
        if reporter is not None:
            yield reporter, stop
            return
        with progress_display(console) as progress:
            yield ConsoleReporter(progress, "train"), stop
