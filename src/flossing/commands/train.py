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
from .._system import command_line
from ..runs import directory as files
from ..runs.config import RunConfig, to_yaml
from ..runs.console import (
    ConsoleReporter,
    graceful_interrupt,
    progress_display,
    results_table,
    say,
    say_how_to_go_on,
)
from ..runs.result import RunResult
from ..runs.summary import first_that_did_not_learn
from ..runs.trackers import TrackerName
from ..runs.train import read_config, resume, run
from ._cores import use_cores
from ._parts import parse as parse_parts, read_base, value_of


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train recurrent networks on a task, with gradient flossing around it."""

    settings: RunConfig
    config: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with settings; options win over it."""
    save_config: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Write the settings to this file (- for here), and stop."""
    resume: Annotated[str | None, tyro.conf.arg(metavar="DIR")] = None
    """Continue the run in this directory; more epochs extend it."""
    track: Annotated[
        tyro.conf.UseAppendAction[tuple[tuple[TrackerName, ...], ...]],
        tyro.conf.arg(metavar="NAME ..."),
    ] = ()
    """Also send the numbers to tensorboard or wandb."""
    devices: int | None = None
    """CPU cores to lay the networks over; all by default."""
    coordinator: Annotated[str | None, tyro.conf.arg(metavar="HOST:PORT")] = None
    """Several processes share a run: the address of number 0."""
    processes: int = 1
    """How many processes share the run."""
    process: int = 0
    """Which one this is; number 0 writes the directory."""


def parse(arguments: Sequence[str]) -> Arguments:
    """Arguments from the command line, on top of those of ``--config`` or of the run to resume.

    Raises:
        ValueError: a file that cannot be read, unknown parts or settings, options that exclude each other.
    """
    base = read_base(arguments)
    if path := value_of("--resume", arguments):
        for name in ("config", "directory"):
            if value_of(f"--{name}", arguments) is not None:
                raise ValueError(f"{name}: a run that is resumed has its own; leave it out.")
        base = read_config(path)
    return parse_parts(Arguments, arguments, "floss train", base)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    options = parse(arguments)
    console = Console()
    if options.save_config:
        text = to_yaml(options.settings)
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
                options.resume, config=options.settings, reporter=reporter, stop=stop, track=track
            )
        else:
            result = run(options.settings, reporter=reporter, stop=stop, track=track)
    return finish(console, result) if result.directory else 0


def use_devices(options: Arguments) -> None:
    """Makes a device of each CPU core that has a network to train, and joins other processes.

    Raises:
        ValueError: numbers that do not fit; other processes cannot be reached.
    """
    if options.devices is not None:
        check_integer("devices", options.devices, 1)
    check_integer("processes", options.processes, 1)
    check_integer("process", options.process, 0, options.processes - 1)
    if options.processes > 1 and not options.coordinator:
        raise ValueError("processes: several of them need a coordinator, an address HOST:PORT.")
    share = -(-options.settings.realisations // options.processes)
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
        from ..runs.plots import run_figure, save  # Matplotlib, which no help waits for

        figure = run_figure({result.config.schedule_name: result.data}, title)
        paths = save(figure, result.directory / files.FIGURES, "run")
        say(console, f"figure:  {paths[0]}")
    say(console, f"run:     {result.directory}")
    if (number := first_that_did_not_learn(result.data)) is not None:
        other = [] if number == 1 else ["--realisation", str(number)]
        command = command_line(["floss", "examine", "--run", str(result.directory), *other])
        say(console, f"network {number} did not learn; to see why:  {command}")
    if not result.finished:
        say_how_to_go_on(console, result)
        return 1
    return 0
