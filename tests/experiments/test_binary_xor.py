"""Binary networks that learn delayed XOR: their kinds, how exponents are held, and the experiment, small."""

import dataclasses
import json

import equinox as eqx
import jax
import numpy as np
import pytest

import flossing as fl
from flossing.experiments import binary_xor
from flossing.experiments.binary.kinds import KINDS, HeightsThenWeights, HeldByBoth
from flossing.runs import from_yaml, to_yaml
from flossing.tasks import DelayedXOR


def test_binary_networks():
    variants = ("gaussian,none", "ring,none", "ring,adaptive", "lines,adaptive")
    settings = binary_xor.Settings(
        variants=variants, delays=(4,), gaussian_delays=(4,), longer=(), shown_delay=4, hidden_size=12,
        networks=2, epochs=12,
    )  # fmt: skip
    result = binary_xor.run(settings=settings)
    json.dumps(result.numbers)
    assert len(result.figure.axes) == 4
    assert set(result.numbers) == {f"d=4,{variant}" for variant in variants}
    assert all(np.isfinite(claim.measured) for claim in result.claims)
    held = result.numbers["d=4,ring,adaptive"]
    assert held["first_exponent_end"] != result.numbers["d=4,ring,none"]["first_exponent_end"]


@pytest.mark.parametrize("kind", KINDS)
def test_binary_networks_of_a_kind_differ_in_flossing_only(kind):
    settings = binary_xor.Settings()
    plain, flossed = (settings.run(18, f"{kind},{s}") for s in ("none", "adaptive"))
    assert dataclasses.replace(flossed, schedule=None) == plain
    assert from_yaml(to_yaml(flossed)) == flossed
    assert plain.epochs == 3001
    assert flossed.trainer.control.flosser.targets == pytest.approx(-1 / 18)


def test_kinds_of_binary_networks():
    settings = binary_xor.Settings()
    gaussian, ring, lines = (settings.run(18, f"{kind},adaptive") for kind in KINDS)
    assert settings.delays_of("lines,none") == (10, 14, 18, 22, 26, 34, 42)
    assert settings.delays_of("ring,adaptive") == (10, 14, 18, 22, 26)
    assert settings.delays_of("gaussian,none") == (14, 18)
    assert (gaussian.batch_size, ring.batch_size, lines.batch_size) == (32, 16, 16)
    assert ring.optimiser == dataclasses.replace(gaussian.optimiser, slow_below=0.3)
    before = settings.run(18, "lines,before")
    assert from_yaml(to_yaml(before)) == before
    assert settings.delays_of("lines,before") == (14, 18, 22, 26)
    assert dataclasses.replace(before, schedule=lines.schedule) == lines
    assert before.schedule.targets == pytest.approx((-1 / 18,))
    assert settings.run(10, "ring,adaptive").schedule == ring.schedule
    late = settings.run(36, "ring,adaptive").schedule.learning_rate
    assert late == pytest.approx(ring.schedule.learning_rate / 4)


@pytest.fixture(scope="module")
def held():
    """A network, what holds its exponents, and what it is driven by."""
    task, key = DelayedXOR(6), jax.random.key(1)
    schedule = HeldByBoth(every=2, band=0.3, level=-1.0, num_starts=2, num_exponents=4, window=20,
        warmup=5, state_warmup=5)  # fmt: skip
    cell = fl.BinaryCell(1, 10, centred=True, key=key)
    network = fl.free_heights(fl.Network(cell, 1, key=key))
    control = schedule.control(lambda n: n.cell, task.horizon, task.chance_loss)
    assert isinstance(control, HeightsThenWeights)
    driven = lambda key: network.initial_state, lambda key: task.sample_inputs(key, 25)
    return network, control, driven, task.chance_loss


def looked(held, loss):
    """The network and what was done after the first look."""
    network, control, driven, chance = held
    state = control.init(network)
    for number in range(3):
        network, state, look = control.update(
            network, state, *driven, loss=loss * chance, key=jax.random.key(number)
        )
        if number == 1:
            assert eqx.tree_equal(network, held[0])
    return network, look


def test_heights_are_moved_first_and_then_the_weights_by_one_step(held):
    """As an adaptive flosser of the heights alone, and a flossing step with a key of its own after it."""
    network, control, driven, chance = held
    keeper = fl.AdaptiveFlosser(
        control.flosser, horizon=6, band=0.3, every=1, learned=0.5, chance=chance
    )
    key = jax.random.key(2)
    state = keeper.update(network, keeper.init(network), *driven, loss=chance, key=key)[1]
    expected, _, heights = keeper.update(network, state, *driven, loss=chance, key=key)
    step_key = jax.random.fold_in(jax.random.split(key)[1], heights.steps)
    expected, *_ = control.weights.update(
        expected, control.weights.init(expected), *driven, key=step_key
    )
    found, look = looked(held, 1.0)
    assert int(look.steps) == int(heights.steps) + 1 > 1
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if eqx.is_array(a):
            np.testing.assert_allclose(a, b, rtol=1e-6)
    moved = np.asarray(found.cell.recurrent_weight) != np.asarray(network.cell.recurrent_weight)
    assert moved.mean() > 0.9


def test_the_weights_of_a_network_that_has_learned_stay(held):
    network, look = looked(held, 0.1)
    assert int(look.steps) >= 1
    assert float(network.cell.surrogate.peak) != float(held[0].cell.surrogate.peak)
    weights = lambda n: n.cell.recurrent_weight  # noqa: E731
    np.testing.assert_array_equal(weights(network), weights(held[0]))
