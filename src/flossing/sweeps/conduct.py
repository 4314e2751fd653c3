"""A sweep from its settings to its directory."""

import contextlib
import dataclasses
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xarray as xr

from .._checks import check_choice, check_integer
from .._readable import library
from ..runs import directory as files
from ..runs.config import RunConfig
from . import folder, grid as grids, provenance
from .board import no_display
from .grid import Piece
from .result import SweepResult

if TYPE_CHECKING:
    from distributed import Client, Security

    from .board import Display
    from .worker import Job, Outcome


CLUSTERS = ("slurm", "pbs", "lsf", "sge", "htcondor")


@dataclasses.dataclass(frozen=True)
class Where:
    """On what a sweep runs: by default on worker processes of this machine."""

    workers: int | None = None
    """Worker processes (default: one per core, or per GPU; 0: this process) or jobs (default: one)."""
    scheduler: str | None = None
    """Address of a running Dask scheduler."""
    cluster: str | None = None
    """slurm, pbs, lsf, sge or htcondor."""
    cluster_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Passed to dask-jobqueue."""
    host: str | None = None
    """Address that the scheduler and local workers listen on; local ones listen on 127.0.0.1."""
    dashboard_address: str = "127.0.0.1:0"
    """Address of the dashboard; port 0 is any free one."""
    security: "Security | None" = None
    """TLS."""


def sweep(
    base: RunConfig,
    over: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    directory: str | Path,
    *,
    client: Any = None,
    workers: int | None = None,
    retries: int = 1,
    scheduler: str | None = None,
    cluster: str | None = None,
    cluster_options: Mapping[str, Any] | None = None,
    host: str | None = None,
    dashboard_address: str = "127.0.0.1:0",
    security: Any = None,
) -> SweepResult:
    """Runs a configuration with other values of some of its fields, many at once.

    The directory can be that of the same sweep, interrupted or killed: finished runs are left alone,
    others go on from their last block, failed ones are tried again. A run that fails more often than
    ``retries`` is recorded (``status``, ``error``, ``runs/NAME/error.txt``) while the others go on.
    Local workers are new processes: in a script, call this under ``if __name__ == "__main__":``.

    Args:
        base: the fields that are not swept.
        over: fields and their values, as ``{"task.delay": [10, 20]}``, of which every combination is
            run; or a list of settings, as ``[{"task.delay": 10, "seed": 1}, {"task.delay": 20}]``.
        directory: of the sweep, on a file system that all workers share.
        client: a Dask client of yours; its cluster does the work.
        workers: worker processes, by default one per core or per GPU, 0 for this process; or jobs of
            ``cluster``.
        retries: how often a run that fails is tried again.
        scheduler: address of a running Dask scheduler, instead of local processes.
        cluster: ``slurm``, ``pbs``, ``lsf``, ``sge`` or ``htcondor``: workers are jobs there.
        cluster_options: for dask-jobqueue, as ``{"queue": "gpu", "memory": "4GB"}``.
        host: address to listen on, 127.0.0.1 for local workers; needed for ``cluster``.
        dashboard_address: of the scheduler's web page.
        security: a ``distributed.Security`` for TLS.

    Returns:
        A ``SweepResult`` with ``data``, the dataset of ``sweep.nc``: swept fields are dimensions (``setting``
        for a list); ``directory``; and ``plot()``. ``flossing.sweeps.load`` reads it again.

    Raises:
        ValueError, TypeError: wrong fields or values, or a directory of another sweep.
        FileExistsError: the directory holds something else. ConnectionError: no scheduler there.
        ImportError: Dask or pandas is missing. KeyboardInterrupt: after the runs' current blocks.
    """
    require_extra()
    where = Where(
        workers, scheduler, cluster, cluster_options or {}, host, dashboard_address, security
    )
    data = conduct(grids.grid(base, over), directory, where, retries, client=client)
    return SweepResult(data, Path(directory))


def require_extra() -> None:
    """Raises ``ImportError`` with the command that installs what is missing."""
    for name in ("distributed", "pandas"):
        library(name, "a sweep", "distributed pandas dask-jobqueue")


def conduct(
    grid: grids.Grid,
    directory: str | Path,
    where: Where,
    retries: int = 1,
    *,
    client: Any = None,
    display: Callable[..., contextlib.AbstractContextManager["Display"]] = no_display,
    stop: threading.Event | None = None,
) -> xr.Dataset:
    """``sweep`` with its arguments bundled; ``stop``, when set, ends it after the runs' current blocks."""
    _check(where, retries, client)
    runs = grid.runs
    folder.open_directory(Path(directory), grid)
    path = Path(directory).absolute()
    with folder.alone(path, "sweep") as mine:
        if not mine:
            raise ValueError(f"directory: another process is working on the sweep in {path}.")
        done = [run for run in runs if folder.finished(path / folder.RUNS / run.name)]
        ended = {run.index for run in done}
        left = [run for run in runs if run.index not in ended]
        begin = provenance.begin(path)
        with display(runs, done) as shown:
            work_through(path, left, where, retries, shown, stop or threading.Event(), client)
        data = _write(path, grid)
        provenance.end(path, grid, data, begin)
        return data


