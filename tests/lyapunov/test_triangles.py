"""Tiny Cholesky factors and inverses against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.lyapunov._triangles import cholesky, inverse


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_factor_and_inverse(size, x64):
    x = np.random.default_rng(size).normal(size=(3, size, size + 2))
    gram = x @ x.swapaxes(1, 2)
    triangle = jax.vmap(cholesky)(gram)
    np.testing.assert_allclose(triangle, np.linalg.cholesky(gram), atol=1e-12)
    np.testing.assert_allclose(jax.vmap(inverse)(triangle), np.linalg.inv(triangle), atol=1e-10)
    assert (np.triu(np.asarray(triangle), 1) == 0).all()


@pytest.mark.parametrize("size", [2, 4, 5])
def test_what_has_no_factor_shows(size, x64):
    lacking = jnp.eye(size).at[size - 1, size - 1].set(-1.0)
    assert np.isnan(cholesky(lacking)).any()
