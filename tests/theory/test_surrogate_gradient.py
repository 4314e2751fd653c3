"""Replaced derivatives: against chain rules written by hand, the library's own path, finite differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

import flossing as fl
from flossing import theory
from flossing.surrogates import Sigmoid, SuperSpike

pytestmark = pytest.mark.usefixtures("x64")


def output(net):
    return net()


def logistic(beta):
    return Sigmoid(beta, normalise="area")


def chain_rule(p, forward, backward):
    """The two-path net's gradient, written out."""
    w, v1, v2, u1, u2 = p

    def s(z):
        return expit(forward * z)

    def slope(z):
        e = expit(backward * z)
        return backward * e * (1 - e)

    h = s(w)
    a1, a2 = s(v1 * h), s(v2 * h)
    top = slope(u1 * a1 + u2 * a2)
    d1, d2 = top * u1 * slope(v1 * h), top * u2 * slope(v2 * h)
    return np.array([(d1 * v1 + d2 * v2) * slope(w), d1 * h, d2 * h, top * a1, top * a2])


POINT = (0.3, -0.4, 0.9, 0.7, -0.2)


@pytest.mark.parametrize(("forward", "backward"), [(7.0, 2.0), (2.0, 2.0), (1e4, 5.0)])
def test_gradient_of_the_two_path_net_is_the_chain_rule(forward, backward):
    net = theory.TwoPathNet(POINT, forward)
    found = theory.surrogate_gradient(output, net, surrogate=logistic(backward))
    np.testing.assert_allclose(
        found.parameters, chain_rule(POINT, forward, backward), rtol=1e-10, atol=1e-14
    )
    declared = theory.TwoPathNet(POINT, theory.logistic_step(forward, backward))
    same = jax.grad(lambda p: eqx.tree_at(lambda n: n.parameters, declared, p)())(net.parameters)
    np.testing.assert_allclose(same, found.parameters, rtol=1e-12)


def test_true_gradient_ignores_what_is_declared():
    net = theory.TwoPathNet(POINT, theory.logistic_step(7.0, 2.0))
    found = theory.true_gradient(output, net)
    np.testing.assert_allclose(found.parameters, chain_rule(POINT, 7.0, 7.0), rtol=1e-10)


@pytest.fixture(scope="module")
def lif():
    """A spiking network, what drives it, and a loss of its states."""
    with jax.enable_x64(True):
        cell = fl.LIFCell(
            2, 3, threshold=0.1, input_gain=3.0, surrogate=SuperSpike(10.0), key=jax.random.key(3)
        )
        # Excited neurons, which spike.
        cell = eqx.tree_at(lambda c: c.input_weight, cell, jnp.abs(cell.input_weight))
        inputs = jnp.asarray(np.random.default_rng(0).random((12, 2)) < 0.4, float)

        def loss(cell, inputs):
            def step(state, input):
                state = cell(state, input)
                return state, (cell.output(state), state.synapse)

            spikes, synapse = jax.lax.scan(step, cell.initial_state(), inputs)[1]
            return jnp.square(synapse).mean() + jnp.square(spikes.sum() / 12 - 1)

        yield cell, inputs, loss


def test_gradient_of_a_spiking_network_is_that_of_one_built_with_the_other_surrogate(lif):
    cell, inputs, loss = lif
    other = SuperSpike(3.0, peak=0.8)
    found = theory.surrogate_gradient(loss, cell, inputs, surrogate=other)
    built = eqx.tree_at(lambda c: c.surrogate, cell, other)
    known = eqx.filter_grad(loss)(built, inputs)
    own = eqx.filter_grad(loss)(cell, inputs)
    for name in ("recurrent_weight", "input_weight"):
        np.testing.assert_allclose(getattr(found, name), getattr(known, name), rtol=1e-12)
        assert jnp.abs(getattr(own, name) - getattr(known, name)).max() > 1e-3
    assert loss(theory.with_surrogate(cell, other), inputs) == loss(cell, inputs)


def test_result_has_the_structure_of_the_network(lif):
    cell, inputs, loss = lif
    cell = eqx.tree_at(lambda c: c.surrogate, cell, SuperSpike(jnp.asarray(10.0)))
    found = theory.surrogate_gradient(loss, cell, inputs)
    shapes = [jax.tree.structure(x, is_leaf=lambda x: x is None) for x in (found, cell)]
    assert shapes[0] == shapes[1]
    assert found.surrogate.sharpness is None
    moved = eqx.apply_updates(cell, found)
    assert moved.surrogate.sharpness == 10


def test_derivative_of_the_surrogate_gradient_is_its_true_one(lif):
    cell, inputs, loss = lif

    def field(weight):
        net = eqx.tree_at(lambda c: c.recurrent_weight, cell, weight)
        return theory.surrogate_gradient(loss, net, inputs, surrogate=SuperSpike(3.0))

    weight = cell.recurrent_weight
    direction = jnp.asarray(np.random.default_rng(1).normal(size=weight.shape))
    field = jax.jit(lambda w, f=field: f(w).recurrent_weight)
    found = jax.jvp(field, (weight,), (direction,))[1]
    # No spike changes within so small a step; a central difference errs by about 1e-8 here.
    difference = (field(weight + 1e-5 * direction) - field(weight - 1e-5 * direction)) / 2e-5
    assert jnp.abs(found).max() > 1e-2
    np.testing.assert_allclose(found, difference, rtol=1e-5, atol=1e-7)


def test_function_of_a_tuple_with_its_nonlinearity():
    def loss(network):
        weight, spike = network
        return spike(weight).sum()

    weight = jnp.array([-0.2, 0.1])
    network = (weight, SuperSpike(10.0))
    assert theory.surrogate_gradient(loss, network)[0].tolist() == pytest.approx([1 / 9, 1 / 4])
    found = theory.surrogate_gradient(
        loss, network, surrogate=lambda old: SuperSpike(2 * old.sharpness)
    )
    assert found[0].tolist() == pytest.approx([1 / 25, 1 / 9])
    assert theory.true_gradient(loss, network)[0].tolist() == [0, 0]


def test_smooth_steps_make_a_network_differentiable():
    def value(w):
        return theory.with_smooth_steps((w, SuperSpike(10.0)), logistic(4.0))[1](w)

    w = jnp.asarray(0.3)
    np.testing.assert_allclose(value(w), 1 / (1 + np.exp(-1.2)), rtol=1e-14)
    difference = (value(w + 1e-5) - value(w - 1e-5)) / 2e-5
    np.testing.assert_allclose(jax.grad(value)(w), difference, rtol=1e-9)
    np.testing.assert_allclose(
        jax.grad(jax.grad(value))(w), 16 * -np.tanh(0.6) / (4 * np.cosh(0.6) ** 2), rtol=1e-12
    )


def test_smooth_step_says_what_it_is():
    step = theory.logistic_step(100.0, 15.0)
    assert step.describe()["forward"]["sharpness"] == 100
    assert step.describe()["backward"]["sharpness"] == 15
    assert (step.sharpness, step.area) == (15, pytest.approx(1))
    assert step.half_width == pytest.approx(float(logistic(15.0).half_width))
    np.testing.assert_allclose(step.derivative(jnp.zeros(1)), 15 / 4)
