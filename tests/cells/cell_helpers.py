"""Cells, states and comparisons that the tests of cells share."""

import functools
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import flossing as fl
from flossing.initialisers import Gaussian

over = pytest.mark.parametrize

# Double precision, a few sums of a few numbers of order one: errors of some 1e-16, rarely of 1e-14.
# 1e-12 is far from them and far from any mistake.
ROUNDING = 1e-12

RESETS = ["to_zero", "subtract", "none"]
RESET_GRADIENTS = ["detached", "differentiated", "ignored"]
INPUTS, UNITS = 3, 5

CELLS = {
    "tanh, pre-activation": fl.TanhCell,
    "tanh, post-activation": functools.partial(fl.TanhCell, form="post-activation"),
    "tanh, leaky": functools.partial(fl.TanhCell, leak=0.3),
    "relu": fl.ReLUCell,
    "linear": fl.LinearRecurrentCell,
    "gru": fl.GRUCell,
    "lstm": fl.LSTMCell,
    "binary": fl.BinaryCell,
    "lif": functools.partial(fl.LIFCell, threshold=0.3, input_gain=3.0),
    "lif, adaptive": functools.partial(
        fl.LIFCell, threshold=0.3, input_gain=3.0, adaptation_time_constant=30.0, reset="subtract"
    ),
    "integrate and fire": functools.partial(
        fl.IntegrateFireCell, threshold=0.3, input_gain=9.0, recurrent=Gaussian(), bias=True
    ),
    "integrate and fire, synapses": functools.partial(
        fl.IntegrateFireCell,
        threshold=0.3,
        input_gain=30.0,
        synapse_time_constant=5.0,
        reset_potential=-0.2,
        integration="euler",
        recurrent=Gaussian(),
    ),
}
every_cell = over("make", CELLS.values(), ids=CELLS)


def raises(error, message):
    return pytest.raises(error, match=re.escape(message))


def close(found, expected, tolerance=ROUNDING):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def scan(cell, state, inputs):
    """All states after the first."""

    def step(state, input):
        state = cell(state, input)
        return state, state

    return jax.lax.scan(step, state, inputs)[1]


trajectory = eqx.filter_jit(scan)


def jacobian(cell, state, input):
    vector, unravel = ravel_pytree(state)
    return jax.jacfwd(lambda v: ravel_pytree(cell(unravel(v), input))[0])(vector)


def normal(*shape, seed=0):
    """Normal numbers from numpy, which has nothing to compile."""
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), float)


def random_state(cell, seed=1):
    """Numbers of order one in every state variable."""
    vector, unravel = ravel_pytree(cell.initial_state())
    return unravel(normal(vector.size, seed=seed))


def stack(key):
    keys = jax.random.split(key, 3)
    return fl.Stack(
        [
            fl.TanhCell(INPUTS, UNITS, key=keys[0]),
            fl.LIFCell(
                UNITS,
                UNITS,
                threshold=0.3,
                reset="subtract",
                adaptation_time_constant=30.0,
                input_gain=3.0,
                key=keys[1],
            ),
            fl.LSTMCell(UNITS, UNITS, key=keys[2]),
        ]
    )
