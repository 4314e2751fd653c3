"""The adaptive schedule of the trainer is the keeper that anyone can use in a loop of their own."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small_training import TASK, TRAINER, vanishing_and_exploding

from flossing.optimisers import as_optimiser
from flossing.training import train_block
from flossing.training.streams import Stream, fold, stream

KEEPER = TRAINER.schedule.control(lambda n: n.cell, TASK.horizon, TASK.chance_loss)
OPTIMISER = as_optimiser(TRAINER.optimiser, 8)


@eqx.filter_jit
def epoch(network, memory, keeper_state, loss, key, number):
    """One epoch of a loop as a user would write it: trials, loss, Optax and the keeper, and no trainer."""
    network, keeper_state, look = KEEPER.update(
        network,
        keeper_state,
        lambda key: network.initial_state,
        lambda key: TASK.sample_inputs(key, KEEPER.flosser.num_steps),
        loss=loss,
        key=fold(key, Stream.ADAPT, number),
    )
    trials = TASK.batch(stream(key, Stream.DATA), number, 2)
    loss, gradient = eqx.filter_value_and_grad(
        lambda n: TASK.loss(jax.vmap(n)(trials.inputs), trials)
    )(network)
    change, memory = OPTIMISER.update(gradient, memory)
    return eqx.apply_updates(network, change), memory, keeper_state, loss, look


def by_hand(network, key, epochs):
    memory = OPTIMISER.init(eqx.filter(network, eqx.is_inexact_array))
    keeper_state, loss, losses, looks = KEEPER.init(network), np.asarray(np.inf), [], []
    for number in range(epochs):
        network, memory, keeper_state, loss, look = epoch(
            network, memory, keeper_state, loss, key, jnp.asarray(number)
        )
        losses.append(float(loss))
        looks.append(look)
    return network, losses, jax.tree.map(lambda *x: np.array(x), *looks)


@pytest.mark.slow
def test_a_loop_by_hand_makes_the_same_decisions_and_networks(x64):
    """To rounding, which the chaotic network of the two makes larger from step to step."""
    state, keys = vanishing_and_exploding()
    after, metrics = train_block(state, keys, 4, 4, TRAINER)
    for i, tolerance in enumerate([1e-9, 1e-6]):
        network = jax.tree.map(lambda x, i=i: x[i] if eqx.is_array(x) else x, state.networks)
        network, losses, looks = by_hand(network, keys[i], 4)
        np.testing.assert_array_equal(looks.steps, metrics.floss_steps[:, i])
        np.testing.assert_array_equal(np.isnan(metrics.watched[:, i]), ~looks.due)
        np.testing.assert_allclose(looks.exponent, metrics.watched[:, i], rtol=tolerance)
        np.testing.assert_allclose(losses, metrics.loss[:, i], rtol=tolerance)
        mine = eqx.filter(network, eqx.is_inexact_array)
        theirs = eqx.filter(
            jax.tree.map(lambda x, i=i: x[i] if eqx.is_array(x) else x, after.networks),
            eqx.is_inexact_array,
        )
        for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    assert np.asarray(metrics.floss_steps).tolist()[:2] == [[0, 0], [0, 0]]
    assert (np.asarray(metrics.floss_steps)[2] > 0).all()
    watched = np.asarray(metrics.watched)[2]
    assert watched[0] < -0.5
