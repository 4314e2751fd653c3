"""The ablation of adaptive flossing: its variants, what is made of them, and a small one."""

import dataclasses
import json

import numpy as np
import pytest

from flossing.experiments import ablation
from flossing.experiments.rate.ablation import VARIANTS, Settings
from flossing.floss import Adaptive

SMALL = Settings(
    variants=("none", "default"), delay=4, hidden_size=8, networks=2, epochs=12, steps_before=3
)


def test_a_small_one_is_complete(tmp_path):
    result = ablation.run(settings=SMALL, folder=tmp_path)
    assert set(result.numbers) == {"none", "default"}
    json.dumps(result.numbers)
    json.dumps(result.settings)
    assert result.numbers["none"]["cost"] == 1
    assert result.numbers["default"]["cost"] > 0
    assert result.numbers["default"]["p_value_against_default"] == 1
    labels = [text.get_text() for text in result.figure.axes[0].get_yticklabels()]
    assert labels == ["adaptive, defaults", "not flossed"]


def test_variants_differ_from_the_defaults_in_their_schedule_alone():
    runs = Settings().runs()
    assert len({repr(config.schedule) for config in runs.values()}) == len(VARIANTS)
    default = runs["default"]
    for config in runs.values():
        assert dataclasses.replace(config, schedule=default.schedule) == default


@pytest.mark.parametrize(
    ("variant", "changes"),
    [
        ("k-quarter", {"num_exponents": 10}),
        ("k-all", {"num_exponents": 40}),
        ("often", {"every": 5}),
        ("not-before", {"steps_before": 0}),
        ("window-published", {"window": 55, "warmup": 16, "state_warmup": 0}),
    ],
)
def test_a_variant_is_the_default_with_its_changes(variant, changes):
    """The default floss 35 of 40 exponents, five less than all."""
    runs = Settings().runs()
    default = Adaptive(num_exponents=35, steps_before=200)
    assert runs["default"].schedule == default
    assert runs[variant].schedule == dataclasses.replace(default, **changes)


def row(accuracy, cost, default=(0.9, 0.91, 0.92, 0.93, 0.94, 0.95)):
    numbers = {"test_accuracy": list(accuracy), "cost": cost}
    p_value = ablation.difference(numbers, {"test_accuracy": list(default)})
    return {**numbers, "p_value_against_default": p_value}


@pytest.mark.parametrize(
    ("accuracy", "cost", "held"),
    [(0.5, 1.0, [True] * 4), (0.98, 1.5, [False, True, True, True]), (0.98, 1.1, [False] * 2)],
)
def test_the_verdict_names_what_is_better(accuracy, cost, held):
    spread = np.linspace(0, 0.01, 6)
    default = np.linspace(0.9, 0.95, 6)
    numbers = {
        "none": row(np.full(6, 0.5), 1.0),
        "default": row(default, 1.2),
        "joint": row(default - 0.01, 5.0),
        "often": row(accuracy + spread, cost),
    }
    claims = ablation.claims_of(numbers)
    assert [claim.holds for claim in claims][: len(held)] == held
    assert claims[0].measured == (accuracy > 0.9)
    assert claims[3].holds
