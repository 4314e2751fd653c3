"""A sweep on all cores against the same runs one after another in one process on one core.

Claim: on two cores the sweep is at least 1.8 times as fast; starting workers, compiling and writing included.

The sweep is d = 10, 20, 30, 40 of delayed XOR x {not flossed, flossed before training} x 9 tanh networks
(N = 80) x 1000 epochs. Command::

    python benchmarks/sweep.py DIRECTORY [--json sweep.json] [--epochs 1000]

DIRECTORY gets the sweep and, beside it, the single runs.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import xarray as xr

DELAYS = [10, 20, 30, 40]
SCHEDULES = ["none", "before"]
BASE = {
    "realisations": 9,
    "measure-every": 0,
    "flossing.window": 100,
    "flossing.warmup": 25,
    "flossing.learning-rate": 0.005,
    "flossing.steps-before": 200,
}

ONE_AFTER_ANOTHER = """
import os, sys
os.sched_setaffinity(0, {0})
from flossing.cli import main
for line in sys.stdin:
    assert main(line.split()) == 0
"""


def options(settings: dict) -> list[str]:
    """A mapping as command line options."""
    return [part for name, value in settings.items() for part in (f"--{name}", str(value))]


def timed(command: list[str], input: str = "") -> float:
    """Seconds that a command takes; it must succeed."""
    start = time.perf_counter()
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(command, input=input, text=True, check=True, env=environment)
    return time.perf_counter() - start


def main() -> None:
    """Runs both and prints the ratio."""
    parser = argparse.ArgumentParser(description="A sweep against single runs on one core.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--epochs", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    base = BASE | {"epochs": arguments.epochs}
    folder = arguments.directory
    folder.mkdir(parents=True)

    over = [f"task.delay={','.join(map(str, DELAYS))}", f"flossing.schedule={','.join(SCHEDULES)}"]
    floss = [sys.executable, "-m", "flossing.cli"]
    sweep = timed(
        [*floss, "sweep", *options(base), "--over", *over, "--directory", str(folder / "sweep")]
    )
    lines = []
    for delay in DELAYS:
        for schedule in SCHEDULES:
            settings = base | {"task.delay": delay, "flossing.schedule": schedule, "devices": 1}
            settings["directory"] = folder / f"one-{delay}-{schedule}"
            lines.append(" ".join(["train", *options(settings)]))
    single = timed([sys.executable, "-c", ONE_AFTER_ANOTHER], "\n".join(lines))

    swept = xr.load_dataset(folder / "sweep" / "sweep.nc", engine="h5netcdf")
    same = True
    for delay in DELAYS:
        for schedule in SCHEDULES:
            one = xr.load_dataset(
                folder / f"one-{delay}-{schedule}" / "metrics.nc", engine="h5netcdf"
            )
            other = swept.sel({"task.delay": delay, "flossing.schedule": schedule})
            same &= bool(np.array_equal(one["loss"], other["loss"]))
    result = {
        "cores": os.cpu_count(),
        "sweep_seconds": round(sweep, 1),
        "one_after_another_seconds": round(single, 1),
        "ratio": round(single / sweep, 2),
        "losses_bit_identical": same,
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
