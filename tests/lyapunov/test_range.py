"""Steps that grow or shrink by more than squares have room for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import flossing as fl
from flossing.lyapunov._orthonormalise import orthonormalise

FACTORS = jax.tree_util.Partial(lambda factors, x, u: factors * x)
"""A diagonal map, whose factors are arguments of one compiled program."""


def diagonal(factors):
    return jax.tree_util.Partial(FACTORS.func, jnp.asarray(factors, jnp.float32))


def times(matrix, state, input):
    return matrix @ state


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-36, 36), min_size=3, max_size=3))
def test_spectrum_of_a_diagonal_map_at_every_size(decades):
    factors = np.float32(10.0 ** np.array(decades))
    found = fl.lyapunov_spectrum(diagonal(factors), jnp.zeros(3), num_steps=5, basis=jnp.eye(3))
    np.testing.assert_allclose(found.exponents, np.log(factors.astype(float)), rtol=2e-6, atol=1e-5)


@pytest.mark.parametrize(
    ("every", "size"),  # three steps of 1e-20 would leave float32 themselves
    [(1, 1e-20), (1, 1e20), ("auto", 1e-20), ("auto", 1e20), (3, 1e-10), (3, 1e10)],
)
@pytest.mark.parametrize("k", [pytest.param(1, marks=pytest.mark.slow), 6])
def test_spectrum_of_a_rotation_times_a_factor(size, k, every, key):
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    step = jax.tree_util.Partial(times, jnp.asarray(size * rotation, jnp.float32))
    found = fl.lyapunov_spectrum(
        step, jnp.zeros(6), num_exponents=k, num_steps=20, renormalise_every=every, key=key
    )
    np.testing.assert_allclose(found.exponents, np.log(size), atol=2e-5)


def test_renormalising_rarely_is_renormalising_at_every_step(key):
    cell = fl.TanhCell(1, 40, recurrent=fl.initialisers.Gaussian(0.5), key=key)
    rarely, always = (
        fl.lyapunov_spectrum(
            cell, cell.initial_state(), jnp.zeros((300, 1)), num_exponents=1,
            renormalise_every=every, key=key,
        ).exponents
        for every in (50, 1)
    )  # fmt: skip
    np.testing.assert_allclose(rarely, always, atol=1e-5)


def test_gradients_of_exponents_do_not_depend_on_the_size_of_a_step():
    """d(log factor)/d(factor) times the factor is 1 for each of three exponents."""

    def total(factors):
        step = jax.tree_util.Partial(FACTORS.func, factors)
        spectrum = fl.lyapunov_spectrum(step, jnp.zeros(3), num_steps=4, basis=jnp.eye(3))
        return spectrum.exponents.sum()

    gradient = jax.jit(jax.grad(total))
    for size in np.float32([1e-25, 1e-20, 1.0, 1e20, 1e25]):
        factors = np.float32([3.0, 2.0, 1.0]) * size
        np.testing.assert_allclose(factors * gradient(factors), 1, rtol=1e-5)


@pytest.mark.parametrize("exact", [True, False])
def test_factors_of_rows_of_any_length(exact):
    """Rows of very different lengths: growth is the logarithm of each length, and rows are orthonormal."""
    lengths = np.float32([1e30, 1e-30, 1e-3, 1e10, 1e-36])
    random = np.random.default_rng(1)
    rows = np.linalg.qr(random.normal(size=(9, 5)))[0].T + 0.1 * random.normal(size=(5, 9))
    factorised = jax.jit(orthonormalise, static_argnums=2)
    factors = factorised(np.float32(lengths[:, None] * rows), None, exact)
    expected = np.log(np.abs(np.diagonal(np.linalg.qr(rows.T)[1]))) + np.log(lengths.astype(float))
    assert factors.alive.all()
    np.testing.assert_allclose(factors.log_growth, expected, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(factors.vectors @ factors.vectors.T, np.eye(5), atol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_gradient_norms_and_singular_values_at_every_size(size, key):
    step = diagonal([size, 2 * size, 3 * size])
    logs = fl.gradient_norms(step, jnp.zeros(3), num_steps=4, loss=lambda x: 1e-20 * x[1], log=True)
    expected = np.log(1e-20) + np.log(2 * size) * np.arange(4, -1, -1)
    np.testing.assert_allclose(logs, expected, rtol=1e-6, atol=2e-5)
    values = fl.log_singular_values(step, jnp.zeros(3), num_steps=4, key=key)
    np.testing.assert_allclose(values, 4 * np.log([3 * size, 2 * size, size]), rtol=1e-6)


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_covariant_vectors_at_every_size(size, key):
    matrix = size * jnp.asarray([[2.0, 1.0], [0.0, 0.5]])
    step = jax.tree_util.Partial(times, matrix)
    found = fl.covariant_vectors(step, jnp.zeros(2), num_steps=60, warmup=20, tail=20, key=key)
    np.testing.assert_allclose(found.exponents, np.log(size) + np.log([2, 0.5]), atol=1e-4)
    second = np.asarray(found.vectors[5, :, 1])
    np.testing.assert_allclose(second[0] / second[1], -1 / 1.5, rtol=1e-3)
