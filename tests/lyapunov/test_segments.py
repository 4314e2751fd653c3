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
    """A loss in segments of three intervals, longer than asked for, its gradient, and a weight."""
    with jax.enable_x64(True):
        loss, weight = loss_of_weight(27, 3, 7, warmup=3)
        first = lambda w: loss(w)[0]  # noqa: E731
        yield first, jax.jit(jax.grad(first)), weight


@pytest.mark.slow
def test_gradient_is_that_of_finite_differences(driven, x64):
    loss, gradient, weight = driven
    shifts = 1e-5 * np.eye(weight.size).reshape(-1, *weight.shape)
    values = jax.jit(jax.vmap(loss))(np.concatenate([weight[None] + shifts, weight[None] - shifts]))
    expected = (values[: weight.size] - values[weight.size :]) / 2e-5
    found = gradient(weight).ravel()
    assert np.linalg.norm(found - expected) < 1e-6 * np.linalg.norm(expected)


@pytest.mark.slow
def test_forward_mode_vmap_and_second_derivatives(driven, x64):
    loss, gradient, weight = driven
    direction = jax.random.normal(KEY, weight.shape)
    slope = jax.jit(lambda w: jax.jvp(loss, (w,), (direction,))[1])(weight)
    close(slope, jnp.sum(gradient(weight) * direction))
    stored, _ = loss_of_weight(27, 3, 1, warmup=3)

    def second_of(loss):
        return lambda w: jax.jvp(jax.value_and_grad(loss), (w,), (direction,))

    both = jnp.stack([weight, 0.9 * weight])
    (values, slopes), (_, second) = jax.jit(jax.vmap(second_of(loss)))(both)
    close(slopes, np.stack([gradient(w) for w in both]))
    alone = jax.jit(second_of(lambda w: stored(w)[0]))
    for i, w in enumerate(both):
        (value, slope), (_, expected) = alone(w)
        close((values[i], slopes[i]), (value, slope))
        np.testing.assert_allclose(second[i], expected, rtol=0, atol=1e-11 * np.abs(expected).max())


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
            moved, cell.initial_state(), inputs, num_exponents=6, renormalise_every=1,
            store_every=store_every, key=KEY,
        )  # fmt: skip

    return gradient.lower(cell.recurrent_weight).compile().memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_memory_grows_like_the_square_root_of_time():
    stored = 4 * 1600 * 6 * 128  # the tangents of all steps
    short, long = (temporary_bytes(steps, every) for steps, every in [(400, 20), (1600, 40)])
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
