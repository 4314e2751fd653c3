"""The adaptive schedule: who is flossed, when, and what it changes."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.floss import Adaptive
from flossing.tasks import Copy
from flossing.training import (
    Training,
    begin,
    floss_block,
    free_surrogates,
    loop,
    measure_exponents,
    train_block,
)

TASK = Copy(10)
TRAINING = Training(epochs=8, batch_size=2, num_steps=16, learning_rate=1e-3)
RULES = Adaptive(every=2, max_steps=3, band=0.2)
FLOSSING = fl.Flossing(
    num_exponents=4,
    window=30,
    warmup=10,
    state_warmup=5,
    renormalise_every=1,
    learning_rate=1e-2,
    adaptive=RULES,
)
CHANCE = TASK.chance_loss


def networks(count=2, cell=fl.TanhCell):
    def one(key):
        cell_key, network_key = jax.random.split(key)
        return fl.Network(cell(1, 12, key=cell_key), 1, key=network_key)

    keys = jax.random.split(jax.random.key(2), count)
    return eqx.filter_vmap(one)(keys), keys


def with_gains(nets, factors):
    """Recurrent weights scaled, one factor per network."""
    scale = jnp.asarray(factors)[:, None, None]
    return eqx.tree_at(lambda n: n.cell.recurrent_weight, nets, nets.cell.recurrent_weight * scale)


def train(state, keys, count, flossing=FLOSSING):
    return train_block(state, keys, jnp.asarray(count), 4, TASK, TRAINING, flossing)


def after(state, loss, epochs=2):
    """As if so many epochs were over, with that average loss."""
    mean = jnp.full_like(state.mean_loss, loss)
    return eqx.tree_at(lambda s: (s.mean_loss, s.epochs), state, (mean, jnp.asarray(epochs)))


@pytest.fixture(scope="module")
def vanishing_and_exploding():
    nets, keys = networks()
    return begin(with_gains(nets, [0.3, 8.0]), TRAINING, FLOSSING), keys


def test_networks_that_have_not_learned_are_flossed_from_both_sides(vanishing_and_exploding):
    state, keys = vanishing_and_exploding
    _, metrics = train(after(state, CHANCE), keys, 2)
    assert metrics.floss_steps.tolist() == [[3, 3], [0, 0]] + [[0, 0]] * 2
    watched = np.asarray(metrics.watched)
    assert watched[0, 0] < -0.5
    assert watched[0, 1] > 0.02
    assert np.isnan(watched[1]).all()


def test_a_network_that_has_learned_is_flossed_only_from_above(vanishing_and_exploding):
    state, keys = vanishing_and_exploding
    _, metrics = train(after(state, 0.4 * CHANCE), keys, 1)
    assert metrics.floss_steps[0].tolist() == [0, 3]


def test_a_network_within_the_band_is_left_alone(vanishing_and_exploding):
    state, keys = vanishing_and_exploding
    wide = dataclasses.replace(FLOSSING, adaptive=dataclasses.replace(RULES, band=100.0))
    wide_state, metrics = train(after(state, CHANCE), keys, 2, wide)
    never, _ = train(after(state, CHANCE), keys, 2, dataclasses.replace(FLOSSING, schedule="none"))
    assert int(metrics.floss_steps.sum()) == 0
    for one, other in zip(jax.tree.leaves(wide_state), jax.tree.leaves(never), strict=True):
        if eqx.is_array(one) and jnp.issubdtype(one.dtype, jnp.inexact):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_networks_that_are_not_flossed_can_use_the_program_of_others(
    vanishing_and_exploding, monkeypatch
):
    state, keys = vanishing_and_exploding
    state, never = after(state, CHANCE), dataclasses.replace(FLOSSING, schedule="none")
    alone, metrics = train(state, keys, 2, never)
    train(state, keys, 2)
    monkeypatch.setattr(loop, "epoch_update", lambda *_: pytest.fail("there is a new program"))
    count = jnp.asarray(2)
    shared, same = train_block(state, keys, count, 4, TASK, TRAINING, never, FLOSSING)
    assert int(same.floss_steps.sum()) == 0
    assert np.isnan(np.asarray(same.watched)[:2]).all()
    np.testing.assert_allclose(same.loss[:2], metrics.loss[:2], rtol=1e-6)
    for one, other in zip(jax.tree.leaves(shared), jax.tree.leaves(alone), strict=True):
        if eqx.is_array(one) and jnp.issubdtype(one.dtype, jnp.inexact):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-7)


def test_flossing_brings_exponents_back_and_stops(vanishing_and_exploding):
    state, keys = vanishing_and_exploding
    patient = dataclasses.replace(RULES, band=0.5, max_steps=300)
    flossing = dataclasses.replace(FLOSSING, adaptive=patient, num_exponents=1)
    state = begin(state.networks, TRAINING, flossing)
    state, metrics = train(after(state, CHANCE), keys, 1, flossing)
    steps = np.asarray(metrics.floss_steps[0])
    assert (steps > 3).all()
    assert (steps < 300).all()
    leading = measure_exponents(state.networks, keys, TASK, 1, num_steps=300)
    # The chaotic network's exponent scatters by 0.1 from window to window, as much as it had to fall.
    assert abs(float(leading[0, 0])) < 0.15


def test_nobody_looks_before_the_first_epoch(vanishing_and_exploding):
    state, keys = vanishing_and_exploding
    _, metrics = train(state, keys, 2)
    assert np.isnan(np.asarray(metrics.watched)[:2]).all()


def test_results_do_not_depend_on_the_blocks(vanishing_and_exploding):
    state, keys = vanishing_and_exploding
    whole, _ = train(state, keys, 4)
    parts = state
    for count in (1, 2, 1):
        parts, _ = train(parts, keys, count)
    assert eqx.tree_equal(whole, parts)


def test_the_average_loss_follows_the_loss(vanishing_and_exploding):
    state, keys = vanishing_and_exploding
    state, metrics = train(state, keys, 3)
    first, second, third = np.asarray(metrics.loss)[:3]
    expected = first + (second - first) / RULES.memory
    expected = expected + (third - expected) / RULES.memory
    np.testing.assert_allclose(state.mean_loss, expected, rtol=1e-5)


def test_surrogate_control_moves_exponents_and_leaves_activity_as_it_is():
    """Binary units: a factor c on all surrogate derivatives adds log c to every exponent."""
    nets, keys = networks(cell=fl.BinaryCell)
    rules = dataclasses.replace(RULES, control="surrogate", centre=-1.0, max_steps=5)
    flossing = dataclasses.replace(FLOSSING, adaptive=rules)
    frozen = dataclasses.replace(TRAINING, learning_rate=0.0)
    start = begin(free_surrogates(nets), frozen, flossing)
    state, metrics = train_block(after(start, 0.0), keys, jnp.asarray(1), 1, TASK, frozen, flossing)
    assert (np.asarray(metrics.floss_steps[0]) > 0).all()
    inputs = TASK.sample_inputs(jax.random.key(5), 20)
    run = eqx.filter_vmap(lambda network: network(inputs))
    assert np.array_equal(run(start.networks), run(state.networks))
    before, now = (measure_exponents(s.networks, keys, TASK, 4) for s in (start, state))
    shift = jnp.log(state.networks.cell.surrogate.peak)[:, None]
    np.testing.assert_allclose(now, before + shift, atol=1e-4)
    np.testing.assert_allclose(now[:, 0], -1 / TASK.horizon, atol=0.05)


def test_heights_of_lif_networks_need_a_larger_response():
    """Their signals stay in membrane and synapse: exponents move by log c over some 15 steps of 1 ms."""
    nets, keys = networks(cell=fl.LIFCell)
    frozen = dataclasses.replace(TRAINING, learning_rate=0.0)
    moved = {}
    for response in (1.0, 10.0):
        rules = dataclasses.replace(
            RULES, control="surrogate", response=response, max_steps=4, band=0.005, settle=0.0
        )
        flossing = dataclasses.replace(FLOSSING, adaptive=rules)
        state = begin(free_surrogates(nets), frozen, flossing)
        state, metrics = train_block(
            after(state, 0.0), keys, jnp.asarray(1), 1, TASK, frozen, flossing
        )
        assert metrics.floss_steps[0].tolist() == [4, 4]
        peak, watched = state.networks.cell.surrogate.peak, metrics.watched[0]
        assert ((peak > 1) == (watched < 0)).all()
        moved[response] = jnp.abs(jnp.log(peak))
    assert (moved[10.0] > 1.5 * moved[1.0]).all()


def test_a_look_can_average_more_trajectories_than_a_flossing_step(vanishing_and_exploding):
    state, keys = vanishing_and_exploding

    def watched(starts, looks):
        rules = dataclasses.replace(RULES, look_starts=looks)
        flossing = dataclasses.replace(FLOSSING, starts=starts, adaptive=rules)
        _, metrics = train(after(state, CHANCE), keys, 1, flossing)
        return np.asarray(metrics.watched[0])

    np.testing.assert_allclose(watched(1, 3), watched(3, None), rtol=1e-5, atol=1e-5)
    assert (watched(1, 3) != watched(1, None)).all()
    with pytest.raises(ValueError, match=r"flossing\.adaptive\.look_starts: .*0"):
        dataclasses.replace(RULES, look_starts=0)


def test_surrogate_control_needs_surrogates():
    with pytest.raises(ValueError, match="surrogate derivatives"):
        free_surrogates(networks()[0])


def test_steps_before_training_are_those_of_flossing_alone(x64):
    """The adaptive schedule takes them in the program of its epochs, others in one of their own."""
    nets, keys = networks()
    before = dataclasses.replace(FLOSSING, schedule="before")
    count, size = jnp.asarray(3), 4
    ours, theirs = (
        floss_block(begin(nets, TRAINING, rules), keys, count, size, TASK, TRAINING, rules)
        for rules in (FLOSSING, before)
    )
    assert int(ours[0].floss_steps) == 3
    assert int(ours[0].epochs) == 0
    same = functools.partial(np.testing.assert_allclose, rtol=1e-9, atol=1e-12)
    jax.tree.map(same, *(eqx.filter(state, eqx.is_inexact_array) for state, _ in (ours, theirs)))
    jax.tree.map(lambda a, b: same(a[:3], b[:3]), ours[1], theirs[1])
