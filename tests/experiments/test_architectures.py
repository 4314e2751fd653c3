"""Flossing of other architectures: which runs there are, and what is made of them."""

import dataclasses
import json

import numpy as np
import pytest

from flossing.experiments import architectures
from flossing.experiments.rate.architectures import ARCHITECTURES, Settings

SMALL = Settings(
    architectures=("leaky",),
    delays={"copy": (4,)},
    schedules=("none",),
    hidden_size=8,
    networks=2,
    epochs=12,
)


def test_a_small_one_is_complete(tmp_path):
    result = architectures.run(settings=SMALL, folder=tmp_path)
    assert set(result.numbers) == {"leaky,copy,d=4,none"}
    assert (tmp_path / "leaky,copy,d=4,none" / "metrics.nc").is_file()
    json.dumps(result.numbers)
    json.dumps(result.settings)
    assert result.claims == []


def test_the_runs_of_a_kind_differ_in_task_and_schedule_alone():
    runs = Settings(delays={"xor": (20,), "copy": (20,), "parity": (12,)}).runs()
    assert len(runs) == 8 * 3 * 2
    assert len({repr((c.task, c.cell, c.schedule)) for c in runs.values()}) == len(runs)
    for name, config in runs.items():
        architecture, task, delay, _ = name.split(",")
        like = runs[f"{architecture},xor,d=20,none"]
        assert dataclasses.replace(config, task=like.task, schedule=None) == like
        assert (config.task.name, config.task.delay) == (task, int(delay[2:]))


def test_exponents_go_to_zero_or_where_products_of_bits_can_be_made():
    runs = Settings(delays={"copy": (20,), "parity": (12,)}).runs()
    assert runs["gru,copy,d=20,adaptive"].schedule.targets == (0.0,)
    assert runs["gru,parity,d=12,adaptive"].schedule.targets == (-0.1,)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_gates_are_flossed_as_they_start(kind):
    """Half open, as they are without flossing; the schedule of the library would open them."""
    settings = Settings(delays={"copy": (4,)}, hidden_size=8, networks=1)
    runs = settings.runs()
    plain, flossed = (runs[f"{kind},copy,d=4,{s}"].networks() for s in ("none", "adaptive"))
    np.testing.assert_array_equal(flossed.cell.bias, 0 * plain.cell.bias)
    opened = runs[f"{kind}-open,copy,d=4,adaptive"].networks()
    assert set(np.abs(opened.cell.bias).ravel().tolist()) == {0.0, 3.0}


TWO = Settings(delays={"xor": (20, 40), "copy": (20, 40), "parity": (12,)})


@pytest.fixture
def numbers():
    """Flossing helps all but the GRU, which it harms."""
    found = {}
    for name in TWO.runs():
        flossed, harmed = name.endswith("adaptive"), name.startswith("gru,")
        solved = 3 if flossed != harmed else 1
        found[name] = {"solved": solved, "test_accuracy": [1.0] * solved + [0.5] * (4 - solved)}
    return found


def test_the_verdict_is_for_each_architecture_and_for_all(numbers):
    claims = architectures._claims(numbers, TWO)
    assert len(claims) == len(ARCHITECTURES) + 1
    harmed = [claim.text for claim in claims if not claim.holds]
    assert harmed == ["GRU: networks of 20 at 95 %, adaptive (15 not flossed)"]
    assert (claims[0].measured, claims[0].limit) == (15, 4.5)
    assert (claims[-1].measured, claims[-1].limit) == (7 * 15 + 5, 7 * 5 + 15)


def test_the_figure_has_a_panel_for_each_architecture_and_task(numbers):
    figure = architectures._figure(numbers, TWO)
    assert len(figure.axes) == 24
    assert [axis.get_title() for axis in figure.axes[:8]] == [
        name for name, _ in ARCHITECTURES.values()
    ]
    lines = figure.axes[0].get_lines()
    assert len(lines) == 2 * (4 + 1) + 1  # single networks, their median; chance
    assert [axis.get_ylabel() for axis in figure.axes[:17:8]] == [
        "delayed XOR\nheld-out accuracy (%)",
        "copy\nheld-out accuracy (%)",
        "parity of 4 bits\nheld-out accuracy (%)",
    ]
    assert figure.axes[1].get_ylabel() == ""
