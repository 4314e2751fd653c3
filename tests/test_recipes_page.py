"""docs/recipes: files that floss train takes; the spiking one learns."""

import dataclasses
from pathlib import Path

import pytest

from flossing.commands.train import parse
from flossing.experiments.binary.kinds import KINDS
from flossing.experiments.rate import architectures
from flossing.experiments.rate.architectures import Architectures
from flossing.experiments.spiking import xor
from flossing.experiments.spiking.xor import SpikingXOR
from flossing.floss import Heights
from flossing.runs import from_yaml, run

_FOLDER = Path(__file__).parents[1] / "docs" / "recipes"
_FILES = sorted(_FOLDER.glob("*.yaml"))


def _config(name):
    return from_yaml((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), name)


@pytest.mark.parametrize("file", _FILES, ids=lambda x: x.stem)
def test_a_recipe_is_taken_and_can_start(file):
    settings = parse(["--config", str(file)]).settings
    assert settings == _config(file.stem)
    settings.check()


def test_the_page_shows_every_recipe_and_nothing_else():
    page = (_FOLDER.parent / "recipes.md").read_text(encoding="utf-8")
    shown = [
        line.split()[-1] for line in page.splitlines() if line.startswith("```{literalinclude}")
    ]
    assert sorted(shown) == [f"recipes/{file.name}" for file in _FILES]


def test_the_delay_of_the_spiking_recipe_is_eight_membrane_time_constants():
    config = _config("lif")
    assert config.task.horizon * config.cell.time_step == 8 * config.cell.membrane_time_constant
    assert isinstance(config.schedule, Heights)
    tau = config.cell.membrane_time_constant + config.cell.synapse_time_constant
    assert config.schedule.response <= tau / config.cell.time_step


def test_recipes_are_runs_of_the_experiments_whose_results_the_page_gives():
    spiking = SpikingXOR().run(xor.Trained("xor", 4, "adaptive"))
    ours = _config("lif")
    assert (ours.task, ours.cell, ours.schedule) == (spiking.task, spiking.cell, spiking.schedule)
    assert _config("binary-lines") == KINDS["lines"].run(18, "adaptive", 3001, 3, 1)
    for name, kind in (("tanh", "tanh"), ("gru", "gru-open"), ("lstm", "lstm-open")):
        run_of = Architectures().run(architectures.Trained(kind, "xor", 40, "adaptive"))
        ours = _config(name)
        for part in ("task", "optimiser", "epochs", "batch_size"):
            assert getattr(ours, part) == getattr(run_of, part)
        settings = dataclasses.asdict(run_of.schedule)
        assert dataclasses.asdict(ours.schedule) == settings
        assert (
            dataclasses.replace(run_of.cell, **({"openness": None} if name != "tanh" else {}))
            == ours.cell
        )


@pytest.mark.slow
def test_the_spiking_recipe_learns(untyped):
    config = dataclasses.replace(_config("lif"), epochs=250, realisations=1)
    result = run(config, write=False)
    assert (result.data["test_accuracy"].values >= 0.95).all()
