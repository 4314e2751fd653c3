"""The training runs that an experiment consists of: kept in its folder, and done only once."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from .._compiled import forget_programs
from ..runs import RunConfig, directory as files, load, resume, run
from ..runs.job import BLOCK, Reporter, Silent, phases
from ..runs.train import read_config
from ..training import Network, begin, floss_block, train_block

Reporters = Callable[[str], Reporter]
"""Makes a reporter for the run of that name."""


class Outcome(NamedTuple):
    """A finished run."""

    config: RunConfig
    data: xr.Dataset
    seconds: float
    """Wall time of training, compilation included."""
    networks: Network
    """As trained, realisations along the leading axis."""


def do_runs(
    configs: Mapping[str, RunConfig],
    folder: Path | None = None,
    reporters: Reporters | None = None,
    *,
    timed: bool = False,
) -> dict[str, Outcome]:
    """Runs by name; those that the folder holds already are read, and begun ones go on.

    Args:
        configs: by name, which is also the name of the run's directory.
        folder: where the runs are written; without it nothing is.
        reporters: who is told about each.
        timed: compile everything before a run begins or goes on, so that its clock counts no compilation.

    Raises:
        ValueError: the folder holds a run of that name with other settings.
    """
    outcomes = {}
    reporters = reporters or (lambda name: Silent())
    for name, config in configs.items():
        if folder is None:
            if timed:
                compile_blocks(config)
            start = time.perf_counter()
            done = run(config, write=False, reporter=reporters(name))
            seconds = time.perf_counter() - start
            outcomes[name] = Outcome(config, done.data, seconds, done.networks)
        else:
            outcomes[name] = _in_folder(name, config, folder, reporters, timed)
        forget_programs()
    return outcomes


def compile_blocks(config: RunConfig) -> None:
    """Compiles all that a run does in blocks, by its last and incomplete block of each phase."""
    trainer, keys = config.trainer, config.keys()
    state = begin(config.networks(), trainer)
    for kind, count in {(p.kind, (p.stop - p.start) % BLOCK) for p in phases(config)}:
        block = floss_block if kind == "floss" else train_block
        block(state, keys, count, BLOCK, trainer)


def seconds_of_runs(folder: Path) -> float:
    """Wall time of all runs that a folder holds, finished or not; 0 without a folder."""
    clocks = folder.glob("*.json")
    return sum(json.loads(clock.read_text())["wall_seconds"] for clock in clocks)


def _in_folder(
    name: str, config: RunConfig, folder: Path, reporters: Reporters, timed: bool
) -> Outcome:
    path, clock = folder / name, folder / f"{name}.json"
    config = dataclasses.replace(config, directory=str(path))
    seconds = json.loads(clock.read_text())["wall_seconds"] if clock.is_file() else 0.0
    begun = (path / files.CONFIG).is_file()
    if begun and dataclasses.replace(read_config(path), directory=str(path)) != config:
        raise ValueError(f"directory: {path} holds a run with other settings; choose another name.")
    if begun and (path / files.WEIGHTS).is_file():
        found = load(path)
        if found.finished:
            return Outcome(config, found.data, seconds, found.networks)
    if timed:
        compile_blocks(config)
    start = time.perf_counter()
    result = (
        resume(path, reporter=reporters(name)) if begun else run(config, reporter=reporters(name))
    )
    seconds += time.perf_counter() - start
    files.write_json(clock, {"wall_seconds": round(seconds, 1)})
    return Outcome(config, result.data, seconds, result.networks)
