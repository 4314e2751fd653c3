"""Progress bars and tables on a terminal; plain lines where the output is not one."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import xarray as xr
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from .._system import command_line
from .reporter import COMPILING
from .result import RunResult
from .summary import result_table


def say(console: Console, text: str, style: str = "") -> None:
    """Prints text as it is: brackets are no markup, colons no emoji, and paths are not broken into lines."""
    console.print(Text(text, style), soft_wrap=True)


class _Rate(ProgressColumn):
    """Epochs and flossing steps per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.1f}/s", style="cyan")


class ConsoleReporter:
    """A progress bar for flossing and one for training; several reporters can share a display."""

    def __init__(self, progress: Progress, label: str):
        self._progress = progress
        self._label = label
        self._first = progress.add_task(f"{label}: compiling", total=None, status="")
        self._bars: dict[str, TaskID] = {}
        self._last_tenth: dict[str, int] = {}
        if progress.disable:
            say(progress.console, f"{label}: compiling")

    def progress(self, phase: str, done: int, total: int, status: str) -> None:
        """Moves the bar; where there is no terminal, prints a line at each tenth, and when it compiles."""
        news = bool(self._bars)  # that it compiles first was said at the beginning
        if phase not in self._bars:
            bar = self._progress.add_task("", status="") if self._bars else self._first
            self._bars[phase] = bar
        self._progress.update(
            self._bars[phase],
            description=f"{self._label}: {phase}",
            completed=done,
            total=total,
            status=status,
        )
        tenth = 10 * done // total
        if status != COMPILING:
            news = tenth > self._last_tenth.get(phase, -1)
            self._last_tenth[phase] = max(tenth, self._last_tenth.get(phase, -1))
        if self._progress.disable and news:
            say(self._progress.console, f"{self._label}: {phase} {done}/{total}, {status}")

    def message(self, text: str) -> None:
        """A line above the bars."""
        say(self._progress.console, f"{self._label}: {text}", "yellow")


@contextmanager
def progress_display(console: Console) -> Iterator[Progress]:
    """A display for progress bars with rate, metric and time left.

    In a notebook it needs ipywidgets. Where a program runs the notebook, it takes the output of the next
    cell; the environment variable ``TTY_INTERACTIVE=0`` turns it off there. Where it cannot be shown,
    reporters print lines.
    """
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TextColumn("{task.fields[status]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not _can_move(console)) as progress:
        yield progress


def _can_move(console: Console) -> bool:
    """Whether what is shown can be changed afterwards."""
    if console.is_jupyter:
        wanted = os.environ.get("TTY_INTERACTIVE") != "0"
        return wanted and find_spec("ipywidgets") is not None
    return console.is_terminal


def results_table(runs: dict[str, xr.Dataset], title: str) -> Table:
    """One row per network and run: headline metric, epochs to 95 %, exponents, gradient norm."""
    results = result_table(runs)
    table = Table(
        title=Text(title),
        title_justify="left",
        caption=None if results.note is None else Text(results.note),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=0,
        pad_edge=False,
    )
    for i, heading in enumerate(results.header):
        justify = "right" if i else "left"
        table.add_column("\n".join(heading), justify=justify, no_wrap=True)
    for row in results.rows:
        table.add_row(*map(Text, row))
    return table


def say_how_to_go_on(console: Console, result: RunResult) -> None:
    """Prints the command that continues a run."""
    command = command_line(["floss", "train", "--resume", str(result.directory)])
    say(console, f"stopped early; go on with:  {command}")


@contextmanager
def graceful_interrupt(console: Console) -> Iterator[threading.Event]:
    """The first Ctrl-C (or SIGTERM) sets the event, the second one interrupts at once.

    In a thread other than the main one, which gets no signals, nothing sets the event.
    """
    import signal

    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return

    def handle(number: int, frame: Any) -> None:
        del frame
        if event.is_set():
            raise KeyboardInterrupt
        event.set()
        say(console, "stopping after the current block; press Ctrl-C again to stop at once")

    old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in old.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
