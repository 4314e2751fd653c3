"""The linear recurrent layer against complex arithmetic, and its exponents, which are known."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import INPUTS, UNITS, close, normal, trajectory

import flossing as fl


def complex_parts(cell):
    """lambda, scale and B, as complex numbers."""
    nu, theta = np.asarray(cell.log_decay), np.asarray(cell.log_phase)
    real, imaginary = np.split(np.asarray(cell.input_weight), 2)
    return np.exp(-np.exp(nu) + 1j * np.exp(theta)), np.exp(cell.log_scale), real + 1j * imaginary


def test_its_states_are_complex_arithmetic(key):
    cell = fl.LinearRecurrentCell(INPUTS, UNITS, key=key)
    factor, scale, weight = complex_parts(cell)
    state, inputs = fl.LinearState(*normal(2, UNITS)), normal(20, INPUTS)
    found = trajectory(cell, state, inputs)
    mode = state.real + 1j * np.asarray(state.imaginary)
    for t, input in enumerate(inputs):
        mode = factor * mode + scale * (weight @ input)
        close(found.real[t], mode.real)
        close(found.imaginary[t], mode.imag)


def test_its_exponents_are_the_logarithms_of_its_eigenvalues(key):
    """Whatever the input; from the axes as tangent basis, exactly, because the modes do not mix."""
    cell = fl.LinearRecurrentCell(INPUTS, UNITS, min_radius=0.3, max_radius=0.99, key=key)
    expected = np.sort(np.repeat(np.log(np.abs(complex_parts(cell)[0])), 2))[::-1]
    close(cell.exponents, expected)
    state = cell.initial_state(key=key)
    spectrum = fl.lyapunov_spectrum(cell, state, normal(40, INPUTS), basis=jnp.eye(2 * UNITS))
    close(np.sort(spectrum.exponents)[::-1], expected)


@pytest.mark.slow
def test_its_eigenvalues_start_in_the_ring_uniformly_in_area(key):
    cell = fl.LinearRecurrentCell(1, 2000, min_radius=0.6, max_radius=0.8, max_phase=1.0, key=key)
    factor = complex_parts(cell)[0]
    area = (np.abs(factor) ** 2 - 0.6**2) / (0.8**2 - 0.6**2)
    for uniform in (area, np.angle(factor)):
        assert uniform.min() >= -1e-12
        assert uniform.max() <= 1 + 1e-12
        # The mean of n uniform numbers of standard deviation 1 / sqrt(12): five of these.
        np.testing.assert_allclose(uniform.mean(), 0.5, atol=5 / math.sqrt(12 * 2000))


@pytest.mark.slow
def test_white_input_gives_every_mode_the_same_variance(key):
    """|B|^2 of the input's, thanks to the scale it starts with."""
    cell = fl.LinearRecurrentCell(1, 50, min_radius=0.5, max_radius=0.9, key=key)
    factor, scale, _ = complex_parts(cell)
    # The variance of z' = lambda z + scale w, summed over all times as a geometric series.
    close(scale**2 / (1 - np.abs(factor) ** 2), np.ones(50))


@pytest.mark.slow
def test_all_decay_rates_allowed_at_the_edges(key):
    """The whole disc: no eigenvalue is 0 or on the circle, where gradients would be infinite."""
    keys = jax.random.split(key, 100)
    cells = jax.vmap(lambda k: fl.LinearRecurrentCell(1, 100, key=k).log_decay)(keys)
    assert jnp.isfinite(cells).all()
