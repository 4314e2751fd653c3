"""Training from Python: any network, any task, any optimiser; goes on where it was stopped."""

import dataclasses
import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import own_parts
import pytest
import xarray as xr
from kill_train import wait_for_a_block
from test_runs import SMALL, StopAfter

import flossing as fl
from flossing.cli import main
from flossing.runs import driven, resume
from flossing.runs.fingerprint import fingerprint
from flossing.runs.reporter import Silent
from flossing.runs.train import read_metrics


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return own_parts.train(tmp_path_factory.mktemp("runs") / "whole", reporter=Silent())


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs groups of processes")
def test_own_network_task_and_metric_killed_and_resumed(undisturbed, tmp_path):
    """Bit for bit, whenever it is killed."""
    path = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, own_parts.__file__, str(path)],
        stderr=subprocess.DEVNULL,
        env=os.environ | {"FLOSSING_CACHE": ""},
        start_new_session=True,
    )
    wait_for_a_block(process, path, 0)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    last = own_parts.train(path, reporter=Silent())
    assert "worst " in repr(last)
    data = xr.load_dataset(path / "metrics.nc", engine="h5netcdf")
    xr.testing.assert_equal(data, undisturbed.data)
    assert (path / "weights.eqx").read_bytes() == (
        undisturbed.directory / "weights.eqx"
    ).read_bytes()


@pytest.mark.slow
def test_what_python_gave_is_named_in_the_directory(undisturbed, capsys):
    text = (undisturbed.directory / "config.yaml").read_text()
    assert re.search(r"cell:\n  python: train.<lambda> \w{12}\n", text)
    assert "state:\n  python: train.<lambda>" in text
    assert main(["train", "--resume", str(undisturbed.directory)]) == 2
    said = capsys.readouterr().err
    assert (
        "Mean was given in Python, and no file holds it; call result = fl.train(...) again" in said
    )
    assert main(["examine", "--run", str(undisturbed.directory)]) == 2
    assert "state, inputs, key = result.driven(1)" in capsys.readouterr().err
    with pytest.raises(ValueError, match=r"result\.driven\(1\)"):
        driven(undisturbed.directory)


SCRIPT = """
import sys
import flossing as fl
from counting import Count

fl.train(
    fl.TanhSpec(4), Count(num_steps=6), schedule=None, epochs=int(sys.argv[2]), measure_every=None,
    test_trials=4, directory=sys.argv[1],
)
"""
COUNTING = """
import dataclasses
import flossing as fl
from counted import mistake

@dataclasses.dataclass(frozen=True)
class Count(fl.tasks.AddingProblem):
    extra: int = 3

    def loss(self, outputs, trial):
        return mistake(outputs[:, -1, 0], trial.targets.ravel())
"""
COUNTED = "mistake = lambda output, target: ((output - target) ** 2).mean()"


