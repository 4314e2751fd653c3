"""docs/coming_from.md: the published call, surrogates and neurons of other libraries are what it says."""

import re
import shlex
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.commands.train import parse

_PAGE = (Path(__file__).parents[1] / "docs" / "coming_from.md").read_text(encoding="utf-8")


def test_the_published_call_as_a_command_has_the_published_schedule():
    (code,) = re.findall(r"```sh\n(.*?)```", _PAGE, re.DOTALL)
    words = shlex.split(code.replace("\\\n", " "))
    assert words[:2] == ["floss", "train"]
    settings = parse(words[2:]).settings
    assert settings.schedule == fl.Phases.published()
    assert settings.task == fl.tasks.DelayedXOR(20)
    assert settings.cell == fl.TanhSpec(80)
    assert settings.optimiser == fl.Adam(learning_rate=1e-3, clip="array", clip_norm=0.03)
    assert (settings.epochs, settings.batch_size, settings.task.num_steps) == (3001, 16, 300)


@pytest.mark.parametrize(
    ("surrogate", "theirs"),
    [
        (fl.surrogates.SuperSpike(25.0), lambda x: 1 / (25 * abs(x) + 1) ** 2),
        (fl.surrogates.Arctan(np.pi), lambda x: 2 / 2 / (1 + (np.pi / 2 * 2 * x) ** 2)),
        (
            fl.surrogates.Sigmoid(100.0, peak=0.25),
            lambda x: np.exp(-100 * x) / (1 + np.exp(-100 * x)) ** 2,
        ),
        (fl.surrogates.Triangular(1.0), lambda x: np.maximum(0, 1 - abs(x))),
        (fl.surrogates.SuperSpike(100.0, peak=100.0), lambda x: 100 / (100 * abs(x) + 1) ** 2),
    ],
)
def test_surrogates_are_those_of_the_other_libraries(surrogate, theirs):
    x = np.linspace(-0.06, 0.06, 9)
    np.testing.assert_allclose(surrogate.derivative(jnp.asarray(x)), theirs(x), rtol=2e-5)


def test_names_of_the_library_in_the_tables_exist():
    names = set(re.findall(r"\bfl\.((?:tasks\.|surrogates\.|initialisers\.)?\w+)", _PAGE))
    assert len(names) >= 20
    for name in names:
        thing = fl
        for part in name.split("."):
            thing = getattr(thing, part)
