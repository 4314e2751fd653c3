"""``floss train``: any task, cell and flossing schedule, into a directory of its own."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from ..runs import directory as files
from ..runs.config import RunConfig, from_yaml, to_yaml
from ..runs.console import ConsoleReporter, graceful_interrupt, progress_display, results_table
from ..runs.plots import run_figure, save
from ..runs.summary import describe
from ..runs.train import RunResult, resume, run


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train recurrent networks on a task with a long horizon, with gradient flossing around it.

    The defaults are the published example call of gradient flossing (Engelken 2023).
    """

    run: Annotated[RunConfig, tyro.conf.arg(name="")] = RunConfig()
    config: Annotated[str, tyro.conf.arg(metavar="FILE")] = ""
    """YAML file with settings; options on the command line win over it."""
    save_config: Annotated[str, tyro.conf.arg(metavar="FILE")] = ""
    """Write the settings as YAML to this file (- for the terminal) and stop."""
    resume: Annotated[str, tyro.conf.arg(metavar="DIR")] = ""
    """Continue the run in this directory; takes no other options."""


def parse(arguments: Sequence[str]) -> Arguments:
    """Arguments from the command line, on top of those of ``--config``."""
    default = Arguments()
    if path := _value_of("--config", arguments):
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"config: cannot read {path}: {error}") from None
        default = Arguments(run=from_yaml(text, path))
    return tyro.cli(Arguments, args=list(arguments), default=default, prog="floss train")


def _value_of(option: str, arguments: Sequence[str]) -> str | None:
    for i, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            return argument.split("=", 1)[1]
        if argument == option and i + 1 < len(arguments):
            return arguments[i + 1]
    return None


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
    if options.resume and len(arguments) > (1 if "=" in arguments[0] else 2):
        raise ValueError(
            "resume: the run continues with its own settings; leave out other options."
        )
    with graceful_interrupt(console) as stop, progress_display(console) as progress:
        reporter = ConsoleReporter(progress, "train")
        if options.resume:
            result = resume(options.resume, reporter=reporter, stop=stop)
        else:
            result = run(options.run, reporter=reporter, stop=stop)
    return finish(console, result)


def finish(console: Console, result: RunResult) -> int:
    """Table, figures, log and last words of a run."""
    assert result.directory is not None
    title = describe(result.config)
    table = results_table({"": result.data}, title)
    console.print(table)
    text = io.StringIO()
    Console(file=text, width=120).print(table)
    files.append_to_log(result.directory, text.getvalue())
    if "accuracy" in result.data:
        figure = run_figure({result.config.flossing.schedule: result.data}, title)
        paths = save(figure, result.directory / files.FIGURES, "run")
        console.print(f"figure:  {paths[0]}")
    console.print(f"run:     {result.directory}")
    if not result.finished:
        console.print(f"stopped early; go on with:  floss train --resume {result.directory}")
        return 1
    return 0
