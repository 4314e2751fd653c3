"""Flossing of other architectures: which runs there are, and what is made of them."""

import dataclasses
import json

import pytest

from flossing.experiments import architectures
from flossing.experiments.architectures import ARCHITECTURES, Settings

SMALL = Settings(
    architectures=("leaky",),
    tasks=("copy",),
    delays=(4,),
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


def test_each_architecture_is_what_its_name_says():
    runs = dataclasses.replace(Settings(), delays=(20,)).runs()
    assert len(runs) == 8 * 2 * 2
    assert len({repr(config) for config in runs.values()}) == len(runs)
    assert runs["orthogonal,xor,d=20,none"].cell.recurrent == "orthogonal"
    assert runs["leaky,xor,d=20,none"].cell.leak == 0.5
    assert runs["two-layers,copy,d=20,adaptive"].cell.layers == 2
    assert runs["lstm,copy,d=20,adaptive"].cell.name == "lstm"
    assert runs["gru-open,copy,d=20,adaptive"].cell.openness == 3.0
    assert runs["lstm-open,xor,d=20,none"].cell.name == "lstm"
    assert runs["gru,copy,d=20,adaptive"].flossing.schedule == "adaptive"
    assert {config.cell.hidden_size for config in runs.values()} == {80}


TWO = dataclasses.replace(Settings(), delays=(20, 40))


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
    assert harmed == ["GRU: networks of 16 at 95 %, adaptive (12 not flossed)"]
    assert (claims[0].measured, claims[0].limit) == (12, 3.5)
    assert (claims[-1].measured, claims[-1].limit) == (7 * 12 + 4, 7 * 4 + 12)


def test_the_figure_has_a_panel_for_each_architecture_and_task(numbers):
    figure = architectures._figure(numbers, Settings())
    assert len(figure.axes) == 16
    assert [axis.get_title() for axis in figure.axes[:8]] == [
        name for name, _ in ARCHITECTURES.values()
    ]
    lines = figure.axes[0].get_lines()
    assert len(lines) == 2 * (4 + 1) + 1  # single networks, their median; chance
