"""An optimiser that spares networks that have learned, against plain loops."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.experiments.lab.careful import CarefulAdam, averaged, roll_back, slow_below
from flossing.optimisers import Adam

CHANCE, MARGIN = 0.7, 0.1


def played(losses):
    """Parameters, returns and pace after each update of momentum with a falling rate, by ``roll_back``."""
    rate = optax.scale_by_schedule(lambda count: -0.1 / (1 + count))
    optimiser = roll_back(optax.chain(optax.trace(0.9), rate), MARGIN, CHANCE)
    x = jnp.ones(2)
    state = optimiser.init(x)
    for loss in losses:
        updates, state = optimiser.update(2 * x, state, x, value=jnp.asarray(loss))
        x = optax.apply_updates(x, updates)
        yield np.asarray(x), int(state.returns), float(state.pace)


def by_hand(losses):
    """The same in Python: what is kept, when it returns, and what goes on."""
    x, velocity, mean, lowest, pace, returns = 1.0, 0.0, math.inf, math.inf, 1.0, 0
    best = x, velocity
    for count, loss in enumerate(losses):
        faster = 2 * x + 0.9 * velocity
        mean = loss if math.isinf(mean) else mean + (loss - mean) / 10
        if mean > lowest + MARGIN and lowest < CHANCE - MARGIN:
            (x, velocity), mean = best, lowest
            pace, returns = pace / 2, returns + 1
        else:
            if mean < lowest:
                best, lowest = (x, velocity), mean
            x, velocity = x - pace * 0.1 / (1 + count) * faster, faster
        yield x, returns, pace


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_training_that_goes_wrong_returns_to_the_best_weights_and_is_slower_from_there(seed, x64):
    losses = np.random.default_rng(seed).uniform(0.2, 1.2, 60)
    losses[:20] *= np.linspace(1, 0.1, 20)
    rows = list(zip(played(losses), by_hand(losses), strict=True))
    for (x, returns, pace), (expected, returned, slower) in rows:
        np.testing.assert_allclose(x, expected, rtol=1e-12)
        assert (returns, pace) == (returned, slower)
    assert rows[-1][0][1] >= 2


def test_a_network_that_has_not_learned_is_left_alone(x64):
    """The lowest loss, 0.66, is not below chance, 0.7, by the margin."""
    assert [row[1] for row in played([0.66, *[2.0] * 20])] == [0] * 21


def test_updates_shrink_with_the_average_loss_before_them(x64):
    optimiser = slow_below(0.35)
    state, mean = optimiser.init(jnp.ones(1)), math.inf
    for loss in (0.7, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, 0.05, math.nan, 0.05, 0.05):
        update, state = optimiser.update(jnp.array([3.0]), state, value=jnp.asarray(loss))
        np.testing.assert_allclose(update, [3 * min(1, mean / 0.35)], rtol=1e-12)
        if not math.isnan(loss):
            mean = loss if math.isinf(mean) else 0.9 * mean + 0.1 * loss
    assert update[0] < 3
    assert math.isnan(averaged(jnp.asarray(math.inf), jnp.asarray(math.nan)))


@pytest.fixture(scope="module")
def network():
    cell_key, network_key = jax.random.split(jax.random.key(0))
    network = fl.Network(fl.TanhCell(1, 6, key=cell_key), 1, key=network_key)
    weight = network.cell.recurrent_weight
    return eqx.tree_at(lambda n: n.cell.recurrent_weight, network, weight.at[::2].set(0))


def changed(network, optimiser):
    """A network after one update with a gradient of ones."""
    arrays, rest = eqx.partition(network, eqx.is_inexact_array)
    built = optax.with_extra_args_support(optimiser.build(10))
    ones = jax.tree.map(jnp.ones_like, arrays)
    updates, _ = built.update(ones, built.init(arrays), arrays, value=jnp.asarray(0.5))
    return eqx.combine(optax.apply_updates(arrays, updates), rest)


@pytest.mark.slow
def test_the_readout_has_a_rate_of_its_own(network):
    whole = changed(network, Adam())
    half = changed(network, CarefulAdam(chance_loss=CHANCE, readout_rate=0.5))
    for name in ("readout_weight", "readout_bias"):
        start, one, other = (getattr(n, name) for n in (network, whole, half))
        np.testing.assert_allclose(other - start, 0.5 * (one - start), rtol=1e-3)
    assert eqx.tree_equal(whole.cell, half.cell)
    assert np.array_equal(whole.initial_state, half.initial_state)


@pytest.mark.slow
def test_recurrent_weights_that_are_zero_stay_zero_and_nothing_else_does(network):
    whole = changed(network, Adam())
    kept = changed(network, CarefulAdam(chance_loss=CHANCE, keep_zeros=True))
    start, free, same = (np.asarray(n.cell.recurrent_weight) for n in (network, whole, kept))
    np.testing.assert_array_equal(same, np.where(start == 0, 0, free))
    assert (free[start == 0] != 0).all()
    rest = eqx.tree_at(lambda n: n.cell.recurrent_weight, kept, whole.cell.recurrent_weight)
    assert eqx.tree_equal(rest, whole)


def test_without_options_it_is_adam(network):
    careful = CarefulAdam(chance_loss=CHANCE, learning_rate=1e-2, clip="global")
    plain = Adam(**{f.name: getattr(careful, f.name) for f in dataclasses.fields(Adam)})
    assert eqx.tree_equal(changed(network, careful), changed(network, plain))


@pytest.mark.slow
def test_an_option_out_of_range_is_named():
    with pytest.raises(ValueError, match=r"^roll_back: "):
        CarefulAdam(chance_loss=CHANCE, roll_back=-0.1)
