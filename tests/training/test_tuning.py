"""Gains that give networks the first exponents that were asked for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.initialisers import Gaussian
from flossing.runs import CellConfig, RunConfig, TaskConfig
from flossing.tasks import Copy
from flossing.training import Training, measure_exponents, networks_starting_at


def test_networks_start_where_they_were_asked_to(key):
    keys = jax.random.split(key, 2)

    @eqx.filter_vmap
    def build(key, gain):
        cell = fl.TanhCell(1, 20, recurrent=lambda k, n: gain * Gaussian()(k, n), key=key)
        return fl.Network(cell, 1, key=key)

    goals = jnp.asarray([-1.0, -0.3])
    found = networks_starting_at(goals, lambda g: build(keys, g), keys, Copy(3), num_steps=200)
    measured = measure_exponents(found, keys, Copy(3), 1, 200)[:, 0]
    # 15 bisections of ln(4 / 0.01): the gain is exact to 2e-4, relative.
    np.testing.assert_allclose(measured, goals, atol=1e-3)
    with pytest.raises(ValueError, match=r"no gain between 0\.01 and 4\.0 was found that gives 9;"):
        networks_starting_at(
            jnp.full(2, 9.0), lambda g: build(keys, g), keys, Copy(3), num_steps=200
        )


def test_a_run_can_ask_for_it():
    task = TaskConfig("copy", 3)
    cell = CellConfig(hidden_size=10, first_exponent=-0.5)
    config = RunConfig(task=task, cell=cell, realisations=2, training=Training(num_steps=20))
    networks = config.networks()
    exponents = measure_exponents(networks, config.keys(), Copy(3), 1, 1000)
    np.testing.assert_allclose(exponents, -0.5, atol=1e-3)
    shapes = eqx.filter_eval_shape(config.networks)
    assert shapes.cell.recurrent_weight.shape == networks.cell.recurrent_weight.shape
