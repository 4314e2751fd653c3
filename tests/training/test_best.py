"""Networks whose training goes wrong return to their best weights."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.tasks import Copy
from flossing.training import Training, begin, floss_block, train_block
from flossing.training.best import Best, Moment

TASK = Copy(3)
TRAINING = Training(
    epochs=300, batch_size=8, num_steps=12, learning_rate=1e-2, roll_back=0.2, clip="none"
)
FLOSSING = fl.Flossing(
    "none", num_exponents=3, window=10, warmup=4, state_warmup=0, learning_rate=1e-2
)


def networks(count):
    def one(key):
        cell_key, network_key = jax.random.split(key)
        return fl.Network(fl.TanhCell(1, 8, key=cell_key), 1, key=network_key)

    keys = jax.random.split(jax.random.key(5), count)
    return eqx.filter_vmap(one)(keys), keys


def train(state, keys, training, count, task=TASK):
    return train_block(state, keys, jnp.asarray(count), count, task, training, FLOSSING)


def numbers(tree):
    arrays = jax.tree.leaves(eqx.filter(tree, eqx.is_array))
    return np.concatenate([np.asarray(x, float).ravel() for x in arrays])


def test_the_rule_against_a_plain_loop():
    """Losses that fall, rise a little, and rise too much: which state is kept, and where it returns."""
    network = fl.Network(fl.TanhCell(1, 2, key=jax.random.key(0)), 1, key=jax.random.key(1))

    def at(value):
        arrays, rest = eqx.partition(network, eqx.is_inexact_array)
        return eqx.combine(jax.tree.map(lambda x: jnp.full_like(x, value), arrays), rest)

    def moment(value):
        return Moment(at(value), (jnp.full(3, value, float), jnp.asarray(int(value))))

    best = Best.start(moment(0), jnp.asarray(jnp.inf), jnp.asarray(1.0))
    losses = [0.7, 0.5, 0.55, 0.59, 0.61, 0.45, 0.56]
    best_so_far = [None, None, None, None, 2, None, 6]  # where it returned
    for epoch, (loss, back_to) in enumerate(zip(losses, best_so_far, strict=True), 1):
        before, after = moment(epoch), moment(epoch + 0.5)
        found, loss_after, best, back = best.after(before, after, jnp.asarray(loss), 0.1, 0.75)
        mean, steps = found.optimiser
        where = back_to or epoch + 0.5
        assert bool(back) == (back_to is not None)
        assert np.all(numbers(found.network) == where)
        assert np.all(np.asarray(mean) == where)
        assert int(steps) == epoch
        assert float(loss_after) == pytest.approx(losses[back_to - 1] if back_to else loss)
    assert float(best.pace) == 0.25
    assert float(best.loss) == pytest.approx(0.45)


def test_a_network_that_has_not_learned_is_left_alone():
    """The best loss, 0.66, is not below chance, 0.69, by the margin."""
    network = fl.Network(fl.TanhCell(1, 2, key=jax.random.key(0)), 1, key=jax.random.key(1))
    moment = Moment(network, jnp.zeros(2))
    best = Best.start(moment, jnp.asarray(jnp.inf), jnp.asarray(1.0))
    for loss in (0.66, 0.9):
        *_, best, back = best.after(moment, moment, jnp.asarray(loss), 0.1, 0.69)
        assert not back
    assert float(best.pace) == 1


CALM, WILD = 250, 30
"""Epochs of the task, and of another one, which undo what was learned."""


@pytest.fixture(scope="module")
def runaway():
    """Networks that learn and then lose it, with and without a return."""
    out = {}
    for name, share in (("free", 0.0), ("guarded", 0.2)):
        training = dataclasses.replace(TRAINING, roll_back=share)
        nets, keys = networks(3)
        state, _ = train(begin(nets, training, FLOSSING), keys, training, CALM)
        assert np.all(np.asarray(state.mean_loss) < 0.5 * TASK.chance_loss)
        out[name] = train(state, keys, training, WILD, Copy(5))
    return out


def test_a_runaway_is_brought_back(runaway):
    """The mean loss of the last epochs never stays above the best one by more than the margin."""
    state, metrics = runaway["guarded"]
    margin = 0.2 * TASK.chance_loss
    assert np.all(np.asarray(runaway["free"][0].mean_loss) > np.asarray(state.best.loss) + margin)
    assert np.all(np.asarray(state.mean_loss) <= np.asarray(state.best.loss) + margin + 1e-6)
    backs = np.asarray(metrics.rolled_back).sum(0)
    assert np.all(backs >= 1)
    np.testing.assert_allclose(np.asarray(state.best.pace), 0.5**backs, rtol=1e-6)
    assert not np.asarray(runaway["free"][1].rolled_back).any()


def test_until_the_first_return_training_is_the_same(runaway):
    guarded, free = runaway["guarded"][1], runaway["free"][1]
    for r in range(3):
        until = np.flatnonzero(np.asarray(guarded.rolled_back)[:, r])[0] + 1
        same = np.asarray(guarded.loss)[:until, r], np.asarray(free.loss)[:until, r]
        np.testing.assert_allclose(*same, rtol=1e-4, atol=1e-6)


def test_a_block_cut_in_two_is_the_same(runaway):
    nets, keys = networks(3)
    state, _ = train(begin(nets, TRAINING, FLOSSING), keys, TRAINING, CALM)
    for count in (10, WILD - 10):
        state, _ = train(state, keys, TRAINING, count, Copy(5))
    np.testing.assert_allclose(numbers(state), numbers(runaway["guarded"][0]), rtol=1e-4, atol=1e-5)


def test_a_phase_of_flossing_starts_afresh_and_keeps_the_pace():
    nets, keys = networks(2)
    state, _ = train(begin(nets, TRAINING, FLOSSING), keys, TRAINING, 4)
    state = eqx.tree_at(lambda s: s.best.pace, state, jnp.array([0.5, 1.0]))
    state, _ = floss_block(state, keys, jnp.asarray(2), 2, TASK, TRAINING, FLOSSING)
    assert np.all(np.isinf(state.best.loss))
    assert np.all(np.isinf(state.mean_loss))
    assert state.best.pace.tolist() == [0.5, 1.0]
    now = eqx.filter(Moment(state.networks, state.optimiser), eqx.is_inexact_array)
    assert np.array_equal(numbers(state.best.trained), numbers(now))