def _check(where: Where, retries: int, client: Any) -> None:
    check_integer("retries", retries, 0)
    chosen = [
        name
        for name, value in (
            ("client", client), ("scheduler", where.scheduler), ("cluster", where.cluster)
        )
        if value
    ]  # fmt: skip
    if len(chosen) > 1:
        raise ValueError(f"{chosen[0]}: cannot be given together with {chosen[1]}.")
    if where.workers is not None:
        check_integer("workers", where.workers, 1 if chosen else 0)
    if where.cluster:
        check_choice("cluster", where.cluster, CLUSTERS)


def work_through(
    path: Path,
    pieces: Sequence[Piece],
    where: Where,
    retries: int,
    display: "Display",
    stop: threading.Event,
    client: Any = None,
    *,
    timed: bool = False,
) -> None:
    """Does what is left, the longest first, and records the tracebacks of failures.

    Args:
        path: directory that has the folders that ``folder.make`` makes.
        pieces: runs and functions.
        where: on what.
        retries: how often a piece that fails is tried again.
        display: who is told.
        stop: when set, ends it after the current blocks.
        client: a Dask client, whose cluster does the work.
        timed: compile what runs need before their clocks start.
    """
    from . import here
    from .worker import Job

    if not pieces:
        return
    topic = f"flossing-{uuid.uuid4().hex[:12]}"
    jobs = [
        Job(piece.index, piece.name, piece.work, str(path), topic, timed)
        for piece in sorted(pieces, key=lambda piece: -piece.cost)
    ]
    if where.workers == 0:
        outcomes = here.go(jobs, retries, display, stop)
    else:
        outcomes = _on_dask(jobs, where, retries, client, display, stop)
    names = {piece.index: piece.name for piece in pieces}
    for index, outcome in outcomes.items():
        folder.record_error(path / folder.RUNS / names[index], outcome.error)


def _on_dask(
    jobs: "Sequence[Job]",
    where: Where,
    retries: int,
    client: Any,
    display: "Display",
    stop: threading.Event,
) -> "dict[int, Outcome]":
    from .drive import Driver

    with _client(where, len(jobs), client, display) as (connected, connect):
        driver = Driver(connected, connect, jobs, retries, display, stop)
        try:
            return driver.go()
        except KeyboardInterrupt:
            if stop.is_set():  # the second one
                raise
            stop.set()
            driver.wait()
            raise
        finally:
            if connect is not None and driver.client is not connected:
                driver.client.close()


@contextlib.contextmanager
def _client(
    where: Where, needed: int, client: Any, display: "Display"
) -> Iterator[tuple["Client", Callable[[], "Client"] | None]]:
    """A client of the scheduler that does the work, and how to get another if that one is lost."""
    from distributed import Client

    from .connect import connect
    from .jobs import job_cluster
    from .local import local_cluster

    if client is not None:
        if not isinstance(client, Client) or client.asynchronous:
            raise TypeError(
                f"client: expected a distributed.Client (not asynchronous), got {client!r}."
            )
        yield client, None
        return
    if address := where.scheduler:
        again = lambda: connect(address, where.security)  # noqa: E731
        with again() as connected:
            display.message(f"dashboard: {connected.dashboard_link}")
            yield connected, again
        return
    if where.cluster:
        made = job_cluster(
            where.cluster, where.cluster_options, where.workers, where.host,
            where.dashboard_address, where.security,
        )  # fmt: skip
    else:
        made = local_cluster(
            where.workers,
            needed,
            where.host or "127.0.0.1",
            where.dashboard_address,
            where.security,
        )
    with made as started, Client(started, set_as_default=False) as connected:
        display.message(f"dashboard: {connected.dashboard_link}")
        yield connected, None


def _write(path: Path, grid: grids.Grid) -> xr.Dataset:
    from .collect import dataset, table

    data = dataset(path, grid)
    files.write_dataset(path / folder.DATASET, data)
    rows = table(data, grid)
    files.write_atomically(path / folder.TABLE, lambda p: rows.to_csv(p, index=False))
    return data
