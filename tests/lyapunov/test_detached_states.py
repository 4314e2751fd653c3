"""Derivatives that go back through each state for one step only."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl

STEPS, WARMUP, BASIS_WARMUP = 24, 3, 5


def cell(kind=fl.TanhCell, **options):
    return kind(1, 6, key=jax.random.key(1), **options)


def loop(weight, cell, state, inputs, basis):
    """Exponents by a plain loop with dense Jacobians, each state a constant for the step after it."""
    cell = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)

    def move(state, u):
        return cell(jax.lax.stop_gradient(state), u), None

    def turn(carry, u):
        state, basis = carry
        q, r = jnp.linalg.qr(jax.jacfwd(cell)(state, u) @ basis)
        sign = jnp.sign(jnp.diagonal(r))
        return (move(state, u)[0], q * sign[None]), jnp.log(jnp.diagonal(r) * sign)

    state, _ = jax.lax.scan(move, state, inputs[:WARMUP])
    _, logs = jax.lax.scan(turn, (state, basis), inputs[WARMUP:])
    return logs[BASIS_WARMUP:].mean(0)


def spectrum(weight, cell, state, inputs, basis, **options):
    cell = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)
    options = {"state_warmup": WARMUP, "warmup": BASIS_WARMUP, "detach_states": True} | options
    return fl.lyapunov_spectrum(cell, state, inputs, basis=basis, **options).exponents


def problem(cell, k=3):
    keys = jax.random.split(jax.random.key(2), 3)
    state = jax.random.normal(keys[0], (6,))
    inputs = jax.random.normal(keys[1], (STEPS, 1))
    basis = jnp.linalg.qr(jax.random.normal(keys[2], (6, k)))[0]
    return cell.recurrent_weight, cell, state, inputs, basis


@pytest.mark.parametrize(
    ("kind", "every"),
    [
        (fl.TanhCell, 1),
        (fl.BinaryCell, "auto"),
    ],
)
def test_gradients_are_those_of_a_loop_with_constant_states(x64, kind, every):
    given = problem(cell(kind))

    def loss(exponents):
        return jnp.sum(jnp.square(exponents) * jnp.arange(1, 4))

    ours, mine = jax.jit(
        jax.value_and_grad(lambda w: loss(spectrum(w, *given[1:], renormalise_every=every)))
    )(given[0])
    theirs, expected = jax.jit(jax.value_and_grad(lambda w: loss(loop(w, *given[1:]))))(given[0])
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-9 * np.abs(expected).max())


@pytest.mark.slow
def test_exponents_are_the_same_and_gradients_are_not(x64):
    given = problem(cell())

    @partial(jax.jit, static_argnums=1)
    def exponents_and_slope(weight, detach):
        run = lambda w: spectrum(w, *given[1:], renormalise_every=1, detach_states=detach)  # noqa: E731
        exponents, pull = jax.vjp(run, weight)
        return exponents, pull(jnp.eye(3)[0])[0]

    (detached, one), (whole, other) = (exponents_and_slope(given[0], d) for d in (True, False))
    np.testing.assert_array_equal(detached, whole)
    assert np.abs(one - other).max() > 0.1 * np.abs(other).max()


@pytest.mark.slow
def test_forward_and_reverse_mode_are_those_of_such_a_loop_with_rare_renormalisation(x64):
    given = problem(cell())
    direction = jnp.cos(jnp.arange(given[0].size)).reshape(given[0].shape)

    def both(exponents):
        @jax.jit
        def modes(weight):
            found, pull = jax.vjp(exponents, weight)
            slopes = pull(jnp.arange(1.0, 4.0))[0]
            return found, slopes, jax.jvp(exponents, (weight,), (direction,))[1]

        return modes(given[0])

    ours, mine, forward = both(lambda w: spectrum(w, *given[1:], renormalise_every=4))
    theirs, expected, derivatives = both(lambda w: loop(w, *given[1:]))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    np.testing.assert_allclose(mine, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    np.testing.assert_allclose(forward, derivatives, rtol=1e-9, atol=1e-9 * np.abs(mine).max())


@pytest.mark.slow
def test_flossing_with_constant_states_settles_at_the_target():
    """A binary network, whose surrogate gradients through time would not let the exponent settle."""
    key = jax.random.key(5)
    cell = fl.BinaryCell(1, 40, key=key)
    rate = 3e-3

    @jax.jit
    def update(weight, key):
        input_key, basis_key = jax.random.split(key)
        inputs = jax.random.bernoulli(input_key, 0.5, (80, 1)).astype(weight.dtype)

        def loss(weight):
            new = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)
            return fl.flossing_loss(
                new, new.initial_state(), inputs, num_exponents=1, warmup=20,
                detach_states=True, key=basis_key, has_aux=True,
            )  # fmt: skip

        (_, info), gradient = jax.value_and_grad(loss, has_aux=True)(weight)
        return weight - rate * jnp.sign(gradient), info.exponents[0]

    weight, found = cell.recurrent_weight, []
    for i in range(120):
        weight, exponent = update(weight, jax.random.fold_in(key, i))
        found.append(float(exponent))
    assert found[0] < -0.2
    assert abs(np.mean(found[-30:])) < 0.05
