"""``floss train``: any task, cell and flossing schedule, into a directory of its own."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import jax
import tyro
from rich.console import Console

from .._checks import check_integer
from ..runs import directory as files
from ..runs.config import RunConfig, from_yaml, to_yaml
from ..runs.console import (
    ConsoleReporter,
    graceful_interrupt,
    progress_display,
    results_table,
    say,
    say_how_to_go_on,
)
from ..runs.job import RunResult
from ..runs.plots import run_figure, save
from ..runs.trackers import TrackerName
from ..runs.train import read_config, resume, run
from ._cores import use_cores
from ._parts import parse as parse_parts


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train recurrent networks on a task with a long horizon, with gradient flossing around it.

    Sizes and rates are those of the published example call of gradient flossing (Engelken 2023); the
    flossing schedule is adaptive.
    """

    run: RunConfig = RunConfig()
    config: Annotated[str, tyro.conf.arg(metavar="FILE")] = ""
    """YAML file with settings; options on the command line win over it."""
    save_config: Annotated[str, tyro.conf.arg(metavar="FILE")] = ""
    """Write the settings as YAML to this file (- for the terminal) and stop."""
    resume: Annotated[str, tyro.conf.arg(metavar="DIR")] = ""
    """Continue the run in this directory, with its own settings."""
    track: tyro.conf.UseAppendAction[tuple[tuple[TrackerName, ...], ...]] = ()
    """Also send the numbers to tensorboard or wandb (metrics.jsonl is always written)."""
    devices: int = 0
    """CPU cores (or, with several processes, cores of each) to lay the networks over; 0 for all."""
    coordinator: Annotated[str, tyro.conf.arg(metavar="HOST:PORT")] = ""
    """Several processes work on one run (jax.distributed): the address of number 0."""
    processes: int = 1
    """How many."""
    process: int = 0
    """Which one this is, from 0; number 0 writes the directory."""


def parse(arguments: Sequence[str]) -> Arguments:
    """Arguments from the command line, on top of those of ``--config`` or of the run to resume.

    Raises:
        ValueError: a file that cannot be read, unknown parts or settings.
    """
    base = None
    if path := _value_of("--resume", arguments):
        base = read_config(path)
    elif path := _value_of("--config", arguments):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"config: cannot read {path}: {error}") from None
        base = from_yaml(text, path)
    return parse_parts(Arguments, arguments, "floss train", base)


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The value that the command line gives to an option, the last one where there are several."""
    found = None
    for i, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            found = argument.split("=", 1)[1]
        elif argument == option and i + 1 < len(arguments):
            found = arguments[i + 1]
    return found


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    options = parse(arguments)
    console = Console()
    if options.save_config:
        text = to_yaml(options.run)
        if options.save_config == "-":
            print(text, end="")
        else:
            files.write_text(Path(options.save_config), text)
        return 0
    use_devices(options)
    with graceful_interrupt(console) as stop, progress_display(console) as progress:
        reporter = ConsoleReporter(progress, "train")
        track: list[TrackerName] = [name for names in options.track for name in names]
        if options.resume:
            result = resume(
                options.resume, config=options.run, reporter=reporter, stop=stop, track=track
            )
        else:
            result = run(options.run, reporter=reporter, stop=stop, track=track)
    return finish(console, result) if result.directory else 0


def use_devices(options: Arguments) -> None:
    """Makes a device of each CPU core that has a network to train, and joins other processes.

    Raises:
        ValueError: numbers that do not fit; other processes cannot be reached.
    """
    check_integer("devices", options.devices, 0)
    check_integer("processes", options.processes, 1)
    check_integer("process", options.process, 0, options.processes - 1)
    if options.processes > 1 and not options.coordinator:
        raise ValueError("processes: several of them need a coordinator, an address HOST:PORT.")
    share = -(-options.run.realisations // options.processes)
    use_cores(options.devices, most=share)
    if options.coordinator:
        try:
            jax.distributed.initialize(
                options.coordinator, options.processes, options.process, initialization_timeout=60
            )
        except RuntimeError as error:
            raise ValueError(f"coordinator: cannot join {options.coordinator}: {error}") from None


def finish(console: Console, result: RunResult) -> int:
    """Table, figures, log and last words of a run."""
    assert result.directory is not None
    title = result.config.describe()
    table = results_table({"": result.data}, title)
    console.print(table)
    text = io.StringIO()
    Console(file=text, width=120).print(table)
    files.append_to_log(result.directory, text.getvalue())
    if "loss" in result.data:
        figure = run_figure({result.config.schedule_name: result.data}, title)
        paths = save(figure, result.directory / files.FIGURES, "run")
        say(console, f"figure:  {paths[0]}")
    say(console, f"run:     {result.directory}")
    if not result.finished:
        say_how_to_go_on(console, result)
        return 1
    return 0
