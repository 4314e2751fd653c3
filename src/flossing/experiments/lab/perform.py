"""Does an experiment: its cases by way of the sweeps, each only once, then claims and a figure."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import threading
import time
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ...runs import directory as files, load
from ...runs.config import RunConfig, to_yaml
from ...runs.plots import save
from ...sweeps import folder
from ...sweeps.board import Display, no_display
from ...sweeps.conduct import Where, work_through
from ...sweeps.grid import Call, Piece, Run, file_name
from .claims import Claim
from .data import Data, case_name
from .experiment import Experiment

NUMBERS = "numbers.nc"
CLAIMS = "claims.json"
HERE = Where(workers=0)

MakeDisplay = Callable[
    [Sequence[Piece], Sequence[Piece]], contextlib.AbstractContextManager[Display]
]


def perform(
    experiment: Experiment,
    directory: str | Path,
    *,
    where: Where = HERE,
    retries: int = 0,
    display: MakeDisplay = no_display,
    stop: threading.Event | None = None,
) -> Data:
    """The numbers of an experiment; what its directory holds already is not computed again.

    A case is kept under a name made of what it does, so that a directory serves one experiment after
    its settings have changed, and an interrupted one goes on. Writes ``numbers.nc``.

    Args:
        experiment: what to do.
        directory: of the experiment; made when it does not exist.
        where: on what cases run, by default one after another in this process.
        retries: how often a case that fails is tried again.
        display: makes what is told about the cases, given all and those that are finished.
        stop: when set, ends it after the current blocks of training.

    Raises:
        FileExistsError: the directory holds something else.
        RuntimeError: cases failed; says which and why.
        KeyboardInterrupt: it was stopped; the same call goes on.
    """
    path = _opened(Path(directory))
    with folder.alone(path, "experiment") as mine:
        if not mine:
            raise ValueError(f"directory: another process is working on the experiment in {path}.")
        pieces = _pieces(experiment)
        left = [p for p in pieces.values() if not folder.finished(path / folder.RUNS / p.name)]
        done = [piece for piece in pieces.values() if piece not in left]
        stop = stop or threading.Event()
        with _clock(path, bool(left)), display(list(pieces.values()), done) as shown:
            work_through(path, left, where, retries, shown, stop, timed=experiment.timed)
        _refuse_unfinished(path, pieces)
        data = Data({case: _measured(experiment, case, path, p) for case, p in pieces.items()})
        data.write(path / NUMBERS, {"settings": dataclasses.asdict(experiment)})
    return data


def _opened(path: Path) -> Path:
    """Makes the directory, or checks that it is that of an experiment."""
    path = path.absolute()
    if path.exists() and not (path / folder.RUNS).is_dir():
        files.free_directory(path)
    folder.make(path)
    return path


def _pieces(experiment: Experiment) -> dict[Any, Piece]:
    """What each case does, under a name that changes with what it does."""
    pieces: dict[Any, Piece] = {}
    taken: set[str] = set()
    for index, (case, work) in enumerate(experiment.cases().items()):
        if isinstance(work, RunConfig):
            content = to_yaml(dataclasses.replace(work, directory=None))
        elif isinstance(work, functools.partial) and isinstance(work.func, types.FunctionType):
            content = repr((work.func.__qualname__, work.args, sorted(work.keywords.items())))
        else:
            settings = dataclasses.asdict(experiment)
            content = json.dumps([type(experiment).__qualname__, settings], default=str)
        digest = hashlib.sha256(f"{case_name(case)}\n{content}".encode()).hexdigest()[:8]
        name = file_name(f"{case_name(case)}-{digest}", taken)
        taken.add(name.lower())
        if isinstance(work, RunConfig):
            pieces[case] = Run(index, name, {}, work)
        else:
            pieces[case] = Call(index, name, work)
    return pieces


def _refuse_unfinished(path: Path, pieces: dict[Any, Piece]) -> None:
    places = {piece.name: path / folder.RUNS / piece.name for piece in pieces.values()}
    left = [name for name, place in places.items() if not folder.finished(place)]
    if not left:
        return
    failed = {name: error for name in left if (error := folder.error(places[name]).strip())}
    if not failed:
        raise KeyboardInterrupt
    name, error = next(iter(failed.items()))
    raise RuntimeError(
        f"{len(failed)} of {len(pieces)} cases failed, as {name}: {error.splitlines()[-1]} "
        f"(all of it: {places[name] / folder.ERROR})"
    )


def _measured(experiment: Experiment, case: Any, path: Path, piece: Piece) -> Any:
    place = path / folder.RUNS / piece.name
    if isinstance(piece, Run):
        return experiment.measure(case, load(place))
    return experiment.measure(case, files.read_dataset(place / folder.DATA))


@contextlib.contextmanager
def _clock(path: Path, working: bool) -> Iterator[None]:
    """Adds the time that passes to what the experiment in this directory has taken, and says on what."""
    if not working:
        yield
        return
    file = path / _CLOCK
    before = json.loads(file.read_text(encoding="utf-8"))["wall_seconds"] if file.is_file() else 0.0
    start, environment = time.monotonic(), files.environment(devices=False)
    try:
        yield
    finally:
        seconds = round(before + time.monotonic() - start, 1)
        files.write_json(file, {"wall_seconds": seconds, "environment": environment})


_CLOCK = "clock.json"


def write_claims(
    experiment: Experiment, name: str, claims: Sequence[Claim], directory: Path
) -> dict[str, Any]:
    """Writes ``claims.json``: what came out beside what should, and how it was made; returns it."""
    clock = directory / _CLOCK
    made = json.loads(clock.read_text(encoding="utf-8")) if clock.is_file() else {}
    content = {
        "experiment": name,
        "title": experiment.title,
        "source": experiment.source,
        "shows": experiment.shows,
        "quick": experiment != type(experiment)(),
        "claims": [dataclasses.asdict(claim) | {"holds": claim.holds} for claim in claims],
        "settings": dataclasses.asdict(experiment),
        **made,
    }
    files.write_json(directory / CLAIMS, content)
    return json.loads((directory / CLAIMS).read_text(encoding="utf-8"))


def draw(experiment: Experiment, name: str, data: Data, directory: Path) -> Path:
    """Writes the figure as PNG and PDF; returns the path of the first."""
    return save(experiment.drawn(data), directory, name)[0]
