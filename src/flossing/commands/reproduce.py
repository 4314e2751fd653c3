"""``floss reproduce``: a published figure, with its numbers beside the published ones and a verdict."""

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .._checks import check_choice
from .._system import command_line
from ..experiments import EXPERIMENTS, Experiment, experiment, kept_verdict
from ..experiments.lab.claims import Claim
from ..experiments.lab.data import Data
from ..experiments.lab.perform import CLAIMS, NUMBERS, draw, perform, write_claims
from ..runs.console import graceful_interrupt, say
from ..sweeps.board import Board, sweep_display
from ..sweeps.conduct import Where
from ._cores import use_cores
from .sweep import Repeated


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Run an experiment and compare it with what was published.

    Cases run in parallel and are kept: repeating the command goes on where it was interrupted, and makes
    claims and figure anew without computing anything again.
    """

    name: tyro.conf.Positional[str | None] = None
    """Which experiment; without it, all are listed."""
    quick: bool = False
    """A small version, for a first look; its verdict is indicative."""
    only: Literal["figure", "claims"] | None = None
    """Make only the figure or only the claims, from numbers that are there, and compute nothing."""
    directory: str | None = None
    """Where everything goes. Default: runs/reproduce/NAME, with -quick for the small version."""
    workers: int | None = None
    """Processes that work on cases (default: one per core; 0: this process, one case after another)."""
    cluster: Annotated[str | None, tyro.conf.arg(metavar="KIND")] = None
    """Submit workers as jobs: slurm, pbs, lsf, sge or htcondor."""
    cluster_options: Annotated[Repeated, tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """For dask-jobqueue, as queue=gpu walltime=02:00:00 cores=1 memory=4GB."""
    host: str | None = None
    """Address that the jobs of --cluster reach."""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; the exit status is 1 when a claim does not hold."""
    options = tyro.cli(Arguments, args=list(arguments), prog="floss reproduce")
    console = Console()
    if options.name is None:
        console.print(listing())
        return 0
    check_choice("name", options.name, tuple(EXPERIMENTS))
    kind = experiment(options.name)
    chosen = kind.quick() if options.quick else kind()
    label = f"{options.name}-quick" if options.quick else options.name
    path = Path(options.directory or Path("runs") / "reproduce" / label)
    try:
        if options.only:
            data = Data.read(path / NUMBERS, chosen.cases())
        else:
            data = _perform(chosen, options, path, console)
    except KeyboardInterrupt:
        command = command_line(["floss", "reproduce", *arguments])
        say(console, f"stopped early; go on with the same command:\n  {command}")
        return 1
    except RuntimeError as error:
        print(f"floss reproduce: {error}", file=sys.stderr)
        return 2
    written, failed = [path / NUMBERS], False
    if options.only != "figure":
        claims = chosen.verdict(data)
        content = write_claims(chosen, options.name, claims, path)
        console.print(verdict(chosen, claims))
        failed = not all(claim.holds for claim in claims)
        written.append(path / CLAIMS)
        if seconds := content.get("wall_seconds"):
            say(console, f"computed in {seconds:.0f} s")
    if options.only != "claims":
        written.append(draw(chosen, options.name, data, path))
    say(console, f"written: {', '.join(map(str, written))}")
    return int(failed)


def _perform(chosen: Experiment, options: Arguments, path: Path, console: Console) -> Data:
    where = _where(chosen, options)
    if where.workers == 0:
        use_cores()
    logging.getLogger("distributed").setLevel(logging.CRITICAL)

    @contextlib.contextmanager
    def display(pieces: Any, finished: Any) -> Iterator[Board]:
        with sweep_display(console) as progress:
            board = Board(progress, pieces, finished, label=options.name or "", unit="cases")
            if finished:
                board.message(f"{len(finished)} of {len(pieces)} cases are kept in {path}")
            yield board

    with graceful_interrupt(console) as stop:
        return perform(chosen, path, where=where, retries=1, display=display, stop=stop)


def _where(chosen: Experiment, options: Arguments) -> Where:
    """Processes of this machine, where they can be had and do not spoil what is timed."""
    from ..sweeps.jobs import parse_options

    cluster_options = parse_options([*chain(*options.cluster_options)])
    if cluster_options and not options.cluster:
        raise ValueError("cluster_options: only for --cluster; give the kind of cluster too.")
    if chosen.timed and (options.cluster or options.workers):
        raise ValueError(
            "workers, cluster: this experiment compares times, so its cases run one after another in "
            "this process; leave them out."
        )
    workers = options.workers
    alone = chosen.timed or len(chosen.cases()) == 1 or find_spec("distributed") is None
    if workers is None and not options.cluster and alone:
        workers = 0
    return Where(
        workers=workers, cluster=options.cluster, cluster_options=cluster_options, host=options.host
    )


def listing() -> Table:
    """All experiments with their source, the time of the kept run and its verdict."""
    table = Table(
        title="floss reproduce NAME [--quick]",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("name", no_wrap=True)
    table.add_column("what")
    table.add_column("source")
    for name in ("time", "claims"):
        table.add_column(name, justify="right", no_wrap=True)
    for name in EXPERIMENTS:
        kept, kind = kept_verdict(name), experiment(name)
        time = verdict = "-"
        if kept is not None:
            time = f"{kept['wall_seconds'] / 60:.0f} min"
            verdict = f"{sum(c['holds'] for c in kept['claims'])} of {len(kept['claims'])}"
        source = kind.source.partition(" (")[0].partition(";")[0]
        table.add_row(name, Text(kind.title), Text(source), time, verdict)
    return table


def verdict(chosen: Experiment, claims: Sequence[Claim]) -> Table:
    """Claims, what was published, what came out."""
    table = Table(title=Text(f"{chosen.title} ({chosen.source})"), title_justify="left")
    table.add_column("claim")
    for name in ("published", "ours", "limits", "holds"):
        table.add_column(name, justify="right")
    for claim in claims:
        known = "-" if claim.published is None else f"{claim.published:.3g}"
        holds = "yes" if claim.holds else "NO"
        table.add_row(Text(claim.text), known, f"{claim.measured:.3g}", claim.limits, holds)
    return table
