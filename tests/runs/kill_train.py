"""Kills a training run with signal 9 at random moments, resumes it, and compares it with an undisturbed one.

``python tests/runs/kill_train.py 20`` kills twenty times, among them while checkpoints are written.
"""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import equinox as eqx
import xarray as xr

import flossing as fl
from flossing.runs import RunConfig, resume, run, to_yaml


def kill_and_resume(config, directory, undisturbed, kills, seed):
    """Starts or resumes the run until it has been killed so often, then lets it end in this process.

    Returns:
        How often it was killed before it ended by itself.
    """
    dice = random.Random(seed)
    settings = directory.with_suffix(".yaml")
    settings.write_text(to_yaml(dataclasses.replace(config, directory=str(directory))))
    done = 0
    blocks_before = 0
    while done < kills:
        process = start(directory, settings)
        wait_for_a_block(process, directory, blocks_before)
        time.sleep(dice.uniform(0, 0.3))
        if process.poll() is not None:
            break
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        done += 1
        blocks_before = blocks(directory)
    result = resume(directory)
    xr.testing.assert_equal(result.data, undisturbed.data)
    assert eqx.tree_equal(result.networks, undisturbed.networks)
    return done


def start(directory, settings):
    """Starts the command, or continues the run where there is one; one device, its own group."""
    begun = (directory / "config.yaml").is_file()
    arguments = ["--resume", directory] if begun else ["--config", settings]
    return subprocess.Popen(
        [sys.executable, "-m", "flossing.cli", "train", "--devices", "1", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )


def blocks(directory):
    """How many blocks are logged."""
    log = directory / "log.txt"
    if not log.is_file():
        return 0
    return sum("flossing " in line or "training " in line for line in log.read_text().splitlines())


def wait_for_a_block(process, directory, before):
    """Until a block is done, so that kills hit the work and not only the start of Python."""
    while process.poll() is None and blocks(directory) <= before:
        time.sleep(0.03)


def main():
    """Many kills of a run with many short blocks."""
    config = RunConfig(
        task=fl.tasks.Copy(3, num_steps=20),
        cell=fl.TanhSpec(8),
        schedule=fl.Adaptive(num_exponents=4, window=12, warmup=4, steps_before=1500),
        epochs=20_000,
        batch_size=4,
        realisations=2,
        measure_every=500,
    )
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = run(dataclasses.replace(config, directory=f"{folder}/undisturbed"))
        done = kill_and_resume(config, Path(folder) / "killed", undisturbed, kills, seed=1)
        data = undisturbed.data
        print(
            f"killed {done} times; {data.sizes['epoch']} epochs, "
            f"{data.sizes['flossing_step']} flossing steps, weights and metrics bit-identical"
        )


if __name__ == "__main__":
    main()
