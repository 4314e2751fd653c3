"""``store_every``: the same exponents and gradients, from less memory."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import flossing as fl
from flossing.lyapunov import _segments
from flossing.lyapunov._segments import scan_in_segments, steps_between_stores

KEY = jax.random.key(0)


def loss_of_weight(steps, every, store_every, starts=None, **options):
    """The flossing loss of a small tanh network as a function of its recurrent weight; and a weight."""
    cell = fl.TanhCell(1, 5, key=KEY)
    shape = (steps, 1) if starts is None else (starts, steps, 1)
    inputs = jax.random.normal(jax.random.key(1), shape)
    state = jax.random.normal(jax.random.key(2), (*shape[:-2], 5))

    def loss(weight):
        moved = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)
        return fl.flossing_loss(
            moved, state, inputs, num_exponents=3, num_starts=starts, renormalise_every=every,
            store_every=store_every, key=KEY, has_aux=True, **options,
        )  # fmt: skip

    return loss, cell.recurrent_weight


def close(found, expected):
    """Equal to rounding over some hundred steps, leaf by leaf."""
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("steps", "every", "store_every", "options"),
    [
        (31, 1, 4, {"state_warmup": 9, "warmup": 5, "starts": 2}),
        pytest.param(31, 3, 7, {}, marks=pytest.mark.slow),
        # Segments of two blocks, one block and 13 steps besides.
        pytest.param(333, "auto", 128, {}, marks=pytest.mark.slow),
    ],
)
def test_values_and_gradients_are_those_of_all_steps_stored(
    steps, every, store_every, options, x64
):
    segments, weight = loss_of_weight(steps, every, store_every, **options)
    stored, _ = loss_of_weight(steps, every, 1, **options)
    found, expected = (
        jax.jit(jax.value_and_grad(loss, has_aux=True))(weight) for loss in (segments, stored)
    )
    assert np.abs(expected[1]).max() > 1e-3
    close(found, expected)


@pytest.fixture(scope="module")
def driven():
    """A loss in segments of 4 of 23 steps, and a weight."""
    with jax.enable_x64(True):
        loss, weight = loss_of_weight(23, 1, 4, warmup=3)
        yield jax.jit(lambda w: loss(w)[0]), weight


@pytest.mark.slow
def test_gradient_is_that_of_finite_differences(driven, x64):
    loss, weight = driven
    shifts = 1e-5 * jnp.eye(weight.size).reshape(-1, *weight.shape)
    values = jax.vmap(loss)(jnp.concatenate([weight[None] + shifts, weight[None] - shifts]))
    expected = (values[: weight.size] - values[weight.size :]) / 2e-5
    found = jax.grad(loss)(weight).ravel()
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)


@pytest.mark.slow
def test_forward_mode_vmap_and_second_derivatives(driven, x64):
    loss, weight = driven
    direction = jax.random.normal(KEY, weight.shape)
    gradient = jax.grad(loss)
    close(jax.jvp(loss, (weight,), (direction,))[1], jnp.sum(gradient(weight) * direction))
    both = jnp.stack([weight, 0.9 * weight])
    close(jax.vmap(gradient)(both), [jnp.stack([gradient(w) for w in both])])
    stored, _ = loss_of_weight(23, 1, 1, warmup=3)
    second, expected = (
        jax.jit(lambda w, g=g: jax.jvp(g, (w,), (direction,))[1])(weight)
        for g in (gradient, jax.grad(lambda w: stored(w)[0]))
    )
    np.testing.assert_allclose(second, expected, rtol=0, atol=1e-11 * np.abs(expected).max())


def turn(carry, x):
    """A scan's turn that is not linear in anything."""
    number, count = carry
    number = jnp.sin(number * x["factor"]) + 0.3
    return (number, count + 1), {"number": number, "count": count}


@settings(max_examples=5, deadline=None)
@given(length=st.integers(1, 30), per_segment=st.none() | st.integers(1, 35))
def test_any_length_in_any_segments_is_a_scan(length, per_segment):
    factors = np.float32(1 + 0.1 * np.cos(np.arange(length)))

    def value(start, factors, scan):
        carry, out = scan(turn, (start, jnp.asarray(0)), {"factor": factors}, length)
        return carry[0] + jnp.sum(out["number"] ** 2), (carry, out)

    @jax.jit
    def both(*start):
        scans = (lambda *a: scan_in_segments(*a, per_segment), jax.lax.scan)
        return [jax.value_and_grad(value, (0, 1), has_aux=True)(*start, scan) for scan in scans]

    found, expected = both(0.7, factors)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=3e-6)


def temporary_bytes(steps, store_every):
    """What the compiled gradient needs for itself."""
    cell = fl.TanhCell(1, 128, key=KEY)
    inputs = jnp.zeros((steps, 1))

    @jax.jit
    @jax.grad
    def gradient(weight):
        moved = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)
        return fl.flossing_loss(
            moved, cell.initial_state(), inputs, num_exponents=6, store_every=store_every, key=KEY
        )

    return gradient.lower(cell.recurrent_weight).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_memory_grows_like_the_square_root_of_time():
    stored = temporary_bytes(1600, 1)
    short, long = (temporary_bytes(steps, every) for steps, every in [(400, 20), (1600, 40)])
    assert stored > 4 * 1600 * 6 * 128
    assert long < 2.2 * short
    assert long < stored / 5


def test_auto_stores_everything_that_fits():
    assert steps_between_stores("auto", 300, 80, 75, jnp.float32) == 1
    assert steps_between_stores("auto", 100_000, 256, 32, jnp.float32) == 224  # sqrt(50 000)
    assert steps_between_stores("auto", 10_000, 256, 32, jnp.float32) == 1
    assert steps_between_stores("auto", 10_000, 256, 32, jnp.float64, copies=8) == 71
    assert steps_between_stores(7, 100_000, 256, 32, jnp.float32) == 7


@pytest.mark.parametrize("starts", [None, 2])
def test_auto_makes_segments_beyond_its_limit(starts, monkeypatch, x64):
    def program(store_every):
        loss, weight = loss_of_weight(50, 1, store_every, starts=starts)
        return str(jax.make_jaxpr(jax.grad(lambda w: loss(w)[0]))(weight))

    numbers = (starts or 1) * 50 * (3 * (5 + 3) + 5)
    monkeypatch.setattr(_segments, "MOST_BYTES", 8 * numbers)
    assert program("auto") == program(1)
    monkeypatch.setattr(_segments, "MOST_BYTES", 8 * numbers - 1)
    assert program("auto") == program(5) != program(1)
