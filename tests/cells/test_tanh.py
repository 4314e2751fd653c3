"""The tanh network against equations and Jacobians written by hand."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import INPUTS, ROUNDING, UNITS, close, jacobian, normal, over, trajectory

import flossing as fl
from flossing._noisy import Noisy
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


def by_stepping(cell, inputs, state):
    """What ``over_time`` returns, with the derivatives that JAX finds for the loop itself."""
    step = jax.vmap(cell)
    return jax.lax.scan(lambda s, u: (step(s, u),) * 2, state, inputs)[1]


@over(
    ("form", "leak", "dale"),
    [
        ("pre-activation", 1.0, None),
        ("pre-activation", 0.2, 0.8),
        ("post-activation", 1.0, 0.8),
        ("post-activation", 0.7, None),
    ],
)
def test_derivatives_over_time_are_those_of_stepping(form, leak, dale, key):
    """First ones by either mode, and products of the Hessian with a direction."""
    cell = fl.TanhCell(INPUTS, UNITS, form=form, leak=leak, dale=dale, key=key)
    given = cell, normal(12, 3, INPUTS), normal(3, UNITS)  # twelve steps of three trials
    weights = normal(12, 3, UNITS)
    direction = jax.tree.map(lambda x: normal(*x.shape), given)

    def of(states):
        return lambda given: (weights * states(*given) ** 2).sum()

    @jax.jit
    def derivatives(given, direction):
        ours = of(lambda cell, inputs, state: cell.over_time(inputs, state))
        theirs = of(by_stepping)
        return [
            (
                jax.value_and_grad(f)(given),
                jax.jvp(f, (given,), (direction,)),
                jax.jvp(jax.grad(f), (given,), (direction,))[1],
            )
            for f in (ours, theirs)
        ]

    ours, theirs = derivatives(given, direction)
    jax.tree.map(close, ours, theirs)


@over("form", ["pre-activation", "post-activation"])
def test_gradients_over_time_are_those_of_stepping_under_vmap(form, key):
    cell = fl.TanhCell(INPUTS, UNITS, form=form, key=key)
    inputs, state = normal(3, 12, INPUTS), normal(UNITS)
    weights = normal(3, 12, UNITS)

    def ours(cell):
        return (weights * jax.vmap(lambda u: cell.over_time(u, state))(inputs)).sum()

    def theirs(cell):
        start = jnp.broadcast_to(state, (3, UNITS))
        states = by_stepping(cell, jnp.swapaxes(inputs, 0, 1), start)
        return (weights * jnp.swapaxes(states, 0, 1)).sum()

    jax.tree.map(close, jax.grad(ours)(cell), jax.grad(theirs)(cell))


class Halved(fl.TanhCell):
    def __call__(self, state, input):
        return super().__call__(state, input) / 2


class Squared(fl.TanhCell):
    def output(self, state):
        return state**2


@over("kind", [fl.TanhCell, Halved, Squared])
def test_a_subclass_is_stepped_over_time_as_it_says(kind, key):
    cell, inputs, state = kind(INPUTS, UNITS, key=key), normal(12, INPUTS), normal(UNITS)
    expected = []
    for input in inputs:
        state = cell(state, input)
        expected.append(cell.output(state))
    close(cell.over_time(inputs, normal(UNITS)), jnp.stack(expected))


@over("form", ["pre-activation", "post-activation"])
def test_slopes_of_saturated_units_keep_their_digits(form, key):
    """Units at 4 to 6 have slopes of 1e-3 to 1e-5, of which 1 - tanh^2 keeps few digits in float32."""
    with jax.enable_x64(False):
        cell = fl.TanhCell(1, 3, form=form, recurrent=lambda key, n: jnp.eye(n), key=key)
        start, inputs = jnp.asarray([4.0, 5.0, 6.0]), jnp.zeros((1, 1))
        found = jax.jacfwd(lambda x: cell.over_time(inputs, x)[0])(start)
        np.testing.assert_allclose(found, jacobian(cell, start, inputs[0]), rtol=1e-6)


def test_what_has_no_derivative_changes_nothing(key):
    """Weights of integers, and an infinite input that saturates a unit."""
    cell = fl.TanhCell(1, 3, form="post-activation", key=key)
    whole = eqx.tree_at(lambda c: c.recurrent_weight, cell, jnp.eye(3, dtype=int))
    inputs = normal(5, 1)

    def loss(bias, cell, inputs):
        return (eqx.tree_at(lambda c: c.bias, cell, bias).over_time(inputs) ** 2).sum()

    close(
        jax.grad(loss)(cell.bias, whole, inputs),
        jax.grad(loss)(
            cell.bias, eqx.tree_at(lambda c: c.recurrent_weight, cell, jnp.eye(3)), inputs
        ),
    )
    infinite = inputs.at[2].set(jnp.inf)
    slope = jax.jvp(lambda b: loss(b, cell, infinite), (cell.bias,), (jnp.ones(3),))[1]
    assert slope == pytest.approx(float(jax.grad(loss)(cell.bias, cell, infinite).sum()), rel=1e-9)


def test_uniform_numbers_are_refused_as_for_other_cells(key):
    noisy = Noisy(normal(2, INPUTS), normal(2, INPUTS))
    with pytest.raises(TypeError, match="no layer is stochastic"):
        fl.TanhCell(INPUTS, UNITS, key=key).over_time(noisy)
