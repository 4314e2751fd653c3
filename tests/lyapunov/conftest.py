"""Small networks of every kind, and their dense Jacobians, for the tests of spectra."""

import jax
import pytest
from jax.flatten_util import ravel_pytree

import flossing as fl

CELLS = {
    "tanh": fl.TanhCell,
    "gru": fl.GRUCell,
    "lstm": fl.LSTMCell,
    "binary": fl.BinaryCell,
    "lif": fl.LIFCell,
}


def _network(name, steps=10, hidden=4, **options):
    key = jax.random.key(7)
    if name == "stack":
        below = fl.TanhCell(2, hidden, form="post-activation", key=key)
        cell = fl.Stack([below, fl.LSTMCell(hidden, 2, key=key)])
    else:
        cell = CELLS[name](2, hidden, key=key, **options)
    strength = 4.0 if name == "lif" else 1.0
    inputs = strength * jax.random.normal(jax.random.key(8), (steps, 2))
    return cell, cell.initial_state(key=jax.random.key(9)), inputs


def _dense_jacobians(step, state, inputs):
    flat, unravel = ravel_pytree(state)

    def flat_step(vector, input):
        return ravel_pytree(step(unravel(vector), input))[0]

    def body(vector, input):
        return flat_step(vector, input), jax.jacfwd(flat_step)(vector, input)

    return jax.lax.scan(body, flat, inputs)[1]


@pytest.fixture
def network():
    """``network(name, steps, hidden, **options)``: a cell, a random state and random inputs."""
    return _network


@pytest.fixture
def dense_jacobians():
    """``dense_jacobians(step, state, inputs)``: one dense matrix per step, made without the library."""
    return _dense_jacobians
