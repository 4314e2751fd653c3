"""Norms over the whole range of a dtype, against NumPy's in extended precision."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import example, given, settings, strategies as st

from flossing._norms import clipped, log_norm, norm, power_of_two, tree_norm, with_norm
from flossing.experiments.rate.target_exponents import polyak_descent
from flossing.optimisers import clip_by_array_norm, clip_by_global_norm

exponents = st.floats(-37, 37)
entries = st.lists(
    st.floats(-1, 1).filter(lambda x: x == 0 or abs(x) > 1e-3), min_size=1, max_size=9
)


@settings(deadline=None, max_examples=60)
@given(entries, exponents)
def test_norm_and_its_logarithm(values, exponent):
    x = np.float32(np.array(values) * 10.0**exponent)
    x[np.abs(x) < np.finfo(np.float32).tiny] = 0
    exact = np.sqrt(np.sum(x.astype(np.longdouble) ** 2))
    assert float(norm(jnp.asarray(x))) == pytest.approx(float(exact), rel=1e-6)
    with np.errstate(divide="ignore"):
        assert float(log_norm(jnp.asarray(x))) == pytest.approx(float(np.log(exact)), abs=2e-5)


def test_logarithm_of_a_norm_that_has_no_room():
    largest = jnp.full(100, 3e38)
    assert np.isinf(norm(largest))
    assert float(log_norm(largest)) == pytest.approx(np.log(3e38) + np.log(10), rel=1e-6)


def test_where_squares_have_room_nothing_is_rounded():
    x = jax.random.normal(jax.random.key(0), (64, 33))
    np.testing.assert_array_equal(norm(x, axis=1), jnp.sqrt(jnp.sum(jnp.square(x), 1)))


@pytest.mark.parametrize("size", [1.2e-38, 1e-30, 1.0, 3.9, 1e30, 3.4e38, 0.0, np.inf, np.nan])
def test_power_of_two(size):
    scale = float(power_of_two(jnp.float32(size)))
    assert np.log2(scale) == round(np.log2(scale))
    if np.isfinite(size) and size:
        assert 1 / 8 <= size / scale <= 8
        assert np.isfinite(np.float32(1) / np.float32(scale))
    else:
        assert scale == 1


def test_gradients_of_norms_point_along_the_vector_at_every_size():
    for size in (1e-37, 1e-20, 1.0, 1e20, 1e37):
        x = jnp.asarray([3 * size, 4 * size])
        np.testing.assert_allclose(jax.grad(norm)(x), [0.6, 0.8], rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(norm)(jnp.zeros(2)), 0)


def test_special_values():
    assert np.isnan(norm(jnp.array([1.0, np.nan])))
    assert np.isinf(norm(jnp.array([1.0, np.inf])))
    assert float(tree_norm({})) == 0
    assert float(norm(jnp.zeros((0,)))) == 0
    assert float(tree_norm({"a": jnp.array([3e20]), "b": jnp.array([4e20])})) == pytest.approx(5e20)


@settings(deadline=None, max_examples=30)
@given(exponents, st.floats(-3, 3))
@example(37.0, -3.0)  # a quotient of 2e-41 has no room
@example(-37.0, 3.0)
def test_a_new_norm_keeps_the_direction(exponent, wanted):
    x = jnp.asarray(np.array([3.0, 4.0]) * 10.0**exponent, jnp.float32)
    np.testing.assert_allclose(
        with_norm(x, 10.0**wanted), np.array([0.6, 0.8]) * 10.0**wanted, rtol=1e-5
    )


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e20, 1e30])
def test_optimisers_take_gradients_of_every_size(size):
    gradient = {"w": jnp.array([3.0, 4.0]) * size, "b": jnp.zeros(2)}

    def first(optimiser, **more):
        return optimiser.update(gradient, optimiser.init(gradient), gradient, **more)[0]["w"]

    direction = np.array([0.6, 0.8])
    for clip in (clip_by_array_norm, clip_by_global_norm):
        expected = direction * min(0.03, 5 * size)
        np.testing.assert_allclose(first(clip(0.03)), expected, rtol=1e-5)
    loss = jnp.float32(0.5e-3 * min(size, 1e30))  # Newton's step is 2 loss / slope long
    step = first(polyak_descent(1.0), value=loss)
    expected = min(1.0, 2 * float(loss) / (5 * size))
    np.testing.assert_allclose(step, -expected * direction, rtol=1e-5)


def test_clipping_by_global_norm_is_that_of_optax_where_squares_have_room():
    gradient = {"a": jnp.arange(4.0), "b": jnp.ones((2, 2))}
    for limit in (0.5, 100.0):
        ours, theirs = (
            clip(limit).update(gradient, optax.EmptyState())[0]
            for clip in (clip_by_global_norm, optax.clip_by_global_norm)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, theirs)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_gradients_whose_norm_has_no_room_are_clipped_and_keep_their_dtype(dtype):
    size = float(jnp.finfo(dtype).max) / 1.1
    gradient = {"a": jnp.array([size, size], dtype), "b": jnp.array([0.0, size], jnp.float32)}
    together = clipped(gradient, 0.03)
    assert [x.dtype for x in together.values()] == [dtype, jnp.float32]
    direction = np.array([1, 1, 0, 1]) * 0.03 / np.sqrt(3)
    found = np.concatenate([np.asarray(x, float) for x in together.values()])
    np.testing.assert_allclose(found, direction, atol=0.03 * float(jnp.finfo(dtype).eps))
    alone = clipped(gradient["a"], 1.0)
    np.testing.assert_allclose(np.asarray(alone, float), 1 / np.sqrt(2), rtol=1e-2)


def test_complex_numbers_have_the_norm_of_their_parts():
    gradient = jnp.array([3 + 4j, 0])
    assert float(norm(gradient)) == pytest.approx(5)
    np.testing.assert_allclose(clipped(gradient, 1.0), [0.6 + 0.8j, 0], rtol=1e-6)
    assert clipped(gradient, 10.0).dtype == gradient.dtype
