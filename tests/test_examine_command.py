"""``floss examine``: what it prints and writes is what ``fl.examine`` says of the same network."""

import dataclasses
import json
import shlex

import equinox as eqx
import jax
import numpy as np
import pytest

import flossing as fl
from flossing.cli import main
from flossing.commands.examine import _code
from flossing.runs import RunConfig, driven, load, parts, run, to_yaml
from flossing.runs.examining import entry, horizon_of, signal_of

TASK = fl.tasks.Copy(4, num_steps=12)
SMALL = ["--task", "copy", "--task.delay", "4", "--task.num-steps", "12", "--steps", "80"]


def examine(*arguments, directory):
    """Runs the command; the network in its file."""
    assert main(["examine", *arguments, "--directory", str(directory)]) == 0
    content = json.loads((directory / "examine.json").read_text(encoding="utf-8"))
    (network,) = content["networks"]
    return network, content


@pytest.mark.slow
def test_the_file_holds_what_the_function_returns_for_the_same_network(tmp_path, capsys):
    cell = ["--cell.hidden-size", "20", "--cell.gain", "0.5", "--num-exponents", "all"]
    found, content = examine(*SMALL, *cell, "--seed", "3", directory=tmp_path / "x")
    config = RunConfig(task=TASK, cell=fl.TanhSpec(20, gain=0.5), seed=3)
    step, state, inputs, key = driven(config, steps=80, seed=3)
    network = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, config.networks())
    report = fl.examine(
        step, state, inputs, horizon=4, num_exponents=20,
        target_signal=signal_of(network, TASK, key), key=key,
    )  # fmt: skip
    m, numbers = report.measured, found["numbers"]
    assert numbers["exponents"] == m.exponents.tolist()
    assert numbers["log_gradient"] == m.log_gradient.tolist()
    assert numbers["kept"] == m.kept.tolist()
    assert (numbers["horizon"], numbers["state_dimension"], len(m.exponents)) == (4, 20, 20)
    assert [x["sentence"] for x in found["findings"]] == [x.sentence for x in report.advice]
    assert [x["code"] for x in found["findings"]] == [x.code for x in report.advice]
    assert found == {"network": 1, **entry(report)}
    assert content["options"]["cell"]["gain"] == 0.5
    assert content["options"]["horizon"] == 4
    assert "jax" in content["environment"]["versions"]
    for name, kind in (("examine.png", b"\x89PNG"), ("examine.pdf", b"%PDF")):
        assert (tmp_path / "x" / name).read_bytes().startswith(kind)

    out = capsys.readouterr().out
    assert report.headline in out
    for finding in report.advice:
        assert finding.severity in out
        assert finding.code in out  # at the left edge, on lines of its own
    assert "as it is made" in out
    assert not set(out) & set("│┃|─━╭╰")


@pytest.mark.slow
def test_names_that_are_printed_make_the_examined_network(tmp_path, capsys):
    examine(*SMALL, "--cell", "gru", "--cell.hidden-size", "5", directory=tmp_path / "x")
    out = capsys.readouterr().out
    _, _, rest = out.partition("Names in the code below\n\n")
    names: dict = {}
    exec(rest.partition("\n\n")[0], names)
    expected = RunConfig(task=TASK, cell=fl.GRUSpec(5), schedule=None)
    made = jax.tree.map(lambda x: x[0], expected.networks())
    np.testing.assert_array_equal(names["step"].bias, made.cell.bias)
    np.testing.assert_array_equal(names["step"].recurrent_weight, made.cell.recurrent_weight)
    np.testing.assert_array_equal(names["state"], made.initial_state)
    assert len(names["inputs"]) == 80
    assert "opens its gates" in out


MEMBERS = [(p, n) for p in ("task", "cell") for n in parts.FAMILIES[p].members]


@pytest.mark.parametrize(("part", "name"), MEMBERS)
def test_parts_are_written_as_code_that_makes_them(part, name):
    value = parts.read(part, {"name": name}, part)
    place = "fl.tasks." if part == "task" else "fl."
    assert eval(place + str(_code(value))) == value


def test_settings_that_are_not_the_usual_ones_are_in_the_code():
    assert _code(fl.TanhSpec(7, gain=0.5)) == "TanhSpec(hidden_size=7, gain=0.5)"
    assert _code(fl.tasks.DelayedXOR()) == "DelayedXOR()"

    class Mine(fl.TanhSpec):
        pass

    assert _code(Mine(7)) is None


@pytest.mark.slow
def test_a_trained_network_is_examined_on_its_task_with_its_numbers(tmp_path, capsys):
    path = tmp_path / "run"
    config = RunConfig(
        task=TASK, cell=fl.TanhSpec(20), schedule=None, epochs=3, realisations=3, test_trials=8,
        directory=str(path),
    )  # fmt: skip
    run(config)
    options = ["--run", str(path), "--realisation", "2", "--num-exponents", "1", "--steps", "80"]
    found, _ = examine(*options, directory=tmp_path / "x")
    trained = load(path)
    step = jax.tree.map(lambda x: x[1], trained.networks).cell
    _, state, inputs, key = driven(path, 2, steps=80)
    report = fl.examine(step, state, inputs, horizon=4, num_exponents=1, key=key)
    assert found == {"network": 2, **entry(report)}
    out = " ".join(capsys.readouterr().out.split())
    assert f"network 2 of {path}" in out.replace("- ", "-")
    assert f"accuracy {100 * float(trained.data['test_accuracy'][1]):.1f} %" in out
    others = [examine_of(path, number) for number in (1, 3)]
    assert all(other != report.measured.leading for other in others)


