"""Binary networks that learn delayed XOR: their kinds, how exponents are held, and what is kept of them."""

import dataclasses
from types import SimpleNamespace

import equinox as eqx
import jax
import numpy as np
import pytest
import xarray as xr

import flossing as fl
from flossing.experiments.binary.kinds import KINDS, HeightsThenWeights, HeldByBoth
from flossing.experiments.binary.xor import POINTS, BinaryXOR, Trained, lost
from flossing.runs import from_yaml, to_yaml
from flossing.tasks import DelayedXOR


@pytest.mark.parametrize("kind", KINDS)
def test_binary_networks_of_a_kind_differ_in_flossing_only(kind):
    settings = BinaryXOR()
    plain, flossed = (settings.run(Trained(kind, s, 18)) for s in ("none", "adaptive"))
    assert dataclasses.replace(flossed, schedule=None) == plain
    assert from_yaml(to_yaml(flossed)) == flossed
    assert flossed.trainer.control.flosser.targets == pytest.approx(-1 / 18)


def test_lines_flossed_before_training_differ_from_adaptive_ones_in_the_schedule_only():
    settings = BinaryXOR()
    before, adaptive = (settings.run(Trained("lines", s, 18)) for s in ("before", "adaptive"))
    assert from_yaml(to_yaml(before)) == before
    assert dataclasses.replace(before, schedule=adaptive.schedule) == adaptive
    assert before.schedule.targets == pytest.approx((-1 / 18,))


def test_flossing_steps_of_weights_shrink_with_the_square_of_long_delays():
    rates = [
        BinaryXOR().run(Trained("ring", "adaptive", d)).schedule.learning_rate for d in (10, 18, 36)
    ]
    assert rates == pytest.approx([rates[0], rates[0], rates[0] / 4])


def test_what_is_kept_of_a_training():
    """Three networks: one that learns, one that falls back, and one whose gradient is lost at times."""
    epochs = 1500
    accuracy = np.full((epochs, 3), 0.5)
    accuracy[100:, 0] = 1.0
    accuracy[100:110, 1] = 0.95
    norms = np.full((epochs, 3), [1e-2, 1e-5, 1e-9])
    norms[::3, 2] = np.nan
    norms[:10, 0] = 1e-7
    data = xr.Dataset(
        {
            "accuracy": (("epoch", "realisation"), accuracy),
            "gradient_norm": (("epoch", "realisation"), norms),
            "skipped": (("epoch", "realisation"), np.isnan(norms)),
            "test_accuracy": ("realisation", [1.0, 0.5, 0.5]),
            "exponents": (
                ("measurement", "realisation", "index"),
                np.arange(12.0).reshape(2, 3, 2),
            ),
        }
    )
    outcome = SimpleNamespace(data=data)
    kept = BinaryXOR().measure(Trained("ring", "adaptive", 22), outcome)
    expected = {
        "last_accuracy": [1, 0.5, 0.5],
        "best_accuracy": [1, 0.95, 0.5],
        "log10_gradient_norm_first": [-7, -5, -9],
        "log10_gradient_norm_median": [-2, -5, -9],
        "non_finite_gradients": [0, 0, 500],
        "first_exponent_end": [6, 8, 10],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(kept[name], values)
    assert lost(kept) == 2
    assert np.isnan(lost(kept.assign(best_accuracy=("network", [1, np.nan, 1]))))
    course = BinaryXOR().measure(Trained("ring", "adaptive", 18), outcome)
    assert 400 < course.sizes["epoch"] <= POINTS
    np.testing.assert_allclose(course["accuracy"].sel(epoch=105), [0.8, 0.77, 0.5], rtol=1e-6)
    np.testing.assert_allclose(course["log10_gradient_norm"].sel(epoch=12), [-5.5, -5, -9])


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


@eqx.filter_jit
def update(control, network, state, driven, loss, key):
    return control.update(network, state, *driven, loss=loss, key=key)


def looked(held, loss):
    """The network and what was done after the first look."""
    network, control, driven, chance = held
    state, loss = control.init(network), np.float32(loss * chance)
    for number in range(3):
        key = jax.random.key(number)
        network, state, look = update(control, network, state, driven, loss, key)
        if number == 1:
            assert eqx.tree_equal(network, held[0])
    return network, look


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_weights_of_a_network_that_has_learned_stay(held):
    network, look = looked(held, 0.1)
    assert int(look.steps) >= 1
    assert float(network.cell.surrogate.peak) != float(held[0].cell.surrogate.peak)
    weights = lambda n: n.cell.recurrent_weight  # noqa: E731
    np.testing.assert_array_equal(weights(network), weights(held[0]))
