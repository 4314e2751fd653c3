"""Rectified linear units, and the identity network, whose exponents are exactly zero."""

import jax.numpy as jnp
import numpy as np
from cell_helpers import INPUTS, UNITS, close, jacobian, normal

import flossing as fl
from flossing.initialisers import Gaussian


def test_relu_step_and_jacobian_are_those_of_the_docstring(key):
    cell = fl.ReLUCell(INPUTS, UNITS, recurrent=Gaussian(), bias_range=0.1, key=key)
    state, input = normal(UNITS), normal(INPUTS)
    w, u, b = map(np.asarray, (cell.recurrent_weight, cell.input_weight, cell.bias))
    drive = w @ state + u @ input + b
    assert 0 < (drive > 0).sum() < UNITS
    close(cell(state, input), np.maximum(drive, 0))
    close(jacobian(cell, state, input), np.diag(drive > 0) @ w)


def test_identity_network_adds_up_its_input_and_forgets_nothing(key):
    cell = fl.ReLUCell(INPUTS, UNITS, key=key)
    start, inputs = 100 + normal(UNITS), normal(50, INPUTS)
    spectrum = fl.lyapunov_spectrum(cell, start, inputs, basis=jnp.eye(UNITS))
    np.testing.assert_array_equal(spectrum.exponents, np.zeros(UNITS))
    close(spectrum.final_state, start + inputs.sum(0) @ cell.input_weight.T)


def test_its_first_state_has_all_units_active(key):
    assert (fl.ReLUCell(INPUTS, 100, key=key).initial_state(key=key) > 0).all()
