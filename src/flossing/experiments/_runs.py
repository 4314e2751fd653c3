"""The training runs that an experiment consists of: kept in its folder, and done only once."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import xarray as xr

from ..runs import RunConfig, directory as files, load, resume, run
from ..runs.train import Reporter, Silent, read_config

Reporters = Callable[[str], Reporter]
"""Makes a reporter for the run of that name."""


class Outcome(NamedTuple):
    """A finished run."""

    config: RunConfig
    data: xr.Dataset
    seconds: float
    """Wall time of training, compilation included."""


def do_runs(
    configs: Mapping[str, RunConfig],
    folder: Path | None = None,
    reporters: Reporters = lambda name: Silent(),
) -> dict[str, Outcome]:
    """Runs by name; those that the folder holds already are read, and begun ones go on.

    Args:
        configs: by name, which is also the name of the run's directory.
        folder: where the runs are written; without it nothing is.
        reporters: who is told about each.

    Raises:
        ValueError: the folder holds a run of that name with other settings.
    """
    outcomes = {}
    for name, config in configs.items():
        if folder is None:
            start = time.perf_counter()
            data = run(config, write=False, reporter=reporters(name)).data
            outcomes[name] = Outcome(config, data, time.perf_counter() - start)
        else:
            outcomes[name] = _in_folder(name, config, folder, reporters)
    return outcomes


def _in_folder(name: str, config: RunConfig, folder: Path, reporters: Reporters) -> Outcome:
    path, clock = folder / name, folder / f"{name}.json"
    config = dataclasses.replace(config, directory=str(path))
    seconds = json.loads(clock.read_text())["wall_seconds"] if clock.is_file() else 0.0
    begun = (path / files.CONFIG).is_file()
    if begun and dataclasses.replace(read_config(path), directory=str(path)) != config:
        raise ValueError(f"directory: {path} holds a run with other settings; choose another name.")
    if begun and (path / files.WEIGHTS).is_file():
        found = load(path)
        if found.finished:
            return Outcome(config, found.data, seconds)
    start = time.perf_counter()
    result = (
        resume(path, reporter=reporters(name)) if begun else run(config, reporter=reporters(name))
    )
    seconds += time.perf_counter() - start
    files.write_json(clock, {"wall_seconds": round(seconds, 1)})
    return Outcome(config, result.data, seconds)
