"""Stacks against their layers run by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from cell_helpers import INPUTS, UNITS, close, jacobian, normal, random_state, stack, trajectory
from jax.flatten_util import ravel_pytree

import flossing as fl


def test_stack_is_its_layers_run_by_hand(key):
    cell = stack(key)
    states, inputs = random_state(cell), normal(5, INPUTS)
    found = trajectory(cell, states, inputs)
    below = inputs
    for layer, state, its_states in zip(cell.layers, states, found, strict=True):
        expected = trajectory(layer, state, below)
        close(ravel_pytree(its_states)[0], ravel_pytree(expected)[0])
        below = jax.vmap(layer.output)(expected)
    np.testing.assert_array_equal(jax.vmap(cell.output)(found), below)


def test_stack_has_as_many_exponents_as_all_layers_have_states(key):
    cell = stack(key)
    spectrum = eqx.filter_eval_shape(
        fl.lyapunov_spectrum, cell, cell.initial_state(), jnp.zeros((5, INPUTS)), key=key
    )
    assert spectrum.exponents.shape == (UNITS + 3 * UNITS + 2 * UNITS,)


def test_stack_shrinks_volume_as_much_as_its_layers_together(key):
    """Its Jacobian is block-triangular: lower layers do not see higher ones."""
    cell = stack(key)
    states, input = random_state(cell), normal(INPUTS)
    alone = 0.0
    for layer, state, new in zip(cell.layers, states, cell(states, input), strict=True):
        alone += np.linalg.slogdet(jacobian(layer, state, input)).logabsdet
        input = layer.output(new)
    whole = jacobian(cell, states, normal(INPUTS))
    assert np.isfinite(alone)
    # The error of a log-determinant is some eps times the condition number.
    tolerance = 30 * np.finfo(float).eps * np.linalg.cond(whole)
    assert tolerance < 1e-6
    np.testing.assert_allclose(np.linalg.slogdet(whole).logabsdet, alone, rtol=0, atol=tolerance)


def test_stack_gives_each_layer_another_random_state(key):
    cell = fl.Stack([fl.TanhCell(UNITS, UNITS, key=key)] * 2)
    first, second = cell.initial_state(key=key)
    assert not jnp.allclose(first, second)


def test_stack_takes_its_sizes_from_its_ends(key):
    cell = fl.Stack([fl.TanhCell(INPUTS, UNITS, key=key), fl.TanhCell(UNITS, 4, key=key)])
    assert (cell.input_size, cell.hidden_size) == (INPUTS, 4)
