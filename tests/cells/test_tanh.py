"""The tanh network against equations and Jacobians written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import INPUTS, ROUNDING, UNITS, close, jacobian, normal, over, trajectory

import flossing as fl
from flossing.initialisers import Gaussian


@over("form", ["pre-activation", "post-activation"])
def test_tanh_step_is_its_equation(form, key):
    cell = fl.TanhCell(INPUTS, UNITS, form=form, key=key)
    state, input = normal(UNITS), normal(INPUTS)
    w, u, b = map(np.asarray, (cell.recurrent_weight, cell.input_weight, cell.bias))
    if form == "pre-activation":
        expected = w @ np.tanh(state) + u @ input + b
    else:
        expected = np.tanh(w @ state + u @ input + b)
    close(cell(state, input), expected)


@over("form", ["pre-activation", "post-activation"])
def test_tanh_jacobian_is_the_documented_one(form, key):
    cell = fl.TanhCell(INPUTS, UNITS, form=form, key=key)
    state, input = normal(UNITS), normal(INPUTS)
    w = np.asarray(cell.recurrent_weight)
    if form == "pre-activation":
        expected = w @ np.diag(1 - np.tanh(state) ** 2)
    else:
        expected = np.diag(1 - cell(state, input) ** 2) @ w
    close(jacobian(cell, state, input), expected)


@over("form", ["pre-activation", "post-activation"])
def test_leaky_step_moves_part_of_the_way(form, key):
    """And its Jacobian is the same mixture of the identity and that of the whole step."""
    whole = fl.TanhCell(INPUTS, UNITS, form=form, key=key)
    leaky = fl.TanhCell(INPUTS, UNITS, form=form, leak=0.3, key=key)
    state, input = normal(UNITS), normal(INPUTS)
    close(leaky(state, input), 0.7 * state + 0.3 * whole(state, input))
    expected = 0.7 * np.eye(UNITS) + 0.3 * jacobian(whole, state, input)
    close(jacobian(leaky, state, input), expected)


def test_exponents_of_leaky_units_without_recurrence(key):
    cell = fl.TanhCell(INPUTS, UNITS, leak=0.3, recurrent=Gaussian(0.0), key=key)
    spectrum = fl.lyapunov_spectrum(cell, normal(UNITS), normal(50, INPUTS), key=key)
    close(spectrum.exponents, np.full(UNITS, np.log(0.7)))


def both_forms(key):
    """The same network in both forms, started half a step apart, with random bits as inputs."""
    pre = fl.TanhCell(INPUTS, UNITS, recurrent=Gaussian(0.9), key=key)
    post = fl.TanhCell(INPUTS, UNITS, form="post-activation", recurrent=Gaussian(0.9), key=key)
    bits = jnp.asarray(np.random.default_rng(2).random((2000, INPUTS)) < 0.5, float)
    state = normal(UNITS)
    return pre, post, state, jnp.tanh(state), bits


def test_tanh_post_activation_is_the_tanh_of_the_pre_activation(key):
    pre, post, before, after, bits = both_forms(key)
    close(trajectory(post, after, bits[:50]), jnp.tanh(trajectory(pre, before, bits[:50])))


def test_tanh_forms_have_long_jacobians_that_are_conjugate(key):
    """J_post Phi'_0 = Phi'_T J_pre, with Phi' the diagonal matrix of the slopes of tanh."""
    pre, post, before, after, bits = both_forms(key)
    first, last = 1 - after**2, 1 - jnp.tanh(trajectory(pre, before, bits[:10])[-1]) ** 2

    def run(cell):
        return lambda state: jax.lax.scan(lambda s, x: (cell(s, x), None), state, bits[:10])[0]

    left = jax.jacfwd(run(post))(after) * first[None]
    right = last[:, None] * jax.jacfwd(run(pre))(before)
    assert jnp.abs(right).max() > 1e-6
    np.testing.assert_allclose(left, right, rtol=0, atol=ROUNDING * jnp.abs(right).max())


@pytest.mark.slow
def test_tanh_forms_have_the_same_exponents(key):
    """Up to what the slopes of tanh at both ends can do to volumes, divided by the time."""
    pre, post, before, after, bits = both_forms(key)
    slopes = 1 - after**2
    one = fl.lyapunov_spectrum(pre, before, bits, basis=jnp.eye(UNITS))
    two = fl.lyapunov_spectrum(post, after, bits, basis=jnp.diag(slopes))
    start, end = (
        np.cumsum(-np.sort(np.log(s))) for s in (slopes, 1 - np.tanh(one.final_state) ** 2)
    )
    difference = np.cumsum(two.exponents) - np.cumsum(one.exponents)
    # 2000 logarithms, each rounded to some 1e-15.
    assert (difference * len(bits) <= start + 1e-8).all()
    assert (difference * len(bits) >= -end - 1e-8).all()
    assert max(start[-1], end[-1]) / len(bits) < 0.01
