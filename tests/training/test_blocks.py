"""Compiled blocks of training and flossing do what a plain loop over one network would."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_training import SCHEDULE, TASK, TRAINER, networks

import flossing as fl
from flossing.training import (
    Trainer,
    begin,
    evaluate,
    floss_block,
    floss_step,
    measure_exponents,
    train_block,
)
from flossing.training.streams import Stream, fold, fold_all

SIZE = 4


def train(state, keys, count):
    return train_block(state, keys, count, SIZE, TRAINER)


def floss(state, keys, count):
    return floss_block(state, keys, count, SIZE, TRAINER)


def numbers(tree):
    return [np.asarray(x) for x in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array))]


def assert_same(one, two, **tolerances):
    for a, b in zip(numbers(one), numbers(two), strict=True):
        np.testing.assert_allclose(a, b, **tolerances)


@pytest.mark.slow
def test_flossing_blocks_equal_a_plain_loop_over_one_network(start):
    """Which has a program of its own: the same to rounding. Training blocks: test_adapting.py."""
    state, keys = start
    state, flossed = floss(state, keys, 2)
    one = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, start[0].realisations)
    floss_one = eqx.filter_jit(floss_step)
    for number in range(2):
        one, metrics = floss_one(one, keys[0], jnp.asarray(number), TRAINER)
        assert_same(metrics, jax.tree.map(lambda x, n=number: x[n, 0], flossed), rtol=1e-4)
    mine = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, state.realisations)
    assert_same(one, mine, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_results_do_not_depend_on_how_blocks_are_cut(start):
    state, keys = start
    whole = floss(train(state, keys, 4)[0], keys, 3)[0]
    parts = state
    for count in (1, 2, 1):
        parts = train(parts, keys, count)[0]
    for count in (2, 1):
        parts = floss(parts, keys, count)[0]
    assert eqx.tree_equal(whole, parts)
    assert (int(parts.epochs), int(parts.floss_steps)) == (4, 3)


@pytest.mark.slow
def test_metrics_have_as_many_rows_as_epochs(start):
    state, keys = start
    _, metrics = train(state, keys, 3)
    rows = {x.shape for x in jax.tree.leaves(metrics)}
    assert rows == {(3, 2)}
    assert floss(state, keys, 2)[1].exponents.shape == (2, 2, 3)


def test_more_epochs_than_the_program_has_room_for_are_an_error(start):
    with pytest.raises(ValueError, match="count: expected at most 4, got 5"):
        train(*start, SIZE + 1)


@pytest.mark.slow
def test_a_realisation_does_not_depend_on_its_neighbours(start):
    """The first is replaced by one whose weights are not finite, which stays as it is."""
    state, keys = start
    where = lambda s: s.realisations.network.cell.recurrent_weight  # noqa: E731
    broken = eqx.tree_at(where, state, where(state).at[0, 0, 0].set(jnp.nan))
    alone, beside = train(state, keys, 3), train(broken, keys, 3)
    for whole, other in zip(numbers(alone), numbers(beside), strict=True):
        axis = whole.ndim > 1 and whole.shape[0] == 3
        second = (slice(None), 1) if axis else (1,)
        np.testing.assert_array_equal(whole[second], other[second])
    assert np.asarray(beside[1].skipped).tolist() == [[True, False]] * 3
    first = [
        jax.tree.map(lambda x: x[0], eqx.filter(s.networks, eqx.is_array))
        for s in (broken, beside[0])
    ]
    assert_same(*first)
    assert not np.isnan(numbers(beside[0].realisations.optimiser)[0]).any()


def test_flossing_leaves_all_but_the_cell_as_it_is(start):
    """The first step of Adam is its rate in every weight of the cell that has a gradient.

    Adam's epsilon shortens it a little where the gradient is smallest.
    """
    state, keys = start
    flossed = floss(state, keys, 1)[0].networks
    change = flossed.cell.recurrent_weight - state.networks.cell.recurrent_weight
    np.testing.assert_allclose(np.abs(change), SCHEDULE.learning_rate, rtol=0.05)
    for name in ("readout_weight", "readout_bias", "initial_state"):
        np.testing.assert_array_equal(getattr(flossed, name), getattr(state.networks, name))


@pytest.mark.slow
def test_evaluation_and_exponents_are_those_of_each_network(start):
    state, keys = start
    held_out = evaluate(state.networks, keys, TRAINER, 7)
    exponents = measure_exponents(state.networks, keys, TRAINER, 2, num_steps=30, warmup=5)
    for i in range(2):
        network = jax.tree.map(lambda x, i=i: x[i] if eqx.is_array(x) else x, state.networks)
        trial = TASK.held_out(fold(keys[i], Stream.EVALUATE, 0), 7)
        outputs = eqx.filter_jit(eqx.filter_vmap(network))(trial.inputs)
        np.testing.assert_allclose(held_out.loss[i], TASK.loss(outputs, trial), rtol=1e-4)
        accuracy = held_out.metrics["accuracy"]
        expected = TASK.metrics(outputs, trial)["accuracy"]
        np.testing.assert_allclose(accuracy.value[i], expected.value, rtol=1e-6)
        assert accuracy.chance == 0.5
    input_key, basis_key = jax.random.split(fold(keys[0], Stream.MEASURE, 0))
    network = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, state.networks)
    plain = fl.lyapunov_spectrum(
        network.cell,
        network.initial_state,
        TASK.sample_inputs(input_key, 35),
        num_exponents=2,
        warmup=5,
        key=basis_key,
    )
    np.testing.assert_allclose(exponents[0], plain.exponents, rtol=1e-3, atol=1e-4)


def test_evaluation_uses_trials_that_training_and_flossing_never_saw():
    """Of every kind of work, the keys of its first pieces."""
    _, keys = networks(1)
    one = lambda kind, number: jax.random.fold_in(jax.random.fold_in(keys[0], kind), number)  # noqa: E731
    every = jax.jit(jax.vmap(jax.vmap(one, (None, 0)), (0, None)))
    pieces = every(np.arange(len(Stream)), np.arange(20))
    seen = {tuple(data) for data in np.asarray(jax.random.key_data(pieces)).reshape(-1, 2).tolist()}
    assert len(seen) == 20 * len(Stream)
    named = jax.random.key_data(fold_all(keys, Stream.EVALUATE, 3))[0]
    np.testing.assert_array_equal(named, jax.random.key_data(pieces)[int(Stream.EVALUATE), 3])


@pytest.mark.slow
def test_the_schedule_of_heights_moves_exponents_and_leaves_activity_as_it_is():
    """Binary units: a factor c on all surrogate derivatives adds log c to every exponent."""
    nets, keys = networks(2, fl.BinaryCell)
    schedule = fl.Heights(
        every=1, band=0.2, level=-1.0, window=30, warmup=8, state_warmup=5, num_starts=1
    )
    frozen = fl.optimisers.Adam(learning_rate=0.0)
    trainer = Trainer(TASK, frozen, schedule, epochs=2, batch_size=2)
    state = begin(schedule.prepared(nets), trainer)
    after, metrics = train_block(state, keys, 2, 2, trainer)
    assert np.asarray(metrics.floss_steps[0]).tolist() == [0, 0]
    assert (np.asarray(metrics.floss_steps[1]) > 0).all()
    inputs = TASK.sample_inputs(jax.random.key(5), 20)
    run = eqx.filter_vmap(lambda network: network(inputs))
    assert np.array_equal(run(state.networks), run(after.networks))
    before, now = (
        measure_exponents(s.networks, keys, trainer, 3, num_steps=60, warmup=10)
        for s in (state, after)
    )
    peak = np.asarray(after.networks.cell.surrogate.peak)
    np.testing.assert_allclose(now, before + np.log(peak)[:, None], atol=1e-3)
    assert (np.abs(np.log(peak)) > 0.01).all()
