"""Fields and values of a sweep, and what wrong ones are told."""

from itertools import chain

import numpy as np
import pytest

import flossing as fl
from flossing.commands.sweep import parse, settings
from flossing.runs import RunConfig, parts
from flossing.sweeps import grid as grids
from flossing.sweeps.fields import read, split

BASE = RunConfig()


def test_a_grid_has_every_combination():
    texts = ["task.delay=10,20", "batch-size=4,8", "schedule=none,before"]
    grid = grids.grid(BASE, grids.parse(texts, BASE))
    assert grid.names == ["task.delay", "batch_size", "schedule"]
    assert len(grid.runs) == len({run.name for run in grid.runs}) == 8
    last = grid.runs[-1]
    assert last.name == "task.delay=20,batch_size=8,schedule=before"
    assert (last.config.task.delay, last.config.batch_size) == (20, 8)
    assert last.config.schedule == fl.Before()


def test_parts_that_are_swept_keep_the_settings_that_they_share():
    base = RunConfig(schedule=fl.Adaptive(window=60, band=0.5))
    runs = grids.grid(base, {"schedule": ["none", "before", "adaptive"]}).runs
    assert [run.config.schedule for run in runs] == [None, fl.Before(window=60), base.schedule]
    with pytest.raises(
        ValueError, match=r"schedule.band: before has no such setting; adaptive, heights"
    ):
        grids.grid(base, {"schedule": ["before"], "schedule.band": [1.0]}).runs  # noqa: B018


def test_settings_of_parts_of_the_user_are_swept(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import dataclasses\nfrom flossing.tasks import Copy\n\n\n"
        "@dataclasses.dataclass(frozen=True)\nclass Mine(Copy):\n    depth: int = 3\n"
    )
    base = RunConfig(task=parts.read("task", f"{file}:Mine", "task"))
    runs = grids.grid(base, {"task.depth": [1, 2], "task": [f"{file}:Mine", "xor"][:1]}).runs
    assert [run.config.task.depth for run in runs] == [1, 2]


@pytest.mark.parametrize(
    "command",
    [
        "--over task.delay=4,10 --over seed=1,2",
        "--over task.delay=4,10 seed=1,2",
        "--over task.delay=4,10 --epochs 5 --over seed=1,2",
    ],
)
def test_options_over_add_up(command):
    grid = settings(parse(command.split()))
    found = [tuple(run.values.values()) for run in grid.runs]
    assert found == [(4, 1), (4, 2), (10, 1), (10, 2)]


def test_a_field_in_two_options_over_is_refused():
    with pytest.raises(ValueError, match="over: seed is given twice"):
        settings(parse("--over seed=1 --over seed=2".split()))


def test_the_last_file_of_settings_counts(tmp_path):
    for seed in (5, 6):
        (tmp_path / f"{seed}.yaml").write_text(f"seed: {seed}")
    five, six = (str(tmp_path / f"{seed}.yaml") for seed in (5, 6))
    for files in (["--config", five, f"--config={six}"], [f"--config={five}", "--config", six]):
        assert parse(["--over", "task.delay=4", *files]).settings.seed == 6


def test_trackers_of_several_options_add_up():
    from flossing.commands.train import parse

    for command in ("--track wandb --track tensorboard", "--track wandb tensorboard"):
        assert [*chain(*parse(command.split()).track)] == ["wandb", "tensorboard"]


def test_names_differ_in_more_than_case_and_do_not_end_in_a_dot():
    taken = set()
    for label in ("a=B", "a=b", "a=b.", "a=B.", "a=b..."):
        name = grids.file_name(label, taken)
        assert name.lower() not in taken
        assert not name.endswith(".")
        taken.add(name.lower())


def test_a_list_fills_in_the_base():
    grid = grids.grid(RunConfig(seed=5), [{"task.delay": 10}, {"seed": 2}])
    assert grid.settings == ({"task.delay": 10, "seed": 5}, {"task.delay": 20, "seed": 2})
    assert grid.axes is None


def test_flossed_runs_cost_more_and_count_their_steps():
    published = RunConfig(schedule=fl.Phases.published())
    none, both = grids.grid(published, {"schedule": ["none", "phases"]}).runs
    assert both.cost > none.cost
    assert (none.steps, both.steps) == (3001, 3001 + 500 + 2 * 500)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("task.delay", "10", 10),
        ("optimiser.learning_rate", "1e-3", 1e-3),
        ("optimiser.final_learning_rate", "none", None),
        ("optimiser.final_learning_rate", "0.8", 0.8),
        ("schedule", "none", "none"),
        ("schedule.targets", "[0, -0.1]", (0.0, -0.1)),
        ("optimiser.clip", "global", "global"),
        ("cell.centred", "false", False),
    ],
)
def test_values_have_the_type_of_their_field(name, text, value):
    assert read(name, text, BASE) == value
    assert type(read(name, text, BASE)) is type(value)


def test_values_from_numpy_are_taken():
    grid = grids.grid(RunConfig(), {"task.delay": np.arange(10, 30, 10), "cell.gain": (0.5, 1)})
    assert [run.values["task.delay"] for run in grid.runs] == [10, 10, 20, 20]
    assert type(grid.runs[0].config.task.delay) is int


def test_commas_within_brackets_do_not_split():
    assert split("[0,1],[2],3") == ["[0,1]", "[2]", "3"]


def test_names_are_safe_and_different():
    taken = set()
    for target in (0.0, -0.1):
        for text in ("a/b" * 60, "a/b" * 61):
            taken.add(grids.file_name(f"schedule.targets=[{target}],task={text}", taken))
    assert len(taken) == 4
    assert all("/" not in name and len(name) < 200 for name in taken)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({}, "over: expected fields and values"),
        ([], "list: expected at least one setting"),
        ({"task.delay": []}, "task.delay: expected at least one value"),
        ({"task.delay": 10}, "task.delay: expected a list of values, got 10"),
        ({"task.delay": "10"}, "task.delay: expected a list of values, got '10'"),
        ({"task.delay": [10, 10]}, "over: task.delay: 10 is given twice"),
        ({"batch_size": [1], "batch-size": [2]}, "batch_size is given twice"),
        ({"training.epochs": [2]}, "training.epochs: is gone; write epochs"),
        ({"flossing.window": [2]}, "did you mean schedule.window?"),
        ({"flossing.schedule": ["none"]}, "flossing.schedule: is gone; write schedule"),
        ({"schedule": ["both"]}, "schedule: expected one of before, phases"),
        ([{"seed": 1}, {"seed": 1}], "entry 2 is the same as entry 1"),
        ([{"seed": 1}, {}], "entry 2: expected fields"),
        ({"directory": ["a"]}, "'directory' cannot be swept"),
        (
            {"task.delays": [1]},
            "unknown field 'task.delays'; did you mean task.delay?",
        ),
    ],
)
def test_wrong_settings_are_named(over, message, untyped):
    with pytest.raises((ValueError, TypeError)) as caught:
        grids.grid(RunConfig(), over)
    assert message in str(caught.value)


def test_every_configuration_is_checked_before_anything_starts():
    grid = grids.grid(RunConfig(), {"task.delay": [10, 400], "cell.gain": [1.0]})
    with pytest.raises(
        ValueError, match=r"over: task.delay=400,cell.gain=1: num_steps: a delay of 400"
    ):
        grid.runs  # noqa: B018
