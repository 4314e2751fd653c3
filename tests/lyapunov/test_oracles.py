"""Lyapunov exponents that are known exactly, or to many digits from the literature."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jax.tree_util import Partial
from scipy.linalg import block_diag, circulant
from scipy.special import digamma, polygamma

import flossing as fl

PROPERTY = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def matrix_step(state, matrix):
    return matrix @ state


def _constant(matrix, state, input):
    return matrix @ state


def constant_step(matrix):
    return Partial(_constant, jnp.asarray(matrix))


def random_orthogonal(size, seed):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def normal_matrix():
    angle = 1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    basis = random_orthogonal(4, 0)
    return basis @ block_diag(0.2, 1.5 * turn, -0.05) @ basis.T


def triangular_matrix():
    strictly_lower = np.tril(np.random.default_rng(1).normal(size=(4, 4)), -1)
    return strictly_lower + np.diag([0.5, -2.0, 0.1, 1.2])


LINEAR_MAPS = {
    "diagonal": np.diag([0.1, -1.2, 2.0, 0.5]),
    "lower triangular": triangular_matrix(),
    "upper triangular": triangular_matrix().T,
    "orthogonal": random_orthogonal(4, 2),
    "normal": normal_matrix(),
    "circulant": circulant([1.0, 0.7, 0.2, 0.1]),
}


@pytest.mark.parametrize("name", LINEAR_MAPS)
def test_exponents_of_a_linear_map_are_log_moduli_of_its_eigenvalues(name, key, x64):
    # 400 steps align the tangents: the closest moduli differ by a factor .60, and .60^400 < 1e-88.
    matrix = LINEAR_MAPS[name]
    spectrum = fl.lyapunov_spectrum(
        constant_step(matrix), jnp.zeros(len(matrix)), num_steps=450, warmup=400, key=key
    )
    expected = np.sort(np.log(np.abs(np.linalg.eigvals(matrix))))[::-1]
    np.testing.assert_allclose(spectrum.exponents, expected, rtol=0, atol=1e-12)


@PROPERTY
@given(seed=st.integers(0, 2**32 - 1), order=st.permutations([1.5, 0.8, 0.4]), upper=st.booleans())
def test_exponents_of_any_triangular_map_are_its_log_diagonal(seed, order, upper, key, x64):
    matrix = np.diag(order) + np.tril(np.random.default_rng(seed).uniform(-1, 1, (3, 3)), -1)
    matrix = matrix.T if upper else matrix
    spectrum = fl.lyapunov_spectrum(
        constant_step(matrix), jnp.zeros(3), num_steps=130, warmup=100, key=key
    )
    # Neighbouring eigenvalues differ by a factor .53 at least: .53^100 < 1e-27.
    np.testing.assert_allclose(spectrum.exponents, np.log([1.5, 0.8, 0.4]), rtol=0, atol=1e-12)


@PROPERTY
@given(factor=st.floats(1e-3, 1e3))
def test_multiplying_a_step_by_a_number_shifts_all_exponents_by_its_log(factor, key, x64):
    matrices = np.random.default_rng(3).normal(size=(20, 4, 4))
    original = fl.lyapunov_spectrum(matrix_step, jnp.zeros(4), matrices, key=key)
    scaled = fl.lyapunov_spectrum(matrix_step, jnp.zeros(4), factor * matrices, key=key)
    np.testing.assert_allclose(
        scaled.exponents - original.exponents, np.log(factor), rtol=0, atol=1e-12
    )


def ginibre_products(gain, size, steps, key):
    return gain * jax.random.normal(key, (steps, size, size)) / np.sqrt(size)


@pytest.mark.parametrize("gain", [0.7, 1.3])
def test_ginibre_products_have_the_digamma_spectrum(gain, key, x64):
    size, steps = 8, 10_000
    matrices = ginibre_products(gain, size, steps, jax.random.key(1))
    spectrum = fl.lyapunov_spectrum(matrix_step, jnp.zeros(size), matrices, key=key)
    half = (size - np.arange(size)) / 2
    expected = np.log(gain) + (digamma(half) + np.log(2 / size)) / 2
    # log R_ii is independent at each step, with variance trigamma(half) / 4.
    standard_error = np.sqrt(polygamma(1, half) / 4 / steps)
    assert np.all(np.abs(spectrum.exponents - expected) < 4 * standard_error)


def test_ginibre_exponents_have_slope_one_in_the_log_of_the_gain(key, x64):
    matrices = ginibre_products(1.0, 6, 50, jax.random.key(1))

    def exponents(log_gain):
        def step(state, matrix):
            return jnp.exp(log_gain) * matrix @ state

        return fl.lyapunov_spectrum(step, jnp.zeros(6), matrices, key=key).exponents

    np.testing.assert_allclose(jax.jit(jax.jacfwd(exponents))(0.3), np.ones(6), rtol=0, atol=1e-12)


def test_exponents_sum_to_the_log_determinant_at_every_single_step(
    network, dense_jacobians, key, x64
):
    """Of layers of tanh units, GRUs and LSTMs on each other."""
    cell, state, inputs = network("stack", steps=50)
    local = fl.lyapunov_spectrum(cell, state, inputs, num_windows=50, key=key).finite_time
    log_determinants = np.linalg.slogdet(dense_jacobians(cell, state, inputs))[1]
    # A share of up to 1e-11 per element of the basis, which the fast factorisation lacks in
    # orthonormality, is counted one step later.
    np.testing.assert_allclose(local.sum(1), log_determinants, rtol=0, atol=64 * 1e-11)


@pytest.mark.parametrize("steps", [1, 2])
def test_exponents_sum_to_the_mean_log_determinant_at_every_length(
    steps, network, dense_jacobians, key, x64
):
    cell, state, inputs = network("tanh", steps)
    spectrum = fl.lyapunov_spectrum(cell, state, inputs, key=key)
    log_determinants = np.linalg.slogdet(dense_jacobians(cell, state, inputs))[1]
    np.testing.assert_allclose(
        spectrum.exponents.sum(), log_determinants.mean(), rtol=0, atol=1e-10
    )


@pytest.mark.parametrize(("name", "directions"), [("lstm", 8), ("lif", 8)])
def test_every_variable_of_the_state_is_a_direction(name, directions, network, key, x64):
    cell, state, inputs = network(name)

    def spectrum(state):
        return fl.lyapunov_spectrum(cell, state, inputs, key=key).exponents

    assert jax.eval_shape(spectrum, state).shape == (directions,)


def henon(state, input):
    x, y = state
    return jnp.array([1 - 1.4 * x**2 + y, 0.3 * x])


@pytest.fixture(scope="module")
def henon_spectrum():
    with jax.enable_x64(True):
        spectrum = fl.lyapunov_spectrum(
            henon, jnp.array([0.1, 0.1]), num_steps=20_000, state_warmup=100, warmup=100,
            key=jax.random.key(0),
        )  # fmt: skip
        return np.asarray(spectrum.exponents), np.asarray(spectrum.standard_errors)


def test_henon_map_has_its_known_exponents(henon_spectrum):
    exponents, standard_errors = henon_spectrum
    assert np.all(np.abs(exponents - np.array([0.41922, -1.62319])) < 4 * standard_errors)
    assert np.all(standard_errors < 0.005)


def test_henon_exponents_sum_to_the_log_of_its_constant_determinant(henon_spectrum):
    np.testing.assert_allclose(henon_spectrum[0].sum(), np.log(0.3), rtol=0, atol=1e-12)


def lorenz(x):
    return jnp.array([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])


def runge_kutta(time_step, x, input):
    a = lorenz(x)
    b = lorenz(x + time_step / 2 * a)
    c = lorenz(x + time_step / 2 * b)
    d = lorenz(x + time_step * c)
    return x + time_step / 6 * (a + 2 * b + 2 * c + d)


@pytest.fixture(scope="module")
def lorenz_spectrum():
    with jax.enable_x64(True):
        return fl.lyapunov_spectrum(
            Partial(runge_kutta, 0.01),
            jnp.array([1.0, 1.0, 20.0]),
            num_steps=102_000,
            state_warmup=1000,
            warmup=1000,
            renormalise_every=5,
            time_step=0.01,
            key=jax.random.key(0),
        )


def test_lorenz_system_has_its_known_exponents_per_unit_time(lorenz_spectrum):
    errors = np.abs(np.asarray(lorenz_spectrum.exponents) - np.array([0.9056, 0.0, -14.5723]))
    assert np.all(errors < 4 * np.asarray(lorenz_spectrum.standard_errors))
    assert np.asarray(lorenz_spectrum.standard_errors).max() < 0.015


def test_lorenz_exponents_sum_to_the_divergence(lorenz_spectrum):
    # The error of fourth-order Runge-Kutta: 1.02e-4 here, 6.2e-6 (16 times less) at half the step.
    np.testing.assert_allclose(
        np.asarray(lorenz_spectrum.exponents).sum(), -41 / 3, rtol=0, atol=2e-4
    )


def test_lorenz_exponents_are_labelled_per_unit_time(lorenz_spectrum):
    assert lorenz_spectrum.unit == "nats per unit time"


def test_logistic_map_has_log_two_and_its_exact_correction_for_finite_time(key, x64):
    # |f'(x)| = 2 sqrt(f(x) (1 - f(x)) / (x (1 - x))) telescopes along the orbit.
    steps, start = 20_000, 0.3
    spectrum = fl.lyapunov_spectrum(
        lambda x, _: 4 * x * (1 - x), jnp.array([start]), num_steps=steps, key=key
    )
    end = float(spectrum.final_state[0])
    boundary = np.log(end * (1 - end) / (start * (1 - start))) / 2
    assert abs(boundary) < 20
    np.testing.assert_allclose(
        spectrum.exponents[0], np.log(2) + boundary / steps, rtol=0, atol=1e-11
    )


def test_tent_map_has_the_log_of_its_slope(key, x64):
    # With a slope of exactly 2 every binary floating-point orbit reaches 0 within 55 steps.
    slope = 2 - 1e-9
    spectrum = fl.lyapunov_spectrum(
        lambda x, _: slope * jnp.minimum(x, 1 - x), jnp.array([0.3]), num_steps=2000, key=key
    )
    assert 0 < float(spectrum.final_state[0]) < 1
    np.testing.assert_allclose(spectrum.exponents[0], np.log(2), rtol=0, atol=1e-9)


def test_silent_lif_neurons_decay_with_their_two_time_constants(key, x64):
    cell = fl.LIFCell(
        1,
        3,
        recurrent=fl.initialisers.Gaussian(0.0),
        membrane_time_constant=10.0,
        synapse_time_constant=5.0,
        key=key,
    )
    spectrum = fl.lyapunov_spectrum(
        cell, cell.initial_state(), jnp.zeros((450, 1)), warmup=400, key=key
    )
    # Tangents align like exp(-400 / 10), which is 4e-18.
    np.testing.assert_allclose(spectrum.exponents, [-0.1] * 3 + [-0.2] * 3, rtol=0, atol=1e-12)
