"""The command line, as a newcomer uses it."""

import os
import signal
import subprocess
import sys
import time

import pytest
import xarray as xr
import yaml

import flossing as fl
from flossing.cli import main
from flossing.commands import demo
from flossing.runs import RunConfig, from_yaml

TINY = (
    "--task.delay 4 --task.num-steps 12 --epochs 12 --batch-size 2 --cell.hidden-size 6 --realisations 2 "
    "--schedule phases --schedule.num-exponents 3 --schedule.window 8 --schedule.warmup 2 "
    "--schedule.state-warmup 0 --schedule.steps-before 2 --schedule.every 5 --schedule.max-times 1 "
    "--schedule.steps-between 2 --test-trials 8"
).split()


PLAIN = [*TINY[: TINY.index("--schedule")], "--schedule", "none", "--test-trials", "8"]


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
    assert all(name in out for name in ("demo", "examine", "train", "sweep", "reproduce", "report"))


def test_train_writes_its_directory_and_a_table(tmp_path, capsys):
    path = tmp_path / "mine"
    assert main(["train", *PLAIN, "--directory", str(path)]) == 0
    out = capsys.readouterr().out
    assert "held-out" in out
    names = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    assert {"figures/run.png", "figures/run.pdf", "log.txt", "metrics.nc", "weights.eqx"} <= names
    assert (path / "figures/run.png").read_bytes().startswith(b"\x89PNG")
    assert not any(p.name.startswith(".") for p in path.rglob("*"))


def test_settings_go_from_the_command_line_to_a_file_and_back(tmp_path):
    file = tmp_path / "settings.yaml"
    assert main(["train", *TINY, "--save-config", str(file)]) == 0
    config = from_yaml(file.read_text())
    assert (config.task.delay, config.epochs, config.realisations) == (4, 12, 2)
    changed = tmp_path / "changed.yaml"
    command = ["train", "--config", str(file), "--seed", "7", "--save-config", str(changed)]
    assert main(command) == 0
    assert yaml.safe_load(changed.read_text()) == yaml.safe_load(file.read_text()) | {"seed": 7}


def test_sizes_are_those_of_the_published_call():
    config = RunConfig()
    assert config.task == fl.tasks.DelayedXOR(20, num_steps=300)
    assert config.cell == fl.TanhSpec(80, gain=1.0, input_gain=1.0)
    assert (config.epochs, config.batch_size) == (3001, 16)
    assert config.optimiser == fl.Adam(learning_rate=1e-3, clip="array", clip_norm=0.03)
    published = fl.Phases.published()
    assert (published.num_exponents, published.window, published.warmup) == (75, 55, 16)
    times = published.steps_before, published.every, published.max_times, published.steps_between
    assert times == (500, 100, 2, 500)


DEMO = "demo --realisations 1 --delay 4 --epochs 10 --hidden-size 6 --flossing-steps 3".split()


@pytest.mark.slow
def test_demo_compares_two_runs(tmp_path, capsys):
    assert main([*DEMO, "--directory", str(tmp_path / "demo")]) == 0
    out = capsys.readouterr().out
    assert "not flossed" in out
    assert (tmp_path / "demo/figures/demo.png").exists()
    runs = [
        xr.load_dataset(tmp_path / "demo" / n / "metrics.nc") for n in ("flossed", "not-flossed")
    ]
    xr.testing.assert_equal(runs[0]["exponents"][0], runs[1]["exponents"][0])


def assert_said_how_to_go_on(out):
    assert "stopping after the current block" in out
    assert "floss train --resume" in " ".join(out.split())
    assert "Traceback" not in out


@pytest.mark.slow
def test_ctrl_c_finishes_the_blocks_of_a_demo_and_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    """Interrupted once the networks of one of its runs have been flossed."""
    run = demo.run

    def interrupted(config, *, reporter, stop):
        progress = reporter.progress

        def then_ctrl_c(phase, done, *more):
            progress(phase, done, *more)
            if phase == "flossing" and done:
                signal.raise_signal(signal.SIGINT)
                assert stop.wait(60)

        reporter.progress = then_ctrl_c
        return run(config, reporter=reporter, stop=stop)

    monkeypatch.setattr(demo, "run", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert main([*DEMO, "--directory", str(tmp_path / "demo")]) == 1
    assert signal.getsignal(signal.SIGINT) is before
    assert_said_how_to_go_on("".join(capsys.readouterr()))
    flossed = xr.load_dataset(tmp_path / "demo/flossed/metrics.nc")
    assert flossed.sizes["flossing_step"] == 3
    assert "epoch" not in flossed.sizes


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a signal that Windows does not have")
def test_ctrl_c_finishes_the_block_and_says_how_to_go_on(tmp_path):
    """A real process, interrupted once it reports progress."""
    size = ["--epochs", "3000", "--task.num-steps", "60"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "flossing.cli",
            "train",
            *PLAIN,
            *size,
            "--directory",
            str(tmp_path / "run"),
        ],
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
    assert_said_how_to_go_on(out)


def test_reproduce_lists_its_experiments_with_the_verdict_of_the_kept_run(capsys):
    from flossing.experiments import EXPERIMENTS, kept_verdict

    assert main(["reproduce"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in EXPERIMENTS)
    claims = kept_verdict("bias")["claims"]
    assert f"{len(claims)} of {len(claims)}" in out


@pytest.mark.slow
def test_a_reader_that_has_seen_enough_gets_no_traceback():
    """As in ``floss reproduce | head -1``."""
    command = [sys.executable, "-m", "flossing.cli", "reproduce"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(120) == 1
