"""Dale's law: signs of columns hold whatever training does."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import (
    CELLS,
    INPUTS,
    UNITS,
    jacobian,
    normal,
    over,
    random_state,
    scan,
)

import flossing as fl
from flossing.initialisers import dale_signs

DALE = {
    "tanh, pre-activation": fl.TanhCell,
    "tanh, post-activation": functools.partial(fl.TanhCell, form="post-activation"),
    "binary": fl.BinaryCell,
    "lif": CELLS["lif"],
}


def column_signs(cell):
    """Least and greatest sign in each column of the effective weights, by the Jacobian near zero."""
    state = jax.tree.map(lambda x: 1e-6 * x, random_state(cell))
    matrix = jacobian(cell, state, jnp.zeros(INPUTS))
    if isinstance(cell, fl.LIFCell):
        matrix = matrix[cell.hidden_size :, : cell.hidden_size]
    signs = np.sign(matrix)
    return signs.min(0), signs.max(0)


def after_large_step(cell):
    """The cell after one gradient step that is large enough to change the signs of raw weights."""

    def loss(weight):
        changed = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)
        states = scan(changed, random_state(cell), normal(5, INPUTS))
        return jax.tree.leaves(states)[0][-1].sum()

    weight = cell.recurrent_weight - 100 * jax.jit(jax.grad(loss))(cell.recurrent_weight)
    return eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)


@pytest.mark.slow
@over("make", DALE.values(), ids=DALE)
def test_dale_fixes_the_signs_of_columns_through_training(make, key):
    cell = make(INPUTS, UNITS, dale=0.6, key=key)
    trained = after_large_step(cell)
    flipped = jnp.sign(trained.recurrent_weight) != jnp.sign(cell.recurrent_weight)
    assert flipped.sum() > 2
    for network in (cell, trained):
        least, greatest = column_signs(network)
        np.testing.assert_array_equal(least, dale_signs(UNITS, 0.6))
        np.testing.assert_array_equal(greatest, dale_signs(UNITS, 0.6))


@over("make", DALE.values(), ids=DALE)
def test_signs_are_free_without_dale(make, key):
    least, greatest = column_signs(make(INPUTS, UNITS, key=key))
    assert (least < greatest).all()
