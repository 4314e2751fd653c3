"""What is shown of a sweep: one line with runs that are finished or failed, and time left."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ..runs.console import say
from .grid import Piece
from .pace import Pace

_LINE_SECONDS = 30.0


class Display(Protocol):
    """Who is told how a sweep goes."""

    def progress(self, run: int, done: int, status: str) -> None:
        """A run has done so many of its epochs and flossing steps."""
        ...

    def ended(self, run: int, status: str) -> None:
        """A run is ``finished``, ``failed`` or ``stopped``."""
        ...

    def message(self, text: str) -> None:
        """Something worth a line."""
        ...


def tell(display: Display, name: str, news: dict[str, Any]) -> None:
    """Passes the news of a piece of that name on to a display."""
    if "message" in news:
        display.message(f"{name}: {news['message']}")
    else:
        display.progress(news["run"], news["done"], f"{news['phase']}, {news['status']}")


class Board:
    """Adds up what the runs report; on a terminal a bar, elsewhere a line now and then.

    Epochs and flossing steps both count as epochs.
    """

    def __init__(
        self,
        progress: Progress,
        runs: Sequence[Piece],
        finished: Sequence[Piece],
        label: str = "sweep",
        unit: str = "runs",
    ):
        self._progress = progress
        self._label, self._unit = label, unit
        self._names = {run.index: run.name for run in runs}
        self._steps = {run.index: run.steps for run in runs}
        self._done = {run.index: run.steps for run in finished}
        self._status = {run.index: "finished" for run in finished}
        self._said: dict[int, str] = {}
        self._pace = Pace(runs)
        self._last_line = time.monotonic()
        self._lock = threading.Lock()
        self._task = progress.add_task(label, total=sum(self._steps.values()), status="")
        self._show()

    def progress(self, run: int, done: int, status: str) -> None:
        """A run has done so many of its epochs and flossing steps."""
        with self._lock:
            if run in self._status:  # late news of a run that has ended
                return
            self._said[run] = status
            self._pace.add(run, done, time.monotonic())
            self._done[run] = done
            self._show()
            if time.monotonic() - self._last_line > _LINE_SECONDS:
                self._line()

    def ended(self, run: int, status: str) -> None:
        """A run is ``finished``, ``failed`` or ``stopped``."""
        with self._lock:
            self._status[run] = status
            self._said.pop(run, None)
            self._pace.end(run, status == "finished")
            if status == "finished":
                self._done[run] = self._steps[run]
            self._show()
            if not self._progress.console.is_terminal or status == "failed":
                say(self._progress.console, f"{self._names[run]}: {status}")
                self._line()

    def message(self, text: str) -> None:
        """A line above the bar."""
        say(self._progress.console, text, "yellow")

    def text(self) -> str:
        """Runs and time left."""
        status = list(self._status.values())
        text = f"{status.count('finished')}/{len(self._names)} {self._unit}"
        if failed := status.count("failed"):
            text += f", {failed} failed"
        running = {i: self._done.get(i, 0) for i in self._names if i not in self._status}
        seconds = self._pace.seconds_left(running)
        if seconds is None and running.keys() & self._done.keys():
            text += ", no estimate yet: runs compile first"
        elif running and seconds is not None:
            text += f", {_duration(seconds)} left"
        if len(self._said) == 1:
            [said] = self._said.values()
            text += f"; {said}"
        return text

    def _show(self) -> None:
        self._progress.update(
            self._task, completed=sum(self._done.values()), status=self.text(), refresh=False
        )

    def _line(self) -> None:
        self._last_line = time.monotonic()
        if not self._progress.console.is_terminal:
            say(self._progress.console, f"{self._label}: {self.text()}")


class Silent:
    """A display that shows nothing."""

    def progress(self, run: int, done: int, status: str) -> None:
        """Nothing."""

    def ended(self, run: int, status: str) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""


@contextmanager
def no_display(pieces: Sequence[Piece], finished: Sequence[Piece]) -> Iterator[Display]:
    """A display that shows nothing of these pieces."""
    del pieces, finished
    yield Silent()


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


@contextmanager
def sweep_display(console: Console) -> Iterator[Progress]:
    """A display with one bar."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[status]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        yield progress
