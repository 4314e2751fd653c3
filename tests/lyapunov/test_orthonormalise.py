"""Block Gram-Schmidt and Householder give the same factors where both may be used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.lyapunov import _orthonormalise
from flossing.lyapunov._gram_schmidt import BLOCK, GramSchmidt
from flossing.lyapunov._orthonormalise import orthonormalise


def matrix(k, n, lean, seed=0):
    """Rows at the angles that Q diag(e^0 ... e^-lean) P has, largest first."""
    random = np.random.default_rng(seed)
    left = np.eye(k) + np.tril(random.normal(size=(k, k)) / k**0.5, -1)
    right = np.linalg.qr(random.normal(size=(n, n)))[0][:k]
    return left @ (np.exp(-np.linspace(0, lean, k))[:, None] * right)


one_pass = jax.jit(GramSchmidt.of)
transform = jax.jit(GramSchmidt.transform)
factorised = jax.jit(orthonormalise, static_argnums=2)

SIZES = [(1, 1), (BLOCK, BLOCK), (BLOCK + 1, BLOCK + 1), (75, 80), (3 * BLOCK, 200)]


@pytest.mark.slow
@pytest.mark.parametrize(("k", "n"), SIZES)
def test_one_pass(k, n, x64):
    x = matrix(k, n, 3.0)
    first, exact = one_pass(x), factorised(x)
    assert first.enough
    np.testing.assert_allclose(first.vectors, exact.vectors, atol=1e-10)
    np.testing.assert_allclose(first.triangle, exact.triangle, atol=1e-12)
    triangle = np.asarray(first.triangle)
    np.testing.assert_allclose(triangle @ np.asarray(first.vectors), x, atol=1e-14)
    np.testing.assert_allclose(np.asarray(transform(first)) @ triangle, np.eye(k), atol=1e-11)
    assert abs(first.lean - exact.lean) < 1e-9


def test_what_is_missing_is_estimated(x64):
    for lean in (3.0, 9.0, 14.0):
        found = one_pass(jnp.asarray(matrix(75, 80, lean)))
        missing = np.linalg.norm(found.vectors @ found.vectors.T - np.eye(75))
        assert missing / 3 < found.missing < 3 * missing


@pytest.mark.parametrize(
    ("k", "lean"),
    [(BLOCK, 8.0), (75, 5.0)]
    + [
        pytest.param(k, lean, marks=pytest.mark.slow)
        for k in (BLOCK, 75)
        for lean in (2.0, 5.0, 8.0, 10.0)
        if (k, lean) not in ((BLOCK, 8.0), (75, 5.0))
    ],
)
def test_whatever_is_chosen_is_orthonormal_enough(k, lean):
    """In float32, whose limit is 1e-3; what is missing there the next factorisation counts."""
    x = jnp.asarray(matrix(k, 80, lean), jnp.float32)
    found = factorised(x, None, False)
    again = factorised(found.vectors)
    assert found.whole == 1
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(k), atol=1e-3)
    exact = np.log(np.abs(np.diagonal(np.linalg.qr(np.asarray(x, float).T)[1])))
    error = np.abs(found.log_growth + again.log_growth - exact)
    assert error.max() < 1e-6 * np.exp(lean) + 1e-5


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (3, 3)])
def test_short_and_long_rows_have_their_logarithms(shape):
    """Lengths whose squares float32 cannot hold, and those at the edge, one number alone included."""
    q = np.linalg.qr(np.random.default_rng(0).normal(size=shape[::-1]))[0].T
    for power in range(-34, 38):
        found = factorised(jnp.asarray(q * 10.0**power, jnp.float32), None, False)
        np.testing.assert_allclose(found.log_growth, power * np.log(10), rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(shape[0]), atol=1e-3)


def test_a_lost_direction_is_found_whatever_else_is_tried(x64):
    x = jnp.asarray(matrix(75, 80, 5.0)).at[40].set(0).at[70].set(0)
    chosen, exact = (factorised(x, None, exact).alive for exact in (False, True))
    np.testing.assert_array_equal(chosen, exact)
    assert chosen.sum() == 73


@pytest.mark.slow
def test_batches_of_batches_choose_as_one(x64, monkeypatch):
    """Under two ``vmap``s there is still a choice: no Householder where Gram-Schmidt is enough."""
    x = np.stack([matrix(40, 50, 3.0, seed) for seed in range(6)]).reshape(2, 3, 40, 50)
    expected = jax.jit(jax.vmap(jax.vmap(orthonormalise)))(x)

    def refuse(x, differentiated):
        def fail():
            raise AssertionError("Householder was run")

        jax.debug.callback(fail)
        return real(x, differentiated)

    real = _orthonormalise._householder
    monkeypatch.setattr(_orthonormalise, "_householder", refuse)
    _orthonormalise._fast_or_householder.cache_clear()
    fast = jax.jit(jax.vmap(jax.vmap(lambda x: orthonormalise(x, None, False))))(x)
    jax.effects_barrier()
    np.testing.assert_allclose(fast.vectors, expected.vectors, atol=1e-10)
    _orthonormalise._fast_or_householder.cache_clear()


@jax.jit
def derivatives(x, dx, weights, times):
    """Along ``x + t dx`` at the given times; at 0 by Householder and in reverse, and the second one."""

    def loss(t, exact=False):
        factors = orthonormalise(x + t * dx, None, exact)
        return jnp.sum(jnp.square(factors.log_growth)) + jnp.sum(weights * factors.vectors)

    def slope(t, exact=False):
        return jax.jvp(lambda t: loss(t, exact), (t,), (1.0,))[1]

    second = jax.jvp(slope, (0.0,), (1.0,))[1]
    return jax.lax.map(slope, times), slope(0.0, True), jax.grad(loss)(0.0), second


@pytest.mark.parametrize("lean", [1.0, 14.0])
def test_derivative(lean, x64):
    """Against that of Householder, and the second against differences of the first."""
    x, dx = matrix(40, 44, lean), matrix(40, 44, lean, 1)
    weights = np.random.default_rng(2).normal(size=(40, 44))
    step = 1e-4 * np.exp(-lean)
    slopes, exact, reverse, second = derivatives(x, dx, weights, np.array([0, step, -step]))
    np.testing.assert_allclose(slopes[0], exact, rtol=1e-7)
    np.testing.assert_allclose(reverse, exact, rtol=1e-7)
    np.testing.assert_allclose(second, (slopes[1] - slopes[2]) / (2 * step), rtol=1e-5)
