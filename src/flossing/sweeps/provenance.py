"""With what a sweep was made: versions, devices, commit, and every start of it."""

import contextlib
import json
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import xarray as xr

from ..runs import directory as files
from . import folder
from .grid import Grid

_PACKAGES = ("dask", "distributed", "dask-jobqueue", "pandas")


def begin(path: Path) -> dict[str, Any]:
    """Writes ``sweep.json`` with one more start, and returns it."""
    content = files.environment(devices=False)
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            content["versions"][name] = metadata.version(name)
    starts = _old(path).get("starts", [])
    starts.append({name: content[name] for name in ("command", "started", "git_commit")})
    starts[-1]["wall_seconds"] = None
    content["starts"] = starts
    files.write_json(path / folder.PROVENANCE, content)
    return content | {"_clock": time.monotonic()}


def end(path: Path, grid: Grid, data: xr.Dataset, content: dict[str, Any]) -> None:
    """Completes ``sweep.json`` after the last run; devices are those that the runs found."""
    seconds = time.monotonic() - content.pop("_clock")
    content["starts"][-1]["wall_seconds"] = round(seconds, 1)
    devices: set[str] = set()
    for run in grid.runs:
        with contextlib.suppress(OSError, ValueError, KeyError):
            text = (path / folder.RUNS / run.name / files.ENVIRONMENT).read_text(encoding="utf-8")
            devices |= set(json.loads(text)["devices"])
    status = data["status"].values.ravel().tolist()
    errors = {run.name: folder.error(path / folder.RUNS / run.name) for run in grid.runs}
    content |= {
        "devices": sorted(devices),
        "runs": {run.name: status[run.index] for run in grid.runs},
        "errors": {name: text for name, text in errors.items() if text},
    }
    files.write_json(path / folder.PROVENANCE, content)


def _old(path: Path) -> dict[str, Any]:
    try:
        content = json.loads((path / folder.PROVENANCE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
