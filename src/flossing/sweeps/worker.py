"""What happens on a worker: one piece of work, started, continued or left alone, and news of it."""

import dataclasses
import shutil
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import xarray as xr

from .._blas import one_blas_thread
from .._compiled import forget_programs
from ..runs import directory as files
from ..runs.config import RunConfig, from_yaml
from ..runs.job import compile_blocks
from ..runs.train import read_config, resume, run
from . import folder

_LOCK_SECONDS = 600.0
_NEWS_SECONDS = 0.2

_ENDING = ("closing", "closing_gracefully", "closed", "failed", "stopping", "stopped")

_stops: dict[str, threading.Event] = {}
_limited = False


Function = Callable[[Callable[[str], None]], xr.Dataset]
"""Makes a dataset; takes what it tells how far it is."""


class Job(NamedTuple):
    """A piece of work as it is sent to a worker."""

    index: int
    name: str
    work: str | Function
    """The YAML of a run, or a function whose dataset is written to ``data.nc``."""
    sweep: str
    """Directory of the sweep, on a file system that all workers share."""
    topic: str
    """Under which news are sent; also names this start of the sweep."""
    timed: bool = False
    """Compile a run's programs before it begins or goes on, so that its clock counts no compilation."""


Tell = Callable[[str, dict[str, Any]], None]
"""Takes news: their topic and content."""


class Outcome(NamedTuple):
    """How a run ended on a worker."""

    status: str
    """``finished``, ``stopped`` or ``failed``."""
    error: str = ""
    """The traceback of a failure."""


def stop_event(topic: str) -> threading.Event:
    """The event that ends runs of this start of a sweep, in this process, after their block."""
    return _stops.setdefault(topic, threading.Event())


def stop(topic: str) -> None:
    """Ends the runs of this process after their current block, and lets no others begin."""
    stop_event(topic).set()


def stop_with(topic: str, event: threading.Event) -> None:
    """Lets this event end the runs of a start of a sweep in this process."""
    _stops[topic] = event


class _Stop(threading.Event):
    """Set when the sweep stops, and when this worker has lost its scheduler and is about to end.

    The process of such a worker is being taken down around the run, which may be elsewhere by now.
    """

    def __init__(self, topic: str):
        super().__init__()
        self.sweep = stop_event(topic)
        self.worker = _dask_worker()

    def is_set(self) -> bool:
        lost = self.worker is not None and self.worker.status.name in _ENDING
        return lost or self.sweep.is_set()


def _dask_worker() -> Any:
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:  # called without Dask
        return None


def dask_setup(worker: Any) -> None:
    """Called by Dask in a local worker: Ctrl-C is for the process that conducts the sweep."""
    del worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def work(job: Job, tell: Tell | None = None) -> Outcome:
    """Brings one piece to its end, from wherever its directory says that it is.

    An exception is returned as an outcome: not every exception survives the way back.

    Args:
        job: what to do.
        tell: takes the news; without it they go to Dask's scheduler.
    """
    _limit_threads()
    event = _Stop(job.topic)
    if event.is_set():
        return Outcome("stopped")
    sweep = Path(job.sweep)
    try:
        with folder.alone(sweep, job.name, _LOCK_SECONDS, event.is_set) as mine:
            if event.is_set():
                return Outcome("stopped")
            if not mine:
                raise TimeoutError(
                    f"another process has been working on {job.name} for {_LOCK_SECONDS:.0f} s"
                )
            return _go(job, sweep / folder.RUNS / job.name, event, _News(job, tell))
    except Exception:
        return Outcome("failed", traceback.format_exc())
    finally:
        forget_programs()


def _go(job: Job, path: Path, event: threading.Event, news: "_News") -> Outcome:
    if folder.finished(path):
        return Outcome("finished")
    if not isinstance(job.work, str):
        return _call(job.work, path, news)
    config = dataclasses.replace(from_yaml(job.work, job.name), directory=str(path))
    begun = folder.begun(path)
    if not begun and path.exists():
        shutil.rmtree(path)
    news.begin()
    if job.timed:
        compile_blocks(config)
    if begun:
        _refuse_differences(config, path)
        result = resume(path, reporter=news, stop=event)
    else:
        result = run(config, reporter=news, stop=event)
    return Outcome("finished" if result.finished else "stopped")


def _refuse_differences(config: RunConfig, path: Path) -> None:
    if dataclasses.replace(read_config(path), directory=str(path)) != config:
        raise ValueError(f"{path}: holds a run with other settings than the sweep's.")


def _call(function: Function, path: Path, news: "_News") -> Outcome:
    news.begin()
    data = function(news.status)
    path.mkdir(exist_ok=True)
    files.write_dataset(path / folder.DATA, data)
    return Outcome("finished")


def _limit_threads() -> None:
    global _limited
    if not _limited:
        one_blas_thread()
        _limited = True


class _News:
    """Tells the conductor how far a piece is; news that are lost cost nothing but their display."""

    def __init__(self, job: Job, tell: Tell | None):
        self.job = job
        self.tell = tell or _to_scheduler
        self.last = 0.0
        self.done: dict[str, int] = {}

    def begin(self) -> None:
        self._send({"done": 0, "phase": "start", "status": "compiling"})

    def progress(self, phase: str, done: int, total: int, status: str) -> None:
        self.done[phase] = done
        now = time.monotonic()
        if now - self.last >= _NEWS_SECONDS or done == total:
            self.last = now
            self._send({"done": sum(self.done.values()), "phase": phase, "status": status})

    def status(self, text: str) -> None:
        """How far a function is."""
        self._send({"done": 0, "phase": "computing", "status": text})

    def message(self, text: str) -> None:
        self._send({"message": text})

    def _send(self, content: dict[str, Any]) -> None:
        self.tell(self.job.topic, {"run": self.job.index, **content})


def _to_scheduler(topic: str, content: dict[str, Any]) -> None:
    if (worker := _dask_worker()) is not None:
        worker.log_event(topic, content)
