"""``floss reproduce``: a published figure, with its numbers beside the published ones and a verdict."""

import dataclasses
import inspect
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import tyro
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from .._checks import check_choice
from ..experiments import NAMES, Result, experiment
from ..experiments._runs import seconds_of_runs
from ..runs import directory as files
from ..runs.console import ConsoleReporter, progress_display, say
from ..runs.plots import save
from ._cores import use_cores

RUNS = "runs"
NUMBERS = "numbers.json"


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Run an experiment and compare it with what was published."""

    name: tyro.conf.Positional[str | None] = None
    """Which experiment; without it, all are listed."""
    quick: bool = False
    """A small version, for a first look; its verdict is indicative."""
    directory: str | None = None
    """Where numbers and figure go; must not exist. Default: runs/ and a name made of the time."""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; the exit status is 1 when a claim does not hold."""
    options = tyro.cli(Arguments, args=list(arguments), prog="floss reproduce")
    if options.name is None:
        for name in NAMES:
            about = (inspect.getdoc(inspect.getmodule(experiment(name))) or "").splitlines()[0]
            print(f"{name:<22} {about}")
        return 0
    check_choice("name", options.name, NAMES)
    path = _directory(options.name, options.directory)
    use_cores()
    console = Console()
    start = time.perf_counter()
    with progress_display(console) as progress:
        result = _run(experiment(options.name), options.quick, path, progress)
    # Runs that were done when an earlier call was interrupted count as well.
    seconds = max(time.perf_counter() - start, seconds_of_runs(path / RUNS))
    path.mkdir(parents=True, exist_ok=True)
    report = {
        "experiment": result.name,
        "quick": options.quick,
        "source": result.source,
        "wall_seconds": round(seconds, 1),
        "settings": result.settings,
        "claims": [dataclasses.asdict(c) | {"holds": c.holds} for c in result.claims],
        "numbers": result.numbers,
        "environment": files.environment(),
    }
    files.write_json(path / NUMBERS, report)
    paths = save(result.figure, path, result.name)
    console.print(verdict(result))
    say(console, f"{seconds:.0f} s; written: {path / 'numbers.json'}, {paths[0]}")
    return 0 if all(claim.holds for claim in result.claims) else 1


def _directory(name: str, given: str | None) -> Path:
    """A free directory, or one in which this experiment began and did not end."""
    path = Path(given or files.default_directory(name))
    unfinished = (path / RUNS).is_dir() and not (path / NUMBERS).exists()
    return path if unfinished else files.free_directory(path)


def _run(run: Callable[..., Result], quick: bool, path: Path, progress: Progress) -> Result:
    """The experiment; one that consists of training runs keeps them in the directory."""
    parameters = inspect.signature(run).parameters
    if "folder" in parameters:
        reporters = partial(ConsoleReporter, progress)
        return run(quick, folder=path / RUNS, reporters=reporters)
    task = progress.add_task("running", total=None, status="")

    def report(text: str) -> None:
        progress.update(task, status=text)
        if not progress.console.is_terminal:
            say(progress.console, text)

    return run(quick, report=report) if "report" in parameters else run(quick)


def verdict(result: Result) -> Table:
    """Claims, what was published, what came out."""
    table = Table(title=Text(f"{result.title} ({result.source})"), title_justify="left")
    table.add_column("claim")
    for name in ("published", "ours", "limit", "holds"):
        table.add_column(name, justify="right")
    for claim in result.claims:
        known = "-" if claim.published is None else f"{claim.published:.3g}"
        limit = f"{'<' if claim.below else '>'} {claim.limit:g}"
        holds = "yes" if claim.holds else "NO"
        table.add_row(Text(claim.text), known, f"{claim.measured:.3g}", limit, holds)
    return table
