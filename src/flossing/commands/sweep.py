"""``floss sweep``: many runs over a grid or list of settings."""

import contextlib
import dataclasses
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import jax
import tyro
from rich.console import Console

from .._system import command_line
from ..runs import directory as files, yaml_files
from ..runs.config import RunConfig
from ..runs.console import graceful_interrupt, say
from ..sweeps import grid as grids
from ..sweeps.board import Board, sweep_display
from ..sweeps.conduct import Where, conduct, require_extra
from ._parts import parse as parse_parts, read_base

Repeated = tyro.conf.UseAppendAction[tuple[tuple[str, ...], ...]]
"""Words of an option that may be given several times, in groups."""


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train networks over a grid or a list of settings, many at once.

    Repeating the command continues a sweep that was interrupted: finished runs are left alone, others go
    on from their last block. All options of ``floss train`` set what is not swept.
    """

    settings: RunConfig
    over: Annotated[Repeated, tyro.conf.arg(metavar="FIELD=VALUE,VALUE ...")] = ()
    """Fields and their values, as task.delay=10,20 schedule=none,before: all combinations."""
    list: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with a list of settings, such as - {task.delay: 10, seed: 2}, instead of --over."""
    config: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """YAML file with settings of all runs; options on the command line win over it."""
    workers: int | None = None
    """Worker processes (default: one per core or GPU; 0: this process), or jobs of --cluster (default: 1)."""
    retries: int = 1
    """How often a run that fails is tried again."""
    scheduler: Annotated[str | None, tyro.conf.arg(metavar="ADDRESS")] = None
    """Use the workers of this Dask scheduler, such as tcp://host:8786."""
    cluster: Annotated[str | None, tyro.conf.arg(metavar="KIND")] = None
    """Submit workers as jobs: slurm, pbs, lsf, sge or htcondor."""
    cluster_options: Annotated[Repeated, tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """For dask-jobqueue, as queue=gpu walltime=02:00:00 cores=1 memory=4GB."""
    print_job_script: bool = False
    """Print the script of a job and stop."""
    host: str | None = None
    """Address to listen on; 127.0.0.1 for local workers, needed with --cluster."""
    dashboard_address: str = "127.0.0.1:0"
    """Where Dask's web page is; port 0 is any free one."""
    tls_ca_file: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Encrypt: certificate of the authority that signed the others."""
    tls_cert: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Encrypt: certificate of this user."""
    tls_key: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None
    """Encrypt: its key."""


def parse(arguments: Sequence[str]) -> Arguments:
    """Arguments from the command line, on top of those of ``--config``."""
    return parse_parts(Arguments, arguments, "floss sweep", read_base(arguments))


def _text(option: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{option}: cannot read {path}: {error}") from None


def settings(options: Arguments) -> grids.Grid:
    """The settings of the sweep; raises ``ValueError`` for both or none of ``--over`` and ``--list``."""
    if bool(options.over) == bool(options.list):
        wanted = "only one of them" if options.over else "fields and values, as task.delay=10,20"
        raise ValueError(f"over, list: expected {wanted}.")
    if options.list is None:
        return grids.grid(options.settings, grids.parse([*chain(*options.over)], options.settings))
    try:
        content = yaml_files.load(_text("list", options.list))
    except yaml_files.YAMLError as error:
        raise ValueError(f"list: {options.list}: not valid YAML: {error}") from None
    if not isinstance(content, list):
        raise ValueError(f"list: {options.list}: expected a list of settings, got {content!r}.")
    return grids.grid(options.settings, content)


def main(arguments: Sequence[str]) -> int:
    """Runs the command; the exit status is 1 when runs failed or are left."""
    options = parse(arguments)
    try:
        return _main(options, arguments)
    except ImportError as error:
        print(f"floss sweep: {error}", file=sys.stderr)
        return 2


def _main(options: Arguments, arguments: Sequence[str]) -> int:
    grid = settings(options)
    # Devices are for the workers; this process only looks after them.
    jax.config.update("jax_platforms", "cpu")
    require_extra()
    from ..sweeps.connect import security
    from ..sweeps.jobs import job_script, parse_options

    cluster_options = parse_options([*chain(*options.cluster_options)])
    if options.print_job_script:
        print(job_script(options.cluster or "", cluster_options), end="")
        return 0
    if cluster_options and not options.cluster:
        raise ValueError("cluster_options: only for --cluster; give the kind of cluster too.")
    where = Where(
        options.workers, options.scheduler, options.cluster, cluster_options, options.host,
        options.dashboard_address, security(options.tls_ca_file, options.tls_cert, options.tls_key),
    )  # fmt: skip
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    path = Path(options.settings.directory or _default_directory())
    console = Console()

    @contextlib.contextmanager
    def display(runs: Any, finished: Any) -> Iterator[Board]:
        with sweep_display(console) as progress:
            board = Board(progress, runs, finished)
            if finished:
                board.message(f"{len(finished)} of {len(runs)} runs are finished already")
            yield board

    with graceful_interrupt(console) as stop:
        data = conduct(grid, path, where, options.retries, display=display, stop=stop)
    return _finish(console, path, data, grid, arguments, stop)


def _default_directory() -> Path:
    return Path("sweeps") / files.default_directory("sweep").name


def _finish(
    console: Console,
    path: Path,
    data: Any,
    grid: grids.Grid,
    arguments: Sequence[str],
    stop: threading.Event,
) -> int:
    """Last words."""
    status = data["status"].values.ravel().tolist()
    say(
        console,
        f"{status.count('finished')} of {len(status)} runs finished; "
        f"written: {path / 'sweep.nc'}, sweep.csv, sweep.json",
    )
    for run, state, error in zip(grid.runs, status, data["error"].values.ravel(), strict=True):
        if state == "failed":
            say(console, f"failed: {run.name}: {error}", "red")
    if status.count("finished") == len(status):
        return 0
    if stop.is_set() or "missing" in status:
        given = (
            []
            if any(a.split("=")[0] == "--directory" for a in arguments)
            else ["--directory", str(path)]
        )
        command = command_line(["floss", "sweep", *arguments, *given])
        say(console, f"stopped early; go on with the same command:\n  {command}")
    return 1