@pytest.mark.slow
def test_a_task_from_a_file_beside_the_script_is_found_by_the_command(
    tmp_path, monkeypatch, capsys
):
    """From another folder; also what the file imports from beside it, and also where both were moved."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, text in (("go", SCRIPT), ("counting", COUNTING), ("counted", COUNTED)):
        (folder / f"{name}.py").write_text(text)
    path = tmp_path / "run"

    def go(folder, epochs):
        """Runs the script as a new process would."""
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(folder)
            patch.setattr(sys, "argv", ["go.py", str(path), str(epochs)])
            runpy.run_path(str(folder / "go.py"))
        del sys.modules["counting"], sys.modules["counted"]

    go(folder, 3)
    assert f"name: {folder.resolve() / 'counting.py'}:Count\n" in (path / "config.yaml").read_text()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    code = "import sys; from flossing.cli import main; sys.exit(main(sys.argv[1:]))"
    words = [sys.executable, "-c", code, "train", "--resume", path, "--epochs", "5"]
    subprocess.run(words, check=True, capture_output=True, cwd=elsewhere)
    assert read_metrics(path).sizes["epoch"] == 5

    folder.rename(tmp_path / "moved")
    assert main(["train", "--resume", str(path)]) == 2
    assert "counting.py. If it was moved, say so in config.yaml" in capsys.readouterr().err
    go(tmp_path / "moved", 7)
    assert read_metrics(path).sizes["epoch"] == 7


def test_a_module_that_cannot_be_imported_says_what_to_do(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text("task: {name: 'somewhere_else:Count'}")
    assert main(["train", "--resume", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert (
        "cannot import somewhere_else: No module named 'somewhere_else'. Install it, or put" in said
    )
    assert "environment variable PYTHONPATH; or repeat the call of fl.train" in said


@pytest.mark.slow
def test_a_network_of_a_result_is_driven_as_that_of_its_directory(tmp_path):
    result = train_small(directory=tmp_path / "run", reporter=Silent())
    found, expected = (
        result.driven(2, steps=30, seed=3),
        driven(tmp_path / "run", 2, steps=30, seed=3),
    )
    arrays = [eqx.filter(tuple(x), eqx.is_array) for x in (found, expected)]
    assert eqx.tree_equal(*arrays)
    np.testing.assert_array_equal(
        found.step.recurrent_weight, result.networks.cell.recurrent_weight[1]
    )
    with pytest.raises(ValueError, match="network: expected at most 2, got 3"):
        result.driven(3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"optimiser": optax.adam(2e-3)}, "optimiser"),
        ({"schedule": None}, "schedule.name = 'before', not 'none'"),
        ({"seed": 2}, "seed = 1, not 2"),
    ],
)
def test_a_changed_argument_is_refused(undisturbed, changed, message):
    with pytest.raises(ValueError, match="goes on with its own settings") as caught:
        own_parts.train(undisturbed.directory, **changed)
    assert message in str(caught.value)


@pytest.mark.slow
def test_a_run_of_one_s_own_parts_is_extended(undisturbed, tmp_path):
    short = own_parts.train(tmp_path / "run", epochs=550, reporter=Silent())
    longer = own_parts.train(tmp_path / "run", epochs=600, reporter=Silent())
    assert short.data.sizes["epoch"] == 550
    xr.testing.assert_equal(longer.data["worst"], undisturbed.data["worst"])
    assert eqx.tree_equal(
        eqx.filter(longer.networks, eqx.is_array), eqx.filter(undisturbed.networks, eqx.is_array)
    )


def train_small(**changed):
    given = {f.name: getattr(SMALL, f.name) for f in dataclasses.fields(SMALL)} | changed
    return fl.train(given.pop("cell"), given.pop("task"), **given)


@pytest.mark.slow
def test_without_a_directory_nothing_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    result = train_small()
    assert list(tmp_path.iterdir()) == []
    assert result.directory is None
    assert "train: training 10/10, accuracy" in capsys.readouterr().err
    first, second, _, *rows = repr(result).splitlines()
    assert first == "copy task, d = 3, tanh N = 6, flossing: phases"
    assert second.startswith("10 epochs, networks: 2, ")
    assert len(rows) == 2
    assert result.seconds > 0


@pytest.mark.slow
def test_an_interrupt_loses_nothing(capfd):
    """Ctrl-C ends a training after its block; what was done is there."""

    class Impatient(Silent):
        def progress(self, phase, done, total, status):
            if done:
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    result = train_small(epochs=120, schedule=None, measure_every=None, reporter=Impatient())
    assert not result.finished
    assert result.data.sizes["epoch"] == 50
    assert np.isfinite(result.data["loss"]).all()
    assert "stopping after the current block" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_an_optax_transformation_is_the_optimiser():
    """A rate of zero leaves the networks as they start."""
    result = train_small(optimiser=optax.sgd(0.0), schedule=None, reporter=Silent())
    start = dataclasses.replace(SMALL, schedule=None).networks()
    assert eqx.tree_equal(
        eqx.filter(result.networks, eqx.is_array), eqx.filter(start, eqx.is_array)
    )


@pytest.mark.slow
def test_a_tracker_of_one_s_own_and_a_reporter_are_told():
    seen = []

    class Mine:
        def log(self, kind, step, values):
            seen.append((kind, step))

        def close(self):
            pass

    reporter = StopAfter(1000)
    train_small(trackers=[Mine()], reporter=reporter)
    assert [step for kind, step in seen if kind == "training"] == list(range(10))
    assert reporter.blocks == 1000 - 5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cell": fl.TanhSpec}, "network: expected settings such as fl.TanhSpec(80)"),
        ({"cell": 80}, "network: expected settings such as fl.TanhSpec(80)"),
        ({"task": fl.tasks.Copy}, "task: expected an object such as"),
        (
            {"schedule": "adaptive"},
            "schedule: expected an object such as fl.Adaptive(), got 'adaptive'",
        ),
        ({"optimiser": 1e-3}, "optimiser: expected an object such as optax.adam(1e-3), got 0.001"),
        ({"epochs": 0}, "epochs: expected at least 1, got 0"),
        (
            {"task": fl.tasks.Copy(30, num_steps=9)},
            "num_steps: a delay of 30 steps needs more than 30",
        ),
    ],
)
def test_arguments_that_do_not_fit_leave_no_directory(changed, message, untyped, tmp_path):
    with pytest.raises((TypeError, ValueError)) as caught:
        train_small(**{**changed, "directory": tmp_path / "run"})
    assert str(caught.value).startswith(message)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_fingerprints_tell_objects_apart_and_agree_between_processes():
    code = (
        "import optax, jax.numpy as jnp; from flossing.runs.fingerprint import fingerprint as f; "
        "print(f(optax.adam(1e-3))); print(f(jnp.arange(3.0)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == fingerprint(optax.adam(1e-3))
    assert done.stdout.split("\n")[1] == fingerprint(jnp.arange(3.0))

    def closed(over):
        return lambda key: (key, over)

    different = [
        optax.adam(1e-3),
        optax.adam(1e-2),
        optax.sgd(1e-3),
        jnp.arange(3.0),
        np.arange(4.0),
        closed(1),
        closed(2),
        closed(closed(1)),
        lambda key: key + 1,
        lambda key: key + 2,
        jax.random.key(0),
        jax.random.key(1),
        fl.TanhSpec(4),
        fl.TanhSpec(5),
    ]
    assert len({fingerprint(x) for x in different}) == len(different)
    assert fingerprint(closed(1)) == fingerprint(closed(1))


def test_resume_takes_no_other_directory(tmp_path):
    with pytest.raises(ValueError, match=re.escape("has no config.yaml")):
        resume(Path(tmp_path))


@pytest.mark.slow
def test_arrays_are_trained_on_as_the_page_says(capsys, untyped):
    page = (Path(__file__).parents[2] / "docs" / "runs.md").read_text(encoding="utf-8")
    (code,) = [b for b in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "Arrays" in b]
    names: dict = {}
    exec(code, names)
    assert float(names["result"].data["test_accuracy"][0]) > 0.9
