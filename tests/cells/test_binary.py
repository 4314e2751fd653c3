"""The binary network against its equations and its published first exponent."""

import functools

import equinox as eqx
import jax
import numpy as np
import pytest
from cell_helpers import (
    INPUTS,
    UNITS,
    close,
    jacobian,
    normal,
    over,
    raises,
)

import flossing as fl
from flossing.cells import NoisyBinaryState
from flossing.escape_noise import Noisy, SigmoidNoise, with_noise
from flossing.initialisers import Permutation
from flossing.surrogates import SuperSpike


def test_binary_step_is_its_equation(key):
    cell = fl.BinaryCell(INPUTS, UNITS, key=key)
    state, input = normal(UNITS), normal(INPUTS)
    w, u, b = map(np.asarray, (cell.recurrent_weight, cell.input_weight, cell.bias))
    active = np.asarray(state) > 0
    assert 0 < active.sum() < UNITS
    close(cell(state, input), w @ active + u @ input + b)
    np.testing.assert_array_equal(cell.output(state), active)


def test_binary_jacobian_is_weights_times_surrogate_derivatives(key):
    cell = fl.BinaryCell(INPUTS, UNITS, surrogate=SuperSpike(2.0, peak=0.7), key=key)
    state = normal(UNITS)
    slopes = 0.7 / (2 * np.abs(state) + 1) ** 2
    expected = np.asarray(cell.recurrent_weight) @ np.diag(slopes)
    close(jacobian(cell, state, normal(INPUTS)), expected)


def test_centred_is_the_same_network_with_other_biases(key):
    plain, centred = (fl.BinaryCell(INPUTS, UNITS, centred=c, key=key) for c in (False, True))
    state, bits = normal(UNITS), (normal(INPUTS) > 0) * 1.0
    shift = (plain.recurrent_weight.sum(1) + plain.input_weight.sum(1)) / 2
    close(centred(state, bits) + shift, plain(state, bits))
    np.testing.assert_array_equal(centred.output(state), np.asarray(plain.output(state)) - 0.5)
    close(jacobian(centred, state, bits), jacobian(plain, state, bits))


@over("centred", [False, True])
def test_stochastic_units_are_active_where_the_uniform_number_is_below(centred, key):
    noise = SigmoidNoise(3.0)
    cell = fl.BinaryCell(INPUTS, UNITS, escape=noise, centred=centred, key=key)
    assert cell.noise_size == UNITS
    membrane, input, uniform = normal(UNITS), normal(INPUTS), np.linspace(0.1, 0.9, UNITS)
    state = cell(cell.initial_state(), Noisy(input, jax.numpy.asarray(uniform)))
    w, u, b = map(np.asarray, (cell.recurrent_weight, cell.input_weight, cell.bias))
    half = 0.5 * centred
    close(state.membrane, w @ (np.zeros(UNITS) - half) + u @ (input - half) + b)
    active = uniform < 1 / (1 + np.exp(-3 * np.asarray(membrane)))
    assert 0 < active.sum() < UNITS
    state = state._replace(membrane=membrane)
    np.testing.assert_array_equal(cell.output(state), active - half)
    new = cell(state, Noisy(input, jax.numpy.asarray(uniform)))
    close(new.membrane, w @ (active - half) + u @ (input - half) + b)


def test_the_jacobian_of_stochastic_units_has_the_slope_of_the_probability(key):
    cell = fl.BinaryCell(INPUTS, UNITS, escape=SigmoidNoise(2.0), key=key)
    membrane, noise = normal(UNITS), cell.initial_state().noise

    def step(membrane):
        input = Noisy(normal(INPUTS), jax.numpy.full(UNITS, 0.5))
        return cell(NoisyBinaryState(membrane, noise), input).membrane

    p = 1 / (1 + np.exp(-2 * np.asarray(membrane)))
    expected = np.asarray(cell.recurrent_weight) @ np.diag(2 * p * (1 - p))
    close(jax.jacfwd(step)(membrane), expected)


def test_with_steep_noise_the_network_is_the_deterministic_one(key):
    steep = fl.BinaryCell(INPUTS, UNITS, escape=SigmoidNoise(1e9), key=key)
    plain = fl.with_escape(steep, None)
    inputs = normal(30, INPUTS)
    noise = with_noise(steep, inputs, key=key)
    # The first step leaves no activity behind in one network, and finds a membrane of 0 in the other: none.
    np.testing.assert_array_equal(steep.over_time(noise), plain.over_time(inputs))


def test_numbers_that_decide_on_activity_are_no_tangent_directions(key):
    cell = fl.BinaryCell(INPUTS, UNITS, escape=SigmoidNoise(), key=key)
    inputs = with_noise(cell, normal(30, INPUTS), key=key)
    spectrum = eqx.filter_eval_shape(
        fl.lyapunov_spectrum, cell, cell.initial_state(), inputs, key=key
    )
    assert spectrum.exponents.shape == (UNITS,)


def test_states_of_the_other_kind_are_refused(key, untyped):
    noisy = fl.BinaryCell(INPUTS, UNITS, escape=SigmoidNoise(), key=key)
    plain = fl.with_escape(noisy, None)
    with raises(TypeError, "state: expected a NoisyBinaryState, as initial_state() is, got Array"):
        noisy.output(plain.initial_state())
    with raises(TypeError, "state: expected an array, got NoisyBinaryState."):
        plain(noisy.initial_state(), normal(INPUTS))


@pytest.mark.slow
def test_delay_lines_have_equal_surrogate_exponents(key, x64):
    """A centred network whose matrix is a permutation, without inputs and biases: ln(g sg'(g / 2))."""
    cell = fl.BinaryCell(
        1, 12, surrogate=SuperSpike(1.0), recurrent=Permutation(3.0), input_gain=0.0,
        bias_range=0.0, centred=True, key=key,
    )  # fmt: skip
    start = cell(cell.initial_state(key=key), jax.numpy.zeros(1))
    options = {"renormalise_every": 1, "key": key}
    found = fl.lyapunov_spectrum(cell, start, jax.numpy.zeros((40, 1)), **options).exponents
    np.testing.assert_allclose(found, np.log(3 / 2.5**2), rtol=1e-12)


@functools.cache
def start_values():
    """A function of sharpness and keys: leading exponents of networks driven by random bits."""

    def first_exponent(sharpness, key):
        cell_key, bit_key, state_key, basis_key = jax.random.split(key, 4)
        cell = fl.BinaryCell(1, 80, surrogate=SuperSpike(sharpness), key=cell_key)
        bits = jax.random.bernoulli(bit_key, 0.5, (350, 1)).astype(float)
        state = cell.initial_state(key=state_key)
        return fl.lyapunov_spectrum(
            cell, state, bits, num_exponents=1, state_warmup=25, warmup=25,
            renormalise_every=1, key=basis_key,
        ).exponents[0]  # fmt: skip

    return jax.jit(jax.vmap(first_exponent, (None, 0)))


@pytest.mark.slow
@over(("sharpness", "published"), [(0.5, -0.21), (1.0, -0.49)])
def test_binary_networks_start_with_the_published_first_exponent(sharpness, published, key):
    exponents = start_values()(sharpness, jax.random.split(key, 9))
    # Networks of 80 units differ by a standard deviation of 0.05, so the mean of nine, as in the
    # figure, is known to 0.017: three of these.
    np.testing.assert_allclose(exponents.mean(), published, rtol=0, atol=0.05)
