"""The penalty on growing and shrinking errors against dense Jacobians and cases with known growth."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.tasks import Copy
from flossing.training import Training, begin, jacobian_penalty, train_block
from flossing.training.jacobian_penalty import no_nudges, nudged, penalty_gradient

TIME, UNITS = 6, 4


@pytest.fixture
def network(x64, key):
    cell = fl.TanhCell(1, UNITS, key=key)
    return fl.Network(cell, 1, state_warmup=5, key=key)


def normal(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_a_rotation_that_scales(gain, x64, key):
    """Every error grows by the gain in a step, whatever it is and whatever the state."""
    matrix = gain * jax.random.orthogonal(key, UNITS)
    errors = jnp.exp(-200 * jnp.arange(TIME))[:, None] * normal(TIME, UNITS)  # to 1e-434: zero
    found = jacobian_penalty(
        lambda s, u: matrix @ s, normal(TIME, UNITS), jnp.zeros((TIME, 1)), errors
    )
    np.testing.assert_allclose(found, (gain - 1) ** 2, atol=1e-14)


def test_no_errors_no_penalty(x64):
    zeros = jnp.zeros((TIME, UNITS))
    assert float(jacobian_penalty(lambda s, u: 2 * s, zeros, jnp.zeros((TIME, 1)), zeros)) == 0


def test_against_dense_jacobians(network):
    states, inputs, errors = normal(TIME, UNITS), normal(TIME, 1), normal(TIME, UNITS)
    terms = []
    for t in range(1, TIME):
        dense = jax.jacfwd(lambda s, t=t: network.cell(s, inputs[t]))(states[t - 1])
        growth = np.linalg.norm(dense.T @ errors[t]) / np.linalg.norm(errors[t])
        terms.append((growth - 1) ** 2)
    found = jacobian_penalty(network.cell, states, inputs, errors)
    np.testing.assert_allclose(found, np.mean(terms), rtol=1e-12)


def test_nudges_of_zero_change_nothing_and_find_the_errors(network):
    """The gradient for a nudge is what the loss makes of a state that starts there."""
    inputs = normal(TIME, 1)
    zero = no_nudges(network, TIME)
    outputs, states = nudged(network, inputs, zero)
    np.testing.assert_allclose(outputs, network(inputs), rtol=1e-13)
    errors = jax.grad(lambda n: (nudged(network, inputs, n)[0] ** 2).sum())(zero)

    def rest(state):
        """Loss of the last three steps from the state before them on."""
        here = (network.cell.output(state) @ network.readout_weight.T + network.readout_bias) ** 2
        return here.sum() + (network(inputs[4:], state) ** 2).sum()

    np.testing.assert_allclose(errors[3], jax.grad(rest)(states[3]), rtol=1e-10)


def test_its_gradient_is_that_of_the_direct_dependence(network):
    """Finite differences with states and errors held."""
    states, inputs, errors = normal(2, TIME, UNITS), normal(2, TIME, 1), normal(2, TIME, UNITS)
    gradient = penalty_gradient(network, states, inputs, errors)
    direction = normal(UNITS, UNITS)

    def mean(step):
        cell = eqx.tree_at(
            lambda c: c.recurrent_weight, network.cell, replace_fn=lambda w: w + step * direction
        )
        penalties = [jacobian_penalty(cell, *x) for x in zip(states, inputs, errors, strict=True)]
        return float(np.mean(penalties))

    expected = (mean(1e-5) - mean(-1e-5)) / 2e-5
    assert abs(expected) > 1e-3
    found = float((gradient.recurrent_weight * direction).sum())
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    np.testing.assert_array_equal(gradient.bias, np.zeros(UNITS))


def test_training_with_it_brings_errors_closer_to_constant(key):
    """With nothing to learn (rate of the readout aside) shrinking errors are what it can change."""
    task, keys = Copy(3), jax.random.split(key, 1)
    nets = eqx.filter_vmap(
        lambda k: fl.Network(
            fl.TanhCell(1, 8, recurrent=fl.initialisers.Gaussian(0.3), key=k), 1, key=k
        )
    )(keys)
    plain = Training(epochs=40, batch_size=4, num_steps=12, learning_rate=1e-2)
    norms, losses = [], []
    for weight in (0.0, 10.0):
        training = dataclasses.replace(plain, jacobian_penalty=weight)
        start = begin(nets, training, fl.Flossing("none"))
        state, metrics = train_block(start, keys, jnp.asarray(40), 40, task, training)
        assert not np.asarray(metrics.skipped).any()
        norms.append(np.linalg.norm(state.networks.cell.recurrent_weight))
        losses.append(float(metrics.loss[0, 0]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert norms[1] > 1.3 * norms[0]
