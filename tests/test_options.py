"""Options of the parts of a run: few to read, none ignored, the same names in files and commands."""

import dataclasses
import inspect
import os
import pydoc
import re
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

import flossing as fl
from flossing.cli import main
from flossing.commands.train import parse
from flossing.runs import RunConfig, from_yaml, parts, to_yaml, yaml_files
from flossing.runs.former import instead_of

MEMBERS = [(part, name) for part, family in parts.FAMILIES.items() for name in family.members]


def help_of(*arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["train", *arguments, "--help"])
    assert stopped.value.code == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(("part", "name"), MEMBERS)
def test_help_fits_on_a_page_and_has_each_option_of_what_was_chosen(part, name, capsys):
    lines = help_of(f"--{part}", name, capsys=capsys)
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 80
    options = re.findall(r"^  --([a-z-]+(?:\.[a-z-]+)?)(?: |$)", "\n".join(lines), re.MULTILINE)
    assert options[:10] == [
        *parts.FAMILIES, "epochs", "realisations", "seed", "batch-size", "directory", "config"
    ]  # fmt: skip
    shown = {option for option in options if option.startswith(f"{part}.")}
    fields = parts.settings(parts.FAMILIES[part].members[name])
    assert shown == {f"{part}.{field}".replace("_", "-") for field in fields}
    assert len(options) == len(set(options))


@pytest.mark.parametrize(("part", "name"), MEMBERS)
def test_help_in_python_describes_each_argument_in_order(part, name):
    """Those of the bases, too."""
    kind = parts.FAMILIES[part].members[name]
    text = pydoc.plaintext.document(kind, kind.__name__)
    about = text.partition("Args:\n")[2].partition("Method resolution order")[0]
    assert re.findall(r"^ \|      (\w+): [A-Z\d].*", about, re.MULTILINE) == [*parts.settings(kind)]


def test_help_in_python_has_the_words_under_the_field():
    text = inspect.getdoc(fl.LIFSpec)
    assert "\n    time_step: Duration of a step, in ms.\n" in text
    assert "\n    hidden_size: Number of units per layer, N.\n" in text  # of a base
    assert (
        "readout_gain: Standard deviation of the readout. By default 1 / sqrt(N).\n" in text
    )  # anew


def test_help_says_what_every_option_is_and_shows_given_values(tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text("cell: {name: lif, hidden_size: 33}")
    lines = help_of("--config", str(file), capsys=capsys)
    assert any(line.startswith("  --cell lif ") for line in lines)
    assert any(line.startswith("  --cell.hidden-size 33 ") for line in lines)
    for i, line in enumerate(lines):
        if line.startswith("  --"):
            assert line[32:].strip() or lines[i + 1].startswith(" " * 32), line


OWN = '''
import dataclasses
import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import flossing as fl


class Slow(fl.TanhCell):
    """A tanh cell.

    Args:
        input_size: number of inputs.
        hidden_size: number of units.
        slowness: how slow it is.
        key: random key.
    """

    def __init__(self, input_size: int, hidden_size: int, *, slowness: float = 0.5, key):
        super().__init__(input_size, hidden_size, leak=slowness, key=key)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Late(fl.tasks.Copy):
    """Copy after a long time."""

    extra: int = 2
    """Steps more."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Twice(fl.Before):
    """Floss twice as often."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Noisy(fl.optimisers.OptimiserSpec):
    """Gradient descent."""

    rate: float = 1e-2
    """Learning rate."""

    def build(self, epochs):
        return optax.sgd(self.rate)
'''
CHOSEN = (
    "--task own.py:Late --task.extra 3 --task.delay 4 --task.num-steps 12 --cell own.py:Slow "
    "--cell.slowness 0.25 --cell.hidden-size 6 --schedule own.py:Twice --schedule.window 8 "
    "--schedule.warmup 2 --schedule.num-exponents 2 --schedule.steps-before 2 --optimiser own.py:Noisy "
    "--optimiser.rate 0.03 --epochs 3 --batch-size 2 --test-trials 8 --directory mine"
).split()


@pytest.mark.slow
def test_parts_of_one_s_own_are_kept_with_their_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)
    lines = help_of("--cell", "own.py:Slow", capsys=capsys)
    assert "  --cell.slowness 0.5           how slow it is." in lines
    assert main(["train", *CHOSEN]) == 0
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    own = str(tmp_path / "own.py")
    (loaded,) = (name for name, m in sys.modules.items() if getattr(m, "__file__", None) == own)
    monkeypatch.delitem(sys.modules, loaded)  # as in a new process
    capsys.readouterr()
    assert main(["train", "--resume", "../mine", "--epochs", "5"]) == 0
    assert sys.modules[loaded]
    config = from_yaml(Path("../mine/config.yaml").read_text())
    assert parts.name_of("cell", config.cell) == f"{tmp_path / 'own.py'}:Slow"
    assert (config.cell.slowness, config.task.extra, config.optimiser.rate) == (0.25, 3, 0.03)
    assert config.epochs == 5
    assert "held-out" in capsys.readouterr().out
    assert xr.load_dataset("../mine/metrics.nc").sizes["epoch"] == 5
    assert from_yaml(to_yaml(config)) == config


