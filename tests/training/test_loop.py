"""Compiled blocks of training and flossing do what a plain loop would."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.tasks import Copy
from flossing.training import (
    Training,
    begin,
    binary_cross_entropy,
    evaluate,
    floss_block,
    measure_exponents,
    train_block,
)
from flossing.training._streams import Stream, fold_all

TASK = Copy(3)
TRAINING = Training(epochs=8, batch_size=4, num_steps=12, learning_rate=1e-2)
FLOSSING = fl.Flossing(
    "none", num_exponents=3, window=10, warmup=4, state_warmup=0, learning_rate=1e-2
)


def networks(count, cell=fl.TanhCell):
    def one(key):
        cell_key, network_key = jax.random.split(key)
        return fl.Network(cell(1, 8, key=cell_key), 1, key=network_key)

    keys = jax.random.split(jax.random.key(5), count)
    return eqx.filter_vmap(one)(keys), keys


def train(state, keys, count, size=4, training=TRAINING):
    return train_block(state, keys, jnp.asarray(count), size, TASK, training, FLOSSING)


def floss(state, keys, count, size=4, flossing=FLOSSING):
    return floss_block(state, keys, jnp.asarray(count), size, TASK, TRAINING, flossing)


def weights(state):
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(state.networks, eqx.is_array))]


def equal(one, two):
    return all(np.array_equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


def test_a_block_equals_a_plain_loop():
    """Two epochs of one network against Optax and the same trials, written out."""
    nets, keys = networks(1)
    state, metrics = train(begin(nets, TRAINING, FLOSSING), keys, 2)
    network = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, nets)
    optimiser = optax.chain(fl.training.clip_by_array_norm(0.03), optax.adam(1e-2))
    memory = optimiser.init(eqx.filter(network, eqx.is_inexact_array))
    for epoch in range(2):
        key = fold_all(keys, Stream.DATA, epoch)[0]
        trials = jax.vmap(lambda k: TASK.sample(k, 12))(jax.random.split(key, 4))

        def loss(network, trials=trials):
            return binary_cross_entropy(
                jax.vmap(network)(trials.inputs), trials.targets, trials.mask
            )

        value, gradient = eqx.filter_value_and_grad(loss)(network)
        assert float(metrics.loss[epoch, 0]) == pytest.approx(float(value), rel=1e-5)
        norm = float(jnp.linalg.norm(gradient.initial_state))
        assert float(metrics.gradient_norm[epoch, 0]) == pytest.approx(norm, rel=1e-4)
        change, memory = optimiser.update(gradient, memory)
        network = eqx.apply_updates(network, change)
    for ours, plain in zip(
        weights(state), jax.tree.leaves(eqx.filter(network, eqx.is_array)), strict=True
    ):
        np.testing.assert_allclose(ours[0], plain, atol=2e-6)


def test_results_do_not_depend_on_the_blocks():
    nets, keys = networks(2)
    start = begin(nets, TRAINING, FLOSSING)
    whole = floss(train(start, keys, 4)[0], keys, 3)[0]
    parts = start
    for count in (1, 2, 1):
        parts = train(parts, keys, count)[0]
    for count in (2, 1):
        parts = floss(parts, keys, count)[0]
    assert equal(whole, parts)
    assert (int(parts.epochs), int(parts.floss_steps)) == (4, 3)


def test_a_realisation_does_not_depend_on_its_neighbours():
    nets, keys = networks(3)
    together = train(begin(nets, TRAINING, FLOSSING), keys, 3)[0]
    middle = jax.tree.map(lambda x: x[1:2] if eqx.is_array(x) else x, nets)
    alone = train(begin(middle, TRAINING, FLOSSING), keys[1:2], 3)[0]
    for a, b in zip(weights(together), weights(alone), strict=True):
        np.testing.assert_allclose(a[1], b[0], atol=1e-6)


def test_rows_beyond_the_count_are_empty():
    nets, keys = networks(1)
    state, metrics = train(begin(nets, TRAINING, FLOSSING), keys, 2)
    assert np.all(np.asarray(metrics.loss[2:]) == 0)
    assert int(state.epochs) == 2


def test_flossing_changes_the_cell_only_and_training_everything():
    nets, keys = networks(1)
    start = begin(nets, TRAINING, FLOSSING)
    flossed = floss(start, keys, 1)[0].networks
    trained = train(start, keys, 1)[0].networks
    assert not np.array_equal(flossed.cell.recurrent_weight, nets.cell.recurrent_weight)
    for name in ("readout_weight", "readout_bias", "initial_state"):
        assert np.array_equal(getattr(flossed, name), getattr(nets, name))
        assert not np.array_equal(getattr(trained, name), getattr(nets, name))


def test_chosen_parameters_only():
    nets, keys = networks(1)
    chosen = dataclasses.replace(FLOSSING, parameters=("recurrent_weight",))
    flossed = floss(begin(nets, TRAINING, chosen), keys, 1, flossing=chosen)[0].networks
    assert not np.array_equal(flossed.cell.recurrent_weight, nets.cell.recurrent_weight)
    assert np.array_equal(flossed.cell.input_weight, nets.cell.input_weight)
    assert np.array_equal(flossed.cell.bias, nets.cell.bias)


def test_centred_flossing_leaves_row_means_of_matrices():
    nets, keys = networks(1)
    moved = {}
    for centred in (False, True):
        chosen = dataclasses.replace(FLOSSING, centred=centred)
        cell = floss(begin(nets, TRAINING, chosen), keys, 1, flossing=chosen)[0].networks.cell
        moved[centred] = cell.recurrent_weight - nets.cell.recurrent_weight
        assert not np.array_equal(cell.input_weight, nets.cell.input_weight)
    assert np.abs(moved[False].mean(-1)).max() > 1e-4
    np.testing.assert_allclose(moved[True].mean(-1), 0, atol=1e-7)
    expected = moved[False] - moved[False].mean(-1, keepdims=True)
    np.testing.assert_allclose(moved[True], expected, atol=1e-6)


def test_initial_state_kept_when_not_trained():
    nets, keys = networks(1)
    frozen = dataclasses.replace(TRAINING, train_initial_state=False)
    state, metrics = train(begin(nets, frozen, FLOSSING), keys, 2, training=frozen)
    assert np.array_equal(state.networks.initial_state, nets.initial_state)
    assert float(metrics.gradient_norm[0, 0]) > 0


def test_readout_rate_scales_the_steps_of_the_readout_alone():
    nets, keys = networks(1)
    ends = {}
    for rate in (0.0, 0.5, 1.0):
        training = dataclasses.replace(TRAINING, readout_rate=rate)
        ends[rate] = train(begin(nets, training, FLOSSING), keys, 1, training=training)[0].networks
    for name in ("readout_weight", "readout_bias"):
        start, half, whole = (getattr(n, name) for n in (nets, ends[0.5], ends[1.0]))
        assert np.array_equal(getattr(ends[0.0], name), start)
        np.testing.assert_allclose(half - start, 0.5 * (whole - start), rtol=1e-4, atol=1e-8)
    for rate in (0.0, 0.5):
        assert np.array_equal(ends[rate].cell.recurrent_weight, ends[1.0].cell.recurrent_weight)


def test_weights_that_start_at_zero_stay_there_if_asked_and_others_move_as_before():
    nets, keys = networks(1)
    holes = (
        jnp.arange(nets.cell.recurrent_weight.size).reshape(nets.cell.recurrent_weight.shape) % 3
    )
    where = lambda n: n.cell.recurrent_weight  # noqa: E731
    nets = eqx.tree_at(where, nets, jnp.where(holes == 0, 0, where(nets)))
    ends = {}
    for keep in (False, True):
        training = dataclasses.replace(TRAINING, keep_zeros=keep)
        state = begin(nets, training, FLOSSING)
        state = floss_block(state, keys, jnp.asarray(1), 4, TASK, training, FLOSSING)[0]
        flossed = where(state.networks)
        ends[keep] = flossed, where(train(state, keys, 1, training=training)[0].networks)
    for free, kept in zip(*ends.values(), strict=True):
        assert (np.asarray(free)[np.asarray(holes) == 0] != 0).all()
        assert (np.asarray(kept)[np.asarray(holes) == 0] == 0).all()
    free, kept = (np.asarray(ends[keep][0])[np.asarray(holes) != 0] for keep in (False, True))
    np.testing.assert_array_equal(free, kept)


def test_updates_shrink_with_the_mean_loss_below_the_given_fraction_of_chance():
    nets, keys = networks(1)
    ends = []
    for mean_loss, slow_below in ((0.1, 0.0), (0.1, 0.5), (0.5, 0.5), (np.inf, 0.5)):
        training = dataclasses.replace(TRAINING, slow_below=slow_below)
        start = begin(nets, training, FLOSSING)
        start = eqx.tree_at(lambda s: s.mean_loss, start, jnp.full(1, mean_loss))
        ends.append(train(start, keys, 1, training=training)[0].networks)
    whole, slow, *others = (n.cell.recurrent_weight - nets.cell.recurrent_weight for n in ends)
    np.testing.assert_allclose(slow, whole * 0.1 / (0.5 * np.log(2)), rtol=1e-3, atol=1e-8)
    for other in others:
        assert np.array_equal(other, whole)


def test_a_non_finite_gradient_is_skipped_and_counted_and_harms_nobody():
    """Network 0 is broken by hand: it stays as it is, network 1 trains as if alone."""
    nets, keys = networks(2)
    broken = eqx.tree_at(
        lambda n: n.readout_weight, nets, nets.readout_weight.at[0, 0, 0].set(jnp.inf)
    )
    start = begin(broken, TRAINING, FLOSSING)
    state, metrics = train(start, keys, 3)
    assert np.asarray(metrics.skipped[:3]).tolist() == [[True, False]] * 3
    for before, after in zip(weights(start), weights(state), strict=True):
        assert np.array_equal(before[0], after[0])
    for leaf in jax.tree.leaves(state.optimiser):
        assert np.isfinite(np.asarray(leaf)).all()
    healthy = train(begin(nets, TRAINING, FLOSSING), keys, 3)[0]
    for a, b in zip(weights(state), weights(healthy), strict=True):
        assert np.array_equal(a[1], b[1])


def test_a_non_finite_flossing_step_is_skipped_and_counted():
    nets, keys = networks(2)
    weight = nets.cell.recurrent_weight.at[0, 0, 0].set(jnp.nan)
    broken = eqx.tree_at(lambda n: n.cell.recurrent_weight, nets, weight)
    start = begin(broken, TRAINING, FLOSSING)
    state, metrics = floss(start, keys, 2)
    assert np.asarray(metrics.skipped[:2]).tolist() == [[True, False]] * 2
    assert np.array_equal(state.networks.cell.bias[0], start.networks.cell.bias[0])
    assert not np.array_equal(state.networks.cell.bias[1], start.networks.cell.bias[1])


def test_flossing_moves_exponents_to_their_target():
    nets, keys = networks(2)
    state = begin(nets, TRAINING, FLOSSING)
    settings = dict(num_exponents=3, num_steps=200, warmup=20)
    before = measure_exponents(nets, keys, TASK, **settings)
    for _ in range(20):
        state, _ = floss(state, keys, 4)
    after = measure_exponents(state.networks, keys, TASK, **settings)
    assert float(jnp.abs(after).mean()) < 0.3 * float(jnp.abs(before).mean())


def test_polyak_steps_take_one_exponent_to_its_target():
    nets, keys = networks(2)
    polyak = dataclasses.replace(
        FLOSSING,
        num_exponents=1,
        targets=(-1.0,),
        optimiser="polyak",
        learning_rate=1.0,
        starts=32,
        window=60,
        warmup=20,
    )
    state, metrics = floss(begin(nets, TRAINING, polyak), keys, 4, flossing=polyak)
    before = np.abs(np.asarray(metrics.exponents)[0, :, 0] + 1)
    for _ in range(2):
        state, _ = floss(state, keys, 4, flossing=polyak)
    after = measure_exponents(state.networks, keys, TASK, 1, 2000)[:, 0]
    assert np.all(before > 0.2)
    np.testing.assert_allclose(after, -1, atol=0.05)


def test_training_learns_the_copy_task():
    nets, keys = networks(2)
    training = dataclasses.replace(TRAINING, batch_size=16, num_steps=40)
    state = begin(nets, training, FLOSSING)
    for _ in range(15):
        state, _ = train(state, keys, 40, 40, training)
    result = evaluate(state.networks, keys, TASK, 40)
    assert float(result.accuracy.min()) > 0.95


def test_evaluation_uses_trials_that_training_never_saw():
    _, keys = networks(1)
    held_out = fold_all(keys, Stream.EVALUATE, 0)
    for epoch in range(50):
        used = fold_all(keys, Stream.DATA, epoch)
        assert not np.array_equal(jax.random.key_data(held_out), jax.random.key_data(used))
