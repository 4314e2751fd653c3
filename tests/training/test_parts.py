"""Gradients of a batch in parts, and networks that take a batch at once."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.training import Trainer, evaluate, train_epoch
from flossing.training.trainer import begin, outputs_of

TASK = fl.tasks.DelayedXOR(4, num_steps=12)


@pytest.fixture(scope="module")
def network():
    cell = fl.TanhCell(TASK.input_size, 6, key=jax.random.key(0))
    return fl.Network(cell, TASK.output_size, key=jax.random.key(1))


def epoch(network, **options):
    trainer = Trainer(TASK, optax.sgd(1.0), batch_size=12, **options)
    return eqx.filter_jit(train_epoch)(begin(network, trainer), jax.random.key(2), 0, trainer)


@pytest.fixture(scope="module")
def expected(network):
    """The update with the batch as a whole."""
    return epoch(network)


@pytest.mark.parametrize(
    "part", [5, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 100))]
)
def test_an_update_in_parts_is_that_of_the_batch(network, expected, part):
    found = epoch(network, part=part)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert not np.array_equal(found[0].network.cell.recurrent_weight, network.cell.recurrent_weight)


def test_a_network_may_take_all_trials_at_once(network, expected):
    seen = []

    def at_once(network, inputs, state, keys):
        seen.append((inputs.shape, keys.shape))
        return outputs_of(network, inputs, state, keys)

    whole, parts = epoch(network, outputs=at_once), epoch(network, outputs=at_once, part=4)
    assert {shape for shape, _ in seen} == {(12, 12, 1), (4, 12, 1)}
    assert {keys for _, keys in seen} == {(12,), (4,)}
    for found in (whole, parts):
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    networks = jax.tree.map(lambda x: x[None] if eqx.is_array(x) else x, network)
    trainer = Trainer(TASK, optax.sgd(1.0), outputs=at_once)
    evaluate(networks, jax.random.split(jax.random.key(3), 1), trainer, trials=7)
    assert seen[-1][0] == (7, 12, 1)


def test_a_network_that_starts_by_itself_has_no_gradient_of_its_start(network):
    def by_itself(network, inputs, state, keys):
        assert state is None
        return outputs_of(network, inputs, network.initial_state, keys)

    metrics = epoch(network, outputs=by_itself, state=lambda network: None)[1]
    assert np.isnan(metrics.gradient_norm)
    assert jnp.isfinite(metrics.loss)


SAME = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import equinox as eqx, numpy as np, optax
import flossing as fl
from flossing.training import Trainer, begin, train_block
task = fl.tasks.DelayedXOR(4, num_steps=12)
def fresh(key):
    return fl.Network(fl.TanhCell(1, 6, key=key), 1, key=key)
def losses(keys, part):
    trainer = Trainer(task, optax.sgd(0.1), batch_size=8, part=part)
    networks = eqx.filter_vmap(fresh)(keys)
    return train_block(begin(networks, trainer), keys, 2, 2, trainer)[1].loss
keys = jax.random.split(jax.random.key(0), 2)
whole = losses(keys, None)
for count in (1, 2):
    np.testing.assert_allclose(losses(keys[:count], 2), whole[:, :count], rtol=1e-5)
"""


@pytest.mark.slow
def test_parts_and_realisations_share_the_devices():
    """Four devices: parts of one realisation use them all, two realisations take one each."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    subprocess.run([sys.executable, "-c", SAME], check=True, env=environment)
