"""Gated cells against those of Equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
from cell_helpers import INPUTS, UNITS, close, normal

import flossing as fl


def from_equinox(make, **more):
    """A cell of Equinox with random numbers for all weights, and how to copy them into ours."""
    empty = eqx.filter_eval_shape(make, INPUTS, UNITS, key=jax.random.key(0))
    theirs = jax.tree.map(lambda x: normal(*x.shape, seed=x.size), empty)
    names = {"recurrent_weight": "weight_hh", "input_weight": "weight_ih", "bias": "bias"} | more

    def copy(ours):
        def where(cell):
            return [getattr(cell, name) for name in names]

        return eqx.tree_at(where, ours, [getattr(theirs, name) for name in names.values()])

    return theirs, copy


def test_gru_is_the_gru_of_equinox(key):
    theirs, copy = from_equinox(eqx.nn.GRUCell, recurrent_bias="bias_n")
    ours = copy(fl.GRUCell(INPUTS, UNITS, key=key))
    state, inputs = normal(UNITS), normal(4, INPUTS)
    for input in inputs:
        expected = theirs(input, state)
        state = ours(state, input)
        close(state, expected)


def test_lstm_is_the_lstm_of_equinox(key):
    theirs, copy = from_equinox(eqx.nn.LSTMCell)
    ours = copy(fl.LSTMCell(INPUTS, UNITS, key=key))
    state, inputs = fl.LSTMState(*normal(2, UNITS)), normal(4, INPUTS)
    for input in inputs:
        expected = theirs(input, (state.hidden, state.cell))
        state = ours(state, input)
        close(state.hidden, expected[0])
        close(state.cell, expected[1])


def test_gru_update_bias_makes_it_remember(key):
    cell = fl.GRUCell(INPUTS, UNITS, update_bias=40.0, key=key)
    state = normal(UNITS)
    # The update gate is 1 - exp(-40) up to a factor of its other inputs.
    close(cell(state, normal(INPUTS)), state)


def test_lstm_forget_bias_makes_the_cell_remember(key):
    cell = fl.LSTMCell(INPUTS, UNITS, forget_bias=40.0, key=key)
    state, input = fl.LSTMState(*normal(2, UNITS)), normal(INPUTS)
    empty = fl.LSTMState(state.hidden, jnp.zeros(UNITS))
    close(cell(state, input).cell - cell(empty, input).cell, state.cell)
