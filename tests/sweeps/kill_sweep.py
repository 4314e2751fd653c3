"""Kills a sweep again and again, at random moments, and looks at what is lost.

``python tests/sweeps/kill_sweep.py 20 4000`` (kills, epochs) kills ``floss sweep`` with SIGKILL, starts it
again each time, and compares all numbers with those of an undisturbed sweep, bit for bit.
"""

import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr

SETTINGS = (
    "--task copy --task.delay 3 --task.num-steps 12 --cell.hidden-size 8 --batch-size 2 --measure-every 500 "
    "--schedule phases --schedule.num-exponents 3 --schedule.window 8 --schedule.warmup 2 "
    "--schedule.steps-before 120 --schedule.every 500 --schedule.max-times 2 "
    "--schedule.steps-between 60 --test-trials 8"
).split()


def keep_compiled(cache: Path) -> dict[str, str]:
    """Environment in which processes take compiled functions from each other."""
    return {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }


def start(path: Path, epochs: int, *more: str) -> subprocess.Popen:
    """``floss sweep`` over two seeds, in a session of its own; compiled functions are kept beside it."""
    own = {"PYTHONUNBUFFERED": "1", "JAX_PLATFORMS": "cpu"}
    environment = keep_compiled(path.parent / "compiled") | os.environ | own
    command = [sys.executable, "-m", "flossing.cli", "sweep", *SETTINGS, "--epochs", str(epochs)]
    return subprocess.Popen(
        [*command, "--over", "seed=1,2", "--directory", str(path), *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def finish(process: subprocess.Popen, timeout: float = 300) -> str:
    """Waits for success and returns what was printed."""
    out = process.communicate(timeout=timeout)[0]
    assert process.returncode == 0, out
    return out


def blocks(path: Path) -> dict[str, list[tuple[str, int]]]:
    """Kind and steps done after each block that was written, per run, in the order of the log."""
    found = {}
    for log in path.glob("runs/*/log.txt"):
        text = re.sub(r".*could not write.*\n.*\n?", "", log.read_text())
        done = re.findall(r"(flossing|training) (\d+)/\d+,(?! done before)", text)
        found[log.parent.name] = [(kind, int(steps)) for kind, steps in done]
    return found


def wait_for_block(path: Path, process: subprocess.Popen, timeout: float = 120) -> bool:
    """Waits for one more block than there are; False when the sweep ended before."""
    before = sum(map(len, blocks(path).values()))
    deadline = time.monotonic() + timeout
    while process.poll() is None and time.monotonic() < deadline:
        if sum(map(len, blocks(path).values())) > before:
            return True
        time.sleep(0.1)
    return False


def kill(process: subprocess.Popen) -> None:
    """SIGKILL for the process that conducts the sweep; its workers must end by themselves."""
    process.send_signal(signal.SIGKILL)
    process.communicate()


def assert_nothing_lost(path: Path) -> None:
    """No block was done twice: a restart began where the last written block had ended."""
    for name, done in blocks(path).items():
        for kind in ("flossing", "training"):
            steps = [number for what, number in done if what == kind]
            assert steps == sorted(set(steps)), f"{name}: {done}"


def assert_same(one: Path, other: Path) -> None:
    """All numbers of two sweeps are the same, bit for bit."""
    a, b = (xr.load_dataset(p / "sweep.nc", engine="h5netcdf") for p in (one, other))
    xr.testing.assert_identical(a, b)
    for run in (one / "runs").iterdir():
        first, second = (
            xr.load_dataset(p / "runs" / run.name / "metrics.nc", engine="h5netcdf")
            for p in (one, other)
        )
        xr.testing.assert_equal(first, second)
        weights = [(p / "runs" / run.name / "weights.eqx").read_bytes() for p in (one, other)]
        assert weights[0] == weights[1]
    assert np.isfinite(a["test_accuracy"]).all()


def main(kills: int, epochs: int = 4000, seed: int = 0) -> None:
    """Prints what happened at each kill."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = Path(folder) / "whole", Path(folder) / "killed"
        begin = time.monotonic()
        finish(start(whole, epochs), 1200)
        print(f"undisturbed: {time.monotonic() - begin:.0f} s", flush=True)
        for number in range(kills):
            process = start(killed, epochs)
            if chance.random() < 0.75:
                wait_for_block(killed, process)
                time.sleep(chance.uniform(0, 0.6))
            else:
                time.sleep(chance.uniform(0, 10))
            ended = process.poll() is not None
            kill(process)
            reached = {name: done[-1] for name, done in blocks(killed).items() if done}
            print(f"kill {number + 1}: {'had ended, ' if ended else ''}{reached}", flush=True)
        finish(start(killed, epochs), 1200)
        assert_nothing_lost(killed)
        assert_same(whole, killed)
        print(f"{kills} kills: no block done twice, all numbers the same bit for bit")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:])) if len(sys.argv) > 1 else main(20)
