"""Gated cells against those of Equinox."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
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


@pytest.mark.slow
def test_chrono_biases_are_logarithms_of_uniform_times(key):
    gru, lstm = fl.GRUCell(1, 500, chrono=40.0, key=key), fl.LSTMCell(1, 500, chrono=40.0, key=key)
    enter, forget, *others = jnp.split(lstm.bias, 4)
    times = jnp.exp(forget)
    assert times.min() >= 1
    assert times.max() <= 39
    # The mean of n uniform numbers between 1 and 39: five of its standard deviations.
    assert abs(times.mean() - 20) < 5 * 38 / (12 * 500) ** 0.5
    close(enter, -forget)
    close(jnp.concatenate(others), 0)
    close(gru.bias, jnp.concatenate([jnp.zeros(500), forget, jnp.zeros(500)]))


def test_a_unit_forgets_within_the_time_that_chrono_gives_it(key):
    """Without other input its memory decays by 1 / (1 + 1 / u) a step: within about u steps."""
    cell = fl.LSTMCell(1, UNITS, chrono=40.0, recurrent=lambda key, n: jnp.zeros((n, n)), key=key)
    state = fl.LSTMState(jnp.zeros(UNITS), jnp.ones(UNITS))
    times = jnp.exp(jnp.split(cell.bias, 4)[1])
    close(cell(state, jnp.zeros(1)).cell, times / (1 + times))


def test_with_open_gates_a_step_is_that_of_a_tanh_network(key):
    """At 40 all gates are open or closed to working precision."""
    state, input = normal(UNITS), normal(INPUTS)
    gru = fl.GRUCell(INPUTS, UNITS, openness=40.0, key=key)
    weight, enter = (jnp.split(w, 3)[2] for w in (gru.recurrent_weight, gru.input_weight))
    close(gru(state, input), jnp.tanh(weight @ state + enter @ input))
    lstm = fl.LSTMCell(INPUTS, UNITS, openness=40.0, key=key)
    weight, enter = (jnp.split(w, 4)[2] for w in (lstm.recurrent_weight, lstm.input_weight))
    following = lstm(fl.LSTMState(state, normal(UNITS)), input)
    close(following.cell, jnp.tanh(weight @ state + enter @ input))
    close(following.hidden, jnp.tanh(following.cell))
