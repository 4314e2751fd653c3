"""Delayed XOR with spikes, small: what is compared differs in one thing; trials say what they should."""

import dataclasses

import jax
import numpy as np
import pytest

from flossing.experiments.spiking import xor
from flossing.experiments.spiking.xor import SpikingXOR, Trained
from flossing.experiments.spiking.xor_figure import METHODS
from flossing.runs import from_yaml, to_yaml

QUICK = SpikingXOR.quick()
TINY = dataclasses.replace(
    QUICK,
    cell=dataclasses.replace(QUICK.cell, hidden_size=12),
    bits=dataclasses.replace(QUICK.bits, bin_steps=4, channels=8),
)


@pytest.mark.slow
def test_networks_differ_by_nothing_but_their_method():
    small = dataclasses.replace(SpikingXOR().cell, hidden_size=8)
    settings = SpikingXOR(networks=1, cell=small)
    methods = ("none", "adaptive", "clipped", "gentle")
    runs = {m: settings.run(Trained("xor", 4, m)) for m in methods}
    before = settings.run(Trained("xor", 4, "before"))
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
    assert set(METHODS) == set(settings.methods)


@pytest.mark.slow
def test_the_tuned_steepness_brings_the_median_exponent_nearest_to_the_target(monkeypatch):
    """Of three networks, one is far off; the median is -1 / sharpness. The target is -2 in 8 steps."""
    asked = []

    def measured(networks, keys, trainer, count, steps):
        asked.append((count, steps))
        sharpness = float(np.ravel(networks.cell.surrogate.sharpness)[0])
        return np.array([[-9.0], [-1 / sharpness], [7.0]])

    monkeypatch.setattr(xor, "measure_exponents", measured)
    chosen = dataclasses.replace(TINY, tried=(1.0, 3.5, 4.5, 20.0))
    assert chosen.target(2) == -0.25
    assert chosen.steepness(Trained("xor", 2, "tuned")) == 4.5
    assert asked == [(1, 500)] * 4


@pytest.mark.slow
def test_a_trial_shows_two_bits_and_asks_for_their_parity():
    task = TINY.run(Trained("xor", 4, "none")).task
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
