"""Numbers that a renovation must not change: made before it, made again after it, compared.

    python benchmarks/record.py make before          # takes most of an hour; goes on where it was stopped
    python benchmarks/record.py make after           # with the new code
    python benchmarks/record.py compare before after

What is recorded: the quick version of every experiment, a short run of every cell, task and schedule, and
the demo. Each is kept in a folder of its own, and its numbers in FOLDER/record.json: of every list of numbers
its length, mean and first entries, and of every claim what was measured and whether it holds.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from flossing.experiments import EXPERIMENTS

RECORD = "record.json"
DONE = "done"
FIRST = 4
"""Entries of a list that are kept as they are."""
IGNORED = {"environment", "wall_seconds", "seconds", "wall_time", "command", "finished", "settings"}
SHORT = (
    "--epochs 30 --batch-size 4 --cell.hidden-size 16 --realisations 2 --test-trials 64 --seed 3"
)
FLOSSED = (
    "--schedule.num-exponents 8 --schedule.window 30 --schedule.warmup 8 "
    "--schedule.state-warmup 5 --schedule.steps-before 10"
)
CELLS = ("tanh", "relu", "linear", "gru", "lstm", "binary", "lif")
TASKS = {
    "xor": "--task.delay 8 --task.num-steps 60",
    "copy": "--task.delay 8 --task.num-steps 60",
    "parity": "--task.delay 8 --task.order 2 --task.num-steps 60",
    "spiking-bits": "--task.delay 8 --task.bin-steps 5 --task.num-steps 100",
    "adding": "--task.num-steps 60",
    "continuous-copy": "--task.delay 8",
    "match-to-sample": "--task.delay 8 --task.min-delay 4",
    "flip-flop": "--task.num-steps 60",
    "frequency-discrimination": "--task.delay 8",
    "dyck": "--task.num-steps 60",
    "digits": "",
}
SCHEDULES = {
    "none": "",
    "before": FLOSSED,
    "phases": FLOSSED,
    "between": f"{FLOSSED} --schedule.steps-before 0",
    "adaptive": f"{FLOSSED} --schedule.every 10",
    "joint": FLOSSED,
    "heights": "--schedule.every 10",
}


def jobs() -> dict[str, list[str]]:
    """Arguments of ``floss`` by name; a directory is added to each."""
    found = {f"reproduce {name}": ["reproduce", name, "--quick"] for name in EXPERIMENTS}
    cases = {f"cell {cell}": ("xor", cell, "adaptive") for cell in CELLS}
    cases |= {f"task {task}": (task, "tanh", "adaptive") for task in TASKS}
    cases |= {f"schedule {name}": ("xor", "tanh", name) for name in SCHEDULES}
    for name, (task, cell, schedule) in cases.items():
        chosen = "phases" if schedule == "between" else schedule
        cell = "binary" if schedule == "heights" else cell
        text = f"--task {task} {TASKS[task]} --cell {cell} --schedule {chosen}"
        found[f"train {name}"] = ["train", *f"{SHORT} {text} {SCHEDULES[schedule]}".split()]
    return found | {"demo": ["demo"]}


def make(folder: Path, only: str) -> None:
    """Runs what is not there yet, one after the other, and writes the record of all that is."""
    record = {}
    for name, arguments in jobs().items():
        path = folder / name.replace(" ", "-")
        if only in name and not (path / DONE).exists():
            run(name, arguments, path)
        if (path / DONE).exists():
            record[name] = dict(sorted(numbers(path)))
    (folder / RECORD).write_text(json.dumps(record, indent=1))
    print(f"{sum(map(len, record.values()))} numbers of {len(record)} jobs in {folder / RECORD}")


def run(name: str, arguments: list[str], path: Path) -> None:
    """One job in a process of its own, from the start; what it prints goes into a file beside its folder."""
    shutil.rmtree(path, ignore_errors=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    start, log = time.perf_counter(), path.with_suffix(".log")
    words = [sys.executable, "-m", "flossing.cli", *arguments, "--directory", str(path)]
    with log.open("w") as out:
        code = subprocess.run(words, stdout=out, stderr=out, env=os.environ | _QUIET).returncode
    print(f"{name}: {time.perf_counter() - start:.0f} s, exit status {code}", flush=True)
    if code in (0, 1) and path.exists():  # 1: a claim does not hold
        (path / DONE).touch()
    else:
        print(f"  it did not end; see {log}")


_QUIET = {"OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}


def numbers(path: Path) -> Iterator[tuple[str, Any]]:
    """The numbers of a job by the file and the place in it where they stand."""
    for file in sorted(path.rglob("*.json")):
        if "runs" not in file.parts[len(path.parts) :]:
            yield from _in_json(json.loads(file.read_text(encoding="utf-8")), file.name)
    for name in ("metrics.nc", "numbers.nc"):
        for file in sorted(path.rglob(name)):
            if "runs" not in file.parts[len(path.parts) :]:
                yield from _in_datasets(file, str(file.relative_to(path)))


def _in_json(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in IGNORED:
                yield from _in_json(item, f"{place}/{key}")
    elif isinstance(value, list):
        try:
            yield place, _summary(np.asarray(value, float))
        except (TypeError, ValueError):
            for i, item in enumerate(value):
                yield from _in_json(item, f"{place}/{i}")
    elif isinstance(value, bool | int | float):
        yield place, value


def _in_datasets(file: Path, place: str) -> Iterator[tuple[str, Any]]:
    import xarray

    with xarray.open_datatree(file, engine="h5netcdf") as tree:
        for part in tree.subtree:
            for name, variable in part.data_vars.items():
                if variable.dtype.kind in "fiub" and "seconds" not in str(name):
                    values = np.asarray(variable, float)
                    yield f"{place}{part.path}/{name}".replace("//", "/"), _summary(values)


def _summary(values: np.ndarray) -> list[float]:
    finite = values[np.isfinite(values)]
    return [values.size, float(finite.mean()) if finite.size else math.nan, *values.ravel()[:FIRST]]


def compare(before: Path, after: Path, tolerance: float) -> int:
    """Prints what differs by more than a relative tolerance; the number of jobs in which anything does."""
    old, new = (json.loads((folder / RECORD).read_text()) for folder in (before, after))
    changed = 0
    for name in sorted(old.keys() | new.keys()):
        a, b = old.get(name, {}), new.get(name, {})
        missing = sorted(a.keys() ^ b.keys())
        far = {place: _distance(a[place], b[place]) for place in a.keys() & b.keys()}
        far = {place: distance for place, distance in far.items() if distance > tolerance}
        verdicts = [place for place in far if place.endswith("/holds")]
        changed += bool(missing or far)
        line = f"{name}: {len(a)} numbers, {len(far)} differ, {len(missing)} in one only"
        worst = max(far, key=far.__getitem__, default=None)
        print(line + (f"; largest: {worst} by {far[worst]:.2g}" if worst else ""))
        for place in verdicts:
            print(f"  verdict: {place}: {a[place]} -> {b[place]}")
    return changed


def _distance(a: Any, b: Any) -> float:
    """The largest difference, relative to the larger size; infinite where one is no number."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        return math.inf
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    size = np.maximum(np.maximum(np.abs(a), np.abs(b)), 1e-6)
    distance = np.where(same, 0, np.abs(a - b) / size)
    return float(np.where(np.isnan(distance), math.inf, distance).max(initial=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="run everything and write FOLDER/record.json")
    making.add_argument("folder", type=Path)
    making.add_argument("--only", default="", help="names that contain this")
    comparing = commands.add_parser("compare", help="two folders that were made")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--tolerance", type=float, default=1e-4, help="relative")
    options = parser.parse_args()
    if options.command == "make":
        make(options.folder, options.only)
    else:
        sys.exit(min(compare(options.before, options.after, options.tolerance), 1))


if __name__ == "__main__":
    main()