def examine_of(path, number):
    step, state, inputs, key = driven(path, number, steps=80)
    return fl.examine(
        step, state, inputs, horizon=4, num_exponents=1, key=key
    ).measured.leading  # fmt: skip


@pytest.mark.slow
def test_dimension_and_entropy_of_a_chaotic_network_follow_from_its_exponents(tmp_path, capsys):
    chaotic = [*SMALL, "--cell.hidden-size", "20", "--cell.gain", "4", "--cell.input-gain", "0.1"]
    found, _ = examine(*chaotic, "--num-exponents", "all", directory=tmp_path / "all")
    exponents = sorted(map(float, found["numbers"]["exponents"]), reverse=True)
    k = max(i for i in range(20) if sum(exponents[:i]) >= 0)
    assert k > 0
    dimension = k + sum(exponents[:k]) / abs(exponents[k])
    assert found["numbers"]["kaplan_yorke_dimension"] == pytest.approx(dimension, rel=1e-5)
    entropy = sum(x for x in exponents if x > 0)
    assert found["numbers"]["entropy_rate"] == pytest.approx(entropy, rel=1e-5)
    assert f"{dimension:.4g}" in capsys.readouterr().out


@pytest.mark.slow
def test_what_takes_more_exponents_is_not_guessed(tmp_path, capsys):
    chaotic = [*SMALL, "--cell.hidden-size", "20", "--cell.gain", "4", "--cell.input-gain", "0.1"]
    found, _ = examine(*chaotic, "--num-exponents", "1", directory=tmp_path / "one")
    assert found["numbers"]["kaplan_yorke_dimension"] is None
    assert found["numbers"]["entropy_rate"] is None
    assert capsys.readouterr().out.count("takes more exponents: --num-exponents all") == 2


@pytest.mark.slow
def test_lost_directions_are_kept_in_a_file_that_any_reader_of_json_takes(tmp_path):
    lif = [
        "--cell",
        "lif",
        "--cell.hidden-size",
        "4",
        "--cell.gain",
        "30",
        "--cell.input-gain",
        "60",
    ]
    found, _ = examine(*SMALL, *lif, "--num-exponents", "all", directory=tmp_path / "x")
    text = (tmp_path / "x/examine.json").read_text(encoding="utf-8")
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert "-inf" in found["numbers"]["exponents"]
    assert found["numbers"]["num_lost"] == found["numbers"]["exponents"].count("-inf")


@pytest.mark.parametrize(
    ("task", "steps"),
    [
        (fl.tasks.DelayedXOR(40), 40),
        (fl.tasks.Arrays(np.zeros((20, 7, 1), np.float32), np.arange(20) % 2), 7),
    ],
)
def test_the_horizon_is_that_of_the_task_or_the_length_of_its_trials(task, steps):
    assert horizon_of(task) == steps


@pytest.mark.slow
def test_inputs_are_at_least_as_long_as_the_horizon():
    config = RunConfig(task=fl.tasks.DelayedXOR(500, num_steps=600), cell=fl.TanhSpec(2))
    assert driven(config).inputs.shape == (500, 1)
    assert driven(dataclasses.replace(config, task=TASK)).inputs.shape == (400, 1)


def test_a_run_that_has_not_ended_is_told_how_to_go_on(tmp_path, capsys):
    (tmp_path / "config.yaml").write_text(to_yaml(RunConfig(task=TASK)), encoding="utf-8")
    assert main(["examine", "--run", str(tmp_path), "--directory", str(tmp_path / "x")]) == 2
    said = capsys.readouterr().err
    assert "has no weights.eqx, as runs have that ended" in said
    command = said.split("go on with: ")[1].strip()
    assert shlex.split(command) == ["floss", "train", "--resume", tmp_path.as_posix()]
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("trials", "parts"), [(40, 20), (3, None)])
def test_of_a_small_data_set_as_many_trials_are_taken_as_there_are(trials, parts, monkeypatch):
    """3 trials cannot be divided into parts of two; 40 make 20 parts."""
    inputs = np.random.default_rng(0).normal(size=(trials, 5, 1))
    task = fl.tasks.Arrays(inputs, inputs[:, 0, :1], validation=0, test=0, key=jax.random.key(0))
    config = RunConfig(task=task, cell=fl.TanhSpec(4), schedule=None)
    network = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, config.networks())
    asked = []

    def signal(*_, parts, **more):
        asked.append(parts)
        return 0.5

    monkeypatch.setattr("flossing.runs.examining.target_signal", signal)
    found = signal_of(network, task, jax.random.key(1))
    assert (found, asked) == ((0.5, [parts]) if parts else (None, []))