def test_a_part_that_is_chosen_keeps_what_was_set_and_no_defaults_of_another():
    config = parse("--task.delay 8 --task copy --cell binary".split()).settings
    assert config.task == fl.tasks.Copy(8)
    assert config.cell == fl.BinarySpec()
    base = from_yaml("schedule: {name: adaptive, window: 60, band: 1}")
    assert from_yaml("schedule: before", base=base).schedule == fl.Before(window=60)


def test_every_flag_of_an_earlier_version_has_a_word_for_it():
    kept = {f.name for f in dataclasses.fields(RunConfig)}
    for name in FORMER.split():
        part, _, field = name.partition(".")
        known = {
            x
            for kind in getattr(parts.FAMILIES.get(part), "members", {}).values()
            for x in parts.settings(kind)
        }
        assert field in known or (not field and part in kept) or instead_of(name), name


FORMER = """task.name task.delay task.order cell.name
cell.hidden_size cell.first_exponent cell.mean cell.density
cell.shortcuts cell.dale cell.lines cell.line_start cell.form cell.centred cell.centred_inputs
cell.membrane_readout cell.bias_range cell.gate_bias cell.chrono cell.reset cell.fluctuations
flossing.schedule
flossing.num_exponents flossing.targets flossing.which flossing.penalty flossing.window flossing.warmup
flossing.detach_warmup flossing.detach_states flossing.state_warmup flossing.starts
flossing.renormalise_every flossing.steps_before flossing.every flossing.max_times flossing.steps_between
flossing.optimiser flossing.learning_rate flossing.final_learning_rate flossing.clip_norm
flossing.parameters flossing.centred flossing.adaptive.control flossing.adaptive.response
flossing.adaptive.every flossing.adaptive.watched flossing.adaptive.look_starts flossing.adaptive.band
flossing.adaptive.centre flossing.adaptive.settle flossing.adaptive.max_steps flossing.adaptive.learned
flossing.adaptive.memory flossing.joint_weight epochs batch_size num_steps optimiser learning_rate
final_learning_rate readout_rate slow_below roll_back beta1 beta2 clip clip_norm jacobian_penalty
train_initial_state keep_zeros realisations seed measure_every measure_exponents test_trials directory"""


@pytest.mark.slow
def test_nothing_is_compiled_twice(tmp_path):
    """Two networks on two cores, with flossing before and during training."""
    words = (
        "--realisations 2 --devices 2 --task.delay 4 --task.num-steps 12 --epochs 120 --batch-size 2 "
        "--cell.hidden-size 6 --schedule.num-exponents 3 --schedule.window 8 --schedule.warmup 2 "
        "--schedule.steps-before 60 --measure-every 40 --test-trials 8"
    ).split()
    environment = os.environ | {"JAX_LOG_COMPILES": "1", "FLOSSING_CACHE": ""}
    command = [
        sys.executable,
        "-m",
        "flossing.cli",
        "train",
        *words,
        "--directory",
        str(tmp_path / "run"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    compiled = re.findall(r"Finished XLA compilation of jit\((\w+)\)", done.stderr)
    large = {"_fresh": 1, "_measure_exponents": 1, "_evaluate": 1, "_block": 2, "signs": 1}
    assert {name: compiled.count(name) for name in large} == large


def test_none_is_understood_where_an_option_may_be_absent(capsys):
    words = (
        "--measure-every none --schedule none --optimiser.clip none --cell lif --cell.reset none"
    )
    assert main(["train", *words.split(), "--cell.fluctuations=none", "--save-config", "-"]) == 0
    kept = yaml_files.load(capsys.readouterr().out)
    assert (kept["measure_every"], kept["optimiser"]["clip"]) == (None, None)
    assert (kept["schedule"], kept["cell"]["fluctuations"]) == ({"name": "none"}, None)
    assert kept["cell"]["reset"] == "none"
