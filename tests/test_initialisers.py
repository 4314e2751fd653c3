"""Recurrent initialisers against the statistics they promise."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.initialisers import (
    Gaussian,
    Identity,
    Initialiser,
    Orthogonal,
    Permutation,
    Ring,
    Sparse,
    apply_dale,
    dale_signs,
)

over = pytest.mark.parametrize

N = 400
ALL = [
    Gaussian(1.5),
    Gaussian(1.5, mean=2.0),
    Orthogonal(1.5),
    Identity(1.5),
    Permutation(1.5),
    Ring(1.5),
    Sparse(1.5, 0.3),
]


def raises(error, message):
    return pytest.raises(error, match=re.escape(message))


# Statistical tolerances are five standard deviations of the statistic, derived beside each.


@over("gain", [0.5, 1.5])
@over("mean", [0.0, 2.0])
def test_gaussian_entries_have_the_mean_and_variance_of_their_formula(gain, mean, key):
    entries = np.asarray(Gaussian(gain, mean)(key, N))
    # The mean of N^2 normal numbers of standard deviation gain / sqrt(N).
    np.testing.assert_allclose(entries.mean(), mean / N, rtol=0, atol=5 * gain / N**1.5)
    # The variance of n normal numbers has the relative standard deviation sqrt(2 / n).
    np.testing.assert_allclose(entries.var(), gain**2 / N, rtol=5 * np.sqrt(2) / N)


@over("make", [Gaussian, lambda gain: Sparse(gain, 0.3)], ids=["gaussian", "sparse"])
@over("gain", [0.5, 1.5])
def test_eigenvalues_fill_a_disc_with_the_gain_as_radius(make, gain, key):
    radii = np.abs(np.linalg.eigvals(np.asarray(make(gain)(key, N)))) / gain
    # The edge of the circular law is blurred by about 1 / sqrt(N).
    np.testing.assert_allclose(radii.max(), 1, rtol=0, atol=3 / np.sqrt(N))
    # The number of eigenvalues within a disc varies like that of a random set of its boundary
    # layer: standard deviation below sqrt(sqrt(N)).
    np.testing.assert_allclose((radii < 0.5).mean(), 0.25, rtol=0, atol=5 * N**0.25 / N)


@over("gain", [0.5, 1.5])
def test_orthogonal_matrices_scale_every_direction_by_the_gain(gain, key, x64):
    matrix = Orthogonal(gain)(key, 20)
    # Rounding: 20 terms of at most gain^2.
    np.testing.assert_allclose(matrix.T @ matrix, gain**2 * np.eye(20), atol=1e-14 * gain**2)


def test_identity_is_the_identity_times_the_gain(key):
    np.testing.assert_array_equal(Identity(1.5)(key, 4), 1.5 * np.eye(4))
    np.testing.assert_array_equal(Identity()(key, 1), [[1]])


def test_a_ring_passes_a_bit_around_all_units(key):
    matrix = np.asarray(Ring(1.0)(key, 7))
    bit = np.eye(7)[0]
    seen = [bit := matrix @ bit for _ in range(7)]
    np.testing.assert_array_equal(np.argmax(seen, 1), [1, 2, 3, 4, 5, 6, 0])
    np.testing.assert_array_equal(np.sum(seen, 1), 1)


def test_permutations_have_one_entry_in_each_row_and_column(key):
    matrix = np.asarray(Permutation(1.5)(key, 30))
    for axis in (0, 1):
        np.testing.assert_array_equal((matrix == 1.5).sum(axis), np.ones(30))
    assert (matrix != 0).sum() == 30


def test_orthogonal_matrices_are_rotations_and_reflections(key):
    matrices = jax.vmap(lambda k: Orthogonal()(k, 20))(jax.random.split(key, 20))
    assert set(np.sign(np.linalg.det(matrices))) == {-1, 1}


@over("density", [0.05, 0.5])
def test_sparse_fraction_of_entries_is_the_density(density, key):
    filled = np.mean(np.asarray(Sparse(1.0, density)(key, N)) != 0)
    # Binomial: N^2 draws.
    np.testing.assert_allclose(
        filled, density, rtol=0, atol=5 * np.sqrt(density * (1 - density)) / N
    )


@over("density", [0.05, 0.5, 1.0])
def test_sparse_rows_have_the_summed_variance_of_dense_ones(density, key):
    rows = np.square(np.asarray(Sparse(1.5, density)(key, N))).sum(1)
    # An entry squared has the variance (3 / density - 1) gain^4 / N^2; N^2 of them are averaged.
    spread = 1.5**2 * np.sqrt(3 / density - 1) / N
    np.testing.assert_allclose(rows.mean(), 1.5**2, rtol=0, atol=5 * spread)


def test_sparse_matrix_of_density_one_is_dense(key):
    assert (Sparse(1.0, 1.0)(key, 20) != 0).all()


@over("initialiser", ALL, ids=repr)
def test_a_key_fixes_the_matrix(initialiser, key):
    first, again = initialiser(key, 20), initialiser(key, 20)
    other = initialiser(jax.random.key(1), 20)
    np.testing.assert_array_equal(first, again)
    assert np.allclose(first, other) == (initialiser in (Identity(1.5), Ring(1.5)))


@over("initialiser", ALL, ids=repr)
def test_many_keys_at_once_give_the_matrices_of_each(initialiser, key):
    keys = jax.random.split(key, 3)
    together = jax.vmap(lambda k: initialiser(k, 20))(keys)
    # Float32 rounding; the orthogonal one goes through a batched QR.
    np.testing.assert_allclose(together, jnp.stack([initialiser(k, 20) for k in keys]), atol=1e-5)


@over("initialiser", ALL, ids=repr)
def test_matrices_follow_the_default_precision(initialiser, key):
    def dtype():
        return jax.eval_shape(lambda: initialiser(key, 20)).dtype

    assert dtype() == jnp.float32
    with jax.enable_x64(True):
        assert dtype() == jnp.float64


@over("make", [Gaussian, Orthogonal, Identity, Permutation, Ring, Sparse])
def test_gain_zero_gives_no_coupling(make, key):
    np.testing.assert_array_equal(make(0.0)(key, 20), np.zeros((20, 20)))


@over("initialiser", ALL, ids=repr)
def test_shipped_initialisers_follow_the_protocol(initialiser):
    assert isinstance(initialiser, Initialiser)


def test_any_function_of_key_and_size_is_an_initialiser(key):
    def build():
        return fl.TanhCell(1, 4, recurrent=lambda key, size: 0.3 * jnp.eye(size), key=key)

    cell = jax.jit(build)()
    np.testing.assert_array_equal(cell.recurrent_weight, 0.3 * jnp.eye(4))


# Dale's law


@over(
    ("size", "excitatory", "expected"),
    [
        (5, 0.8, [1, 1, 1, 1, -1]),
        (3, 0.0, [-1, -1, -1]),
        (3, 1.0, [1, 1, 1]),
        (4, 0.3, [1, -1, -1, -1]),
    ],
)
def test_dale_signs_put_excitatory_units_first(size, excitatory, expected):
    np.testing.assert_array_equal(dale_signs(size, excitatory), expected)


def test_dale_sets_the_sign_of_columns_and_keeps_magnitudes(key):
    weight = Gaussian()(key, 20)
    mixed = jnp.sign(weight).min(0) < jnp.sign(weight).max(0)
    constrained = apply_dale(weight, 0.7)
    assert mixed.all()
    np.testing.assert_array_equal(jnp.sign(constrained), np.tile([1] * 14 + [-1] * 6, (20, 1)))
    np.testing.assert_array_equal(jnp.abs(constrained), jnp.abs(weight))


def test_dale_keeps_zeros_of_a_sparse_matrix(key):
    weight = Sparse(1.0, 0.3)(key, 20)
    np.testing.assert_array_equal(apply_dale(weight, 0.8) == 0, weight == 0)
