"""The command line, as a newcomer uses it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import xarray as xr
import yaml

from flossing.cli import main
from flossing.floss import Flossing
from flossing.runs import RunConfig, from_yaml, to_yaml

TINY = (
    "--task.delay 4 --epochs 12 --batch-size 2 --num-steps 12 --cell.hidden-size 6 --realisations 2 "
    "--flossing.num-exponents 3 --flossing.window 8 --flossing.warmup 2 --flossing.steps-before 2 "
    "--flossing.renormalise-every 1 --flossing.every 5 --flossing.max-times 1 "
    "--flossing.steps-between 2 --test-trials 8"
).split()


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["demo", "--help"]])
def test_help_is_there(arguments, capsys):
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = stop.code
    assert status == 0
    assert "usage" in capsys.readouterr().out


def test_no_command_shows_the_commands(capsys):
    assert main([]) == 2
    out = capsys.readouterr().out
    assert all(
        name in out for name in ("demo", "train", "sweep", "spectrum", "reproduce", "report")
    )


def test_train_writes_its_directory_and_a_table(tmp_path, capsys):
    path = tmp_path / "mine"
    assert main(["train", *TINY, "--directory", str(path)]) == 0
    out = capsys.readouterr().out
    assert "held-out" in out
    names = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    assert {"figures/run.png", "figures/run.pdf", "log.txt", "metrics.nc", "weights.eqx"} <= names
    assert (path / "figures/run.png").read_bytes().startswith(b"\x89PNG")
    assert not any(p.name.startswith(".") for p in path.rglob("*"))
    spectrum = tmp_path / "spectrum"
    command = ["spectrum", "--run", str(path), "--realisation", "2", "--steps", "50"]
    assert main([*command, "--directory", str(spectrum)]) == 0
    report = json.loads((spectrum / "spectrum.json").read_text())
    assert len(report["exponents"]) == len(report["standard_errors"]) == 6
    assert report["kaplan_yorke_dimension"] == 0


def test_settings_go_from_the_command_line_to_a_file_and_back(tmp_path):
    file = tmp_path / "settings.yaml"
    assert main(["train", *TINY, "--save-config", str(file)]) == 0
    config = from_yaml(file.read_text())
    assert (config.task.delay, config.training.epochs, config.realisations) == (4, 12, 2)
    changed = tmp_path / "changed.yaml"
    command = ["train", "--config", str(file), "--seed", "7", "--save-config", str(changed)]
    assert main(command) == 0
    assert yaml.safe_load(changed.read_text()) == yaml.safe_load(file.read_text()) | {"seed": 7}


def test_sizes_are_those_of_the_published_call():
    config = RunConfig(flossing=Flossing.published())
    assert (config.cell.name, config.cell.hidden_size, config.cell.input_gain) == ("tanh", 80, 1.0)
    assert (config.training.epochs, config.training.batch_size, config.training.num_steps) == (
        3001,
        16,
        300,
    )
    assert (config.task.name, config.task.delay) == ("xor", 20)
    flossing = config.flossing
    assert (flossing.num_exponents, flossing.window, flossing.warmup) == (75, 55, 16)
    assert (flossing.steps_before, flossing.every, flossing.max_times, flossing.steps_between) == (
        500,
        100,
        2,
        500,
    )
    assert (config.training.learning_rate, config.training.clip, config.training.clip_norm) == (
        1e-3,
        "array",
        0.03,
    )


def test_demo_compares_two_runs(tmp_path, capsys):
    command = [
        "demo",
        "--realisations",
        "1",
        "--delay",
        "4",
        "--epochs",
        "10",
        "--hidden-size",
        "6",
        "--flossing-steps",
        "3",
    ]
    assert main([*command, "--directory", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    assert "not flossed" in out
    assert (tmp_path / "demo/figures/demo.png").exists()
    runs = [
        xr.load_dataset(tmp_path / "demo" / n / "metrics.nc") for n in ("flossed", "not-flossed")
    ]
    xr.testing.assert_equal(runs[0]["exponents"][0], runs[1]["exponents"][0])


@pytest.mark.skipif(os.name == "nt", reason="needs a signal that Windows does not have")
@pytest.mark.parametrize("command", ["train", "demo"])
def test_ctrl_c_finishes_the_block_and_says_how_to_go_on(command, tmp_path):
    """A real process, interrupted once it reports progress, then resumed to the end."""
    path = tmp_path / "run"
    if command == "train":
        size = ["--epochs", "3000", "--num-steps", "60", "--flossing.steps-before", "0"]
        arguments = [*TINY, *size]
    else:
        arguments = [
            "--realisations",
            "1",
            "--delay",
            "4",
            "--epochs",
            "3000",
            "--hidden-size",
            "6",
            "--flossing-steps",
            "1",
        ]
    process = subprocess.Popen(
        [sys.executable, "-m", "flossing.cli", command, *arguments, "--directory", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "training" in line:
            process.send_signal(signal.SIGINT)
            break
    deadline = time.monotonic() + 120
    lines += process.communicate(timeout=max(1, deadline - time.monotonic()))[0].splitlines(True)
    out = "".join(lines)
    assert process.returncode == 1, out
    assert "stopping after the current block" in out
    assert "floss train --resume" in " ".join(out.split())
    assert "Traceback" not in out


def test_resume_finishes_a_run(tmp_path, capsys):
    config = from_yaml(to_yaml(RunConfig()))
    assert config == RunConfig()
    path = tmp_path / "run"
    assert main(["train", *TINY, "--directory", str(path)]) == 0
    assert main(["train", "--resume", str(path)]) == 0
    assert "held-out" in capsys.readouterr().out


def test_reproduce_lists_its_experiments(capsys):
    from flossing.experiments import NAMES

    assert main(["reproduce"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert all(len(line.split()) > 5 for line in lines)


def test_a_reader_that_has_seen_enough_gets_no_traceback():
    """As in ``floss reproduce | head -1``."""
    command = [sys.executable, "-m", "flossing.cli", "reproduce"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(120) == 1
