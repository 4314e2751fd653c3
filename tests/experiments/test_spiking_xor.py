"""Delayed XOR with spikes, small: what is compared differs in one thing; trials say what they should."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from flossing.experiments import spiking_xor
from flossing.experiments.spiking.xor_figure import NAMES
from flossing.experiments.spiking.xor import QUICK, Settings
from flossing.runs import from_yaml, to_yaml

TINY = dataclasses.replace(
    QUICK,
    epochs=24,
    cell=dataclasses.replace(QUICK.cell, hidden_size=12),
    bits=dataclasses.replace(QUICK.bits, bin_steps=4, channels=8),
    remedies=("tuned", "fluctuations"),
)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return spiking_xor.run(settings=TINY, folder=tmp_path_factory.mktemp("runs"))


def test_it_is_complete(result):
    json.dumps(result.numbers, allow_nan=False)
    assert set(result.numbers) == {
        f"xor,d=2,{method}" for method in ("none", "adaptive", "tuned", "fluctuations")
    }
    assert all(np.isfinite(claim.measured) for claim in result.claims)
    assert len(result.figure.axes) == 7


def test_networks_differ_by_nothing_but_their_method():
    settings = Settings(networks=1, cell=dataclasses.replace(Settings.cell, hidden_size=8))
    runs = {m: settings.run("xor", 4, m) for m in ("none", "adaptive", "clipped", "gentle")}
    before = settings.run("xor", 4, "before")
    assert from_yaml(to_yaml(before)) == before
    assert before.schedule.targets == (-2.0 / 40,)
    weights = {m: r.networks().cell.recurrent_weight for m, r in runs.items()}
    for name, weight in weights.items():
        np.testing.assert_array_equal(weight, weights["none"])
        changed = {
            f.name
            for f in dataclasses.fields(runs["none"])
            if getattr(runs[name], f.name) != getattr(runs["none"], f.name)
        }
        expected = {"adaptive": {"schedule"}, "clipped": {"optimiser"}, "gentle": {"cell"}}
        assert changed == expected.get(name, set())
    assert set(NAMES) >= set(settings.schedules) | set(settings.remedies)


def test_the_tuned_steepness_is_the_best_of_those_tried():
    found = {s: dataclasses.replace(TINY, tried=(s,)).tuned() for s in (2.0, 20.0)}
    assert found == {2.0: 2.0, 20.0: 20.0}
    assert dataclasses.replace(TINY, tried=(2.0, 20.0)).tuned() in found


def test_a_trial_shows_two_bits_and_asks_for_their_parity(result):
    task = TINY.run("xor", 4, "none").task
    half, width = task.channels // 2, task.bin_steps
    certain = dataclasses.replace(task, probability=1.0, bin_steps=width)
    for seed in range(6):
        inputs, targets, mask = certain.sample(jax.random.key(seed))
        sums = np.asarray(inputs).reshape(5, width, 2, half).sum((1, 3))
        first, second = sums[0], sums[2]
        assert sorted(first) == [0, half * width]
        assert sorted(second) == [0, half * width]
        assert (sums[[1, 3, 4]] > 0).all()
        np.testing.assert_array_equal(mask, [False] * 4 + [True])
        assert targets[4, 0] == (first[1] > 0) ^ (second[1] > 0)
