"""Covariant Lyapunov vectors: they move with the dynamics and grow with one exponent each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import flossing as fl


def _constant(matrix, state, input):
    return matrix @ state


@pytest.fixture
def non_normal():
    """A matrix with eigenvalues 1.5, .9, .4, -.2 and eigenvectors far from orthogonal."""
    eigenvectors = np.random.default_rng(0).normal(size=(4, 4))
    eigenvectors = eigenvectors / np.linalg.norm(eigenvectors, axis=0)
    matrix = eigenvectors @ np.diag([1.5, 0.9, 0.4, -0.2]) @ np.linalg.inv(eigenvectors)
    return matrix, eigenvectors


# The neighbouring moduli differ by a factor .6 at most: .6^100 < 1e-22, forward and backward.
@pytest.mark.parametrize("k", [2, 4])
def test_covariant_vectors_of_a_constant_matrix_are_its_eigenvectors(k, non_normal, key, x64):
    matrix, eigenvectors = non_normal
    result = fl.covariant_vectors(
        Partial(_constant, jnp.asarray(matrix)), jnp.zeros(4),
        num_exponents=k, num_steps=205, warmup=100, tail=100, key=key,
    )  # fmt: skip
    overlaps = np.abs(np.einsum("tnk,nk->tk", result.vectors, eigenvectors[:, :k]))
    np.testing.assert_allclose(overlaps, 1, rtol=0, atol=1e-10)


def test_covariant_vectors_of_a_constant_matrix_grow_with_its_eigenvalues(non_normal, key, x64):
    matrix, _ = non_normal
    result = fl.covariant_vectors(
        Partial(_constant, jnp.asarray(matrix)), jnp.zeros(4),
        num_steps=205, warmup=100, tail=100, key=key,
    )  # fmt: skip
    np.testing.assert_allclose(result.exponents, np.log([1.5, 0.9, 0.4, 0.2]), rtol=0, atol=1e-10)


@pytest.fixture
def driven(network, dense_jacobians, key, x64):
    """Covariant vectors of a driven GRU over 20 of 60 steps, and the Jacobians of those steps."""
    cell, state, inputs = network("gru", steps=60)
    result = fl.covariant_vectors(cell, state, inputs, state_warmup=5, warmup=15, tail=20, key=key)
    start = jax.tree.map(lambda x: x[0], result.states)
    return cell, inputs[20:40], result, np.asarray(dense_jacobians(cell, start, inputs[20:40]))


def test_the_jacobian_maps_covariant_vectors_onto_the_next_ones(driven):
    _, _, result, jacobians = driven
    vectors = np.asarray(result.vectors)
    image = jacobians @ vectors[:-1]
    image = image / np.linalg.norm(image, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(np.sum(image * vectors[1:], axis=1)), 1, rtol=0, atol=1e-12)


def test_local_exponents_are_the_log_growth_of_the_vectors(driven):
    _, _, result, jacobians = driven
    growth = np.linalg.norm(jacobians @ np.asarray(result.vectors)[:-1], axis=1)
    np.testing.assert_allclose(result.local_exponents, np.log(growth), rtol=0, atol=1e-10)


def test_covariant_vectors_have_unit_length(driven):
    np.testing.assert_allclose(np.linalg.norm(driven[2].vectors, axis=1), 1, rtol=0, atol=1e-12)


def test_there_is_one_more_time_than_steps_in_the_stretch(driven):
    assert driven[2].vectors.shape == (21, 4, 4)
    assert driven[2].local_exponents.shape == (20, 4)


def test_states_are_the_trajectory_that_the_vectors_belong_to(driven):
    cell, inputs, result, _ = driven
    expected = jax.vmap(cell)(result.states[:-1], inputs)
    np.testing.assert_allclose(result.states[1:], expected, rtol=0, atol=1e-14)


def test_first_covariant_vector_grows_with_the_first_local_exponent(driven, network, key):
    cell, state, inputs = network("gru", steps=60)
    spectrum = fl.lyapunov_spectrum(
        cell, state, inputs[:40], state_warmup=5, warmup=15, num_windows=20, key=key
    )
    expected = spectrum.finite_time[:, 0]
    np.testing.assert_allclose(driven[2].local_exponents[:, 0], expected, rtol=0, atol=1e-12)


def henon(state, input):
    x, y = state
    return jnp.array([1 - 1.4 * x**2 + y, 0.3 * x])


@pytest.fixture(scope="module")
def henon_vectors():
    with jax.enable_x64(True):
        result = fl.covariant_vectors(
            henon, jnp.array([0.1, 0.1]), num_steps=340, state_warmup=100, warmup=40, tail=40,
            key=jax.random.key(0),
        )  # fmt: skip
        states, vectors = np.asarray(result.states), np.asarray(result.vectors)
    return states, vectors


def henon_jacobians(states):
    zero = np.zeros(len(states))
    rows = [[-2.8 * states[:, 0], zero + 1], [zero + 0.3, zero]]
    return np.array(rows).transpose(2, 0, 1)


def test_stable_vector_of_the_henon_map_is_what_its_future_contracts_most(henon_vectors):
    # Over 10 steps the two singular values are a factor e^15 apart at least, which leaves a squared
    # angle of e^-30, below 1e-12.
    states, vectors = henon_vectors
    jacobians = henon_jacobians(states)
    for time in range(0, 150, 12):
        ahead = np.linalg.multi_dot(jacobians[time : time + 10][::-1])
        contracted = np.linalg.svd(ahead)[2][-1]
        assert abs(contracted @ vectors[time, :, 1]) == pytest.approx(1, abs=1e-12)


def test_unstable_vector_of_the_henon_map_is_what_its_past_stretched_most(henon_vectors):
    states, vectors = henon_vectors
    jacobians = henon_jacobians(states)
    for time in range(10, 160, 12):
        before = np.linalg.multi_dot(jacobians[time - 10 : time][::-1])
        stretched = np.linalg.svd(before)[0][:, 0]
        assert abs(stretched @ vectors[time, :, 0]) == pytest.approx(1, abs=1e-12)


def test_covariant_vectors_of_the_henon_map_are_neither_parallel_nor_orthogonal(henon_vectors):
    _, vectors = henon_vectors
    angles = np.degrees(np.arccos(np.abs(np.sum(vectors[..., 0] * vectors[..., 1], axis=1))))
    assert angles.min() > 0.1
    assert np.median(angles) < 80


def test_lost_directions_have_no_covariant_vectors(key):
    matrix = jnp.diag(jnp.array([2.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match=r"1 of 3 directions were lost.*at most 2"):
        fl.covariant_vectors(Partial(_constant, matrix), jnp.zeros(3), num_steps=5, key=key)
