"""The joint schedule: one gradient of the task's loss and the flossing loss together."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.tasks import Copy
from flossing.training import Training, begin, train_block
from flossing.training.updates import epoch_update, flossing_gradient, optimiser_of

TASK = Copy(4)
TRAINING = Training(epochs=3, batch_size=2, num_steps=12, clip="none")
FLOSSING = fl.Flossing(
    "joint",
    num_exponents=3,
    window=12,
    warmup=4,
    state_warmup=3,
    renormalise_every=1,
    joint_weight=0.7,
)


@pytest.fixture
def network(x64, key):
    cell_key, network_key = jax.random.split(key)
    return fl.Network(fl.TanhCell(1, 5, key=cell_key), 1, key=network_key)


def first_moment(network, joint):
    """The gradient of an update, as Adam remembers it after one."""
    optimiser = optimiser_of(TRAINING).init(eqx.filter(network, eqx.is_inexact_array))
    key = jax.random.key(3)
    _, optimiser, metrics = epoch_update(
        network, optimiser, key, TASK, TRAINING, jnp.asarray(jnp.inf), joint
    )
    return jax.tree.map(lambda m: m / (1 - TRAINING.beta1), optimiser[1][0].mu), metrics


@pytest.mark.parametrize("parameters", [(), ("recurrent_weight",)])
def test_its_gradient_is_the_sum_of_both(network, parameters):
    flossing = dataclasses.replace(FLOSSING, parameters=parameters)
    key = jax.random.key(4)
    alone, before = first_moment(network, None)
    both, metrics = first_moment(network, (flossing, key))
    (_, exponents), more = flossing_gradient(network, key, TASK, flossing)
    for name in ("recurrent_weight", "input_weight", "bias"):
        share = getattr(more, name)
        expected = getattr(alone.cell, name)
        if share is not None:
            assert np.abs(share).max() > 1e-4
            expected = expected + 0.7 * share
        np.testing.assert_allclose(getattr(both.cell, name), expected, rtol=1e-9, atol=1e-13)
    np.testing.assert_allclose(both.readout_weight, alone.readout_weight, rtol=1e-12)
    np.testing.assert_allclose(metrics.loss, before.loss, rtol=1e-12)
    np.testing.assert_allclose(metrics.gradient_norm, before.gradient_norm, rtol=1e-12)
    np.testing.assert_allclose(metrics.watched, exponents[0])
    assert (int(metrics.floss_steps), int(before.floss_steps)) == (1, 0)


def test_the_flossing_gradient_is_that_of_its_loss(network):
    key, direction = jax.random.key(5), jax.random.normal(jax.random.key(6), (5, 5))
    (_, _), gradient = flossing_gradient(network, key, TASK, FLOSSING)

    def loss(step):
        moved = eqx.tree_at(
            lambda n: n.cell.recurrent_weight, network, replace_fn=lambda w: w + step * direction
        )
        return flossing_gradient(moved, key, TASK, FLOSSING)[0][0]

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    found = jnp.sum(gradient.recurrent_weight * direction)
    np.testing.assert_allclose(found, slope, rtol=1e-6)


def test_blocks_do_not_depend_on_how_they_are_cut(network):
    networks = jax.tree.map(lambda x: x[None] if eqx.is_array(x) else x, network)
    keys = jax.random.split(jax.random.key(7), 1)
    state = begin(networks, TRAINING, FLOSSING)
    whole, metrics = train_block(state, keys, jnp.asarray(3), 4, TASK, TRAINING, FLOSSING)
    for count in (1, 2):
        state, _ = train_block(state, keys, jnp.asarray(count), 4, TASK, TRAINING, FLOSSING)
    jax.tree.map(np.testing.assert_array_equal, *(jax.tree.leaves(s) for s in (whole, state)))
    assert metrics.floss_steps[:3].tolist() == [[1], [1], [1]]
    assert len(set(np.asarray(metrics.watched)[:3, 0].tolist())) == 3
