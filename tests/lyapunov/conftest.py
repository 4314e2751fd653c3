"""Small networks of every kind, and their dense Jacobians, for the tests of spectra."""

import jax
import pytest
from jax.flatten_util import ravel_pytree

import flossing as fl

CELLS = {
    "tanh": fl.TanhCell,
    "gru": fl.GRUCell,
    "lstm": fl.LSTMCell,
}
STRONG = 20.0  # enough input for a LIF neuron to spike in a third of the steps


def _network(name, steps=10, hidden=4, **options):
    key = jax.random.key(7)
    if name == "stack":
        below = fl.TanhCell(2, hidden, form="post-activation", key=key)
        cell = fl.Stack([below, fl.GRUCell(hidden, 2, key=key), fl.LSTMCell(2, 2, key=key)])
    elif name == "lif":
        cell = fl.LIFCell(2, hidden, input_gain=STRONG, key=key, **options)
    else:
        cell = CELLS[name](2, hidden, key=key, **options)
    inputs = jax.random.normal(jax.random.key(8), (steps, 2))
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
