"""The penalty on growing and shrinking errors against dense Jacobians and cases with known growth."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.cells import TanhSpec
from flossing.experiments.lab.jacobian_penalty import PenalisedSpec, jacobian_penalty, nudged
from flossing.optimisers import Adam
from flossing.runs import RunConfig
from flossing.tasks import Copy
from flossing.training import begin, train_block

TIME, UNITS, TRIALS = 6, 4, 3
compiled_penalty = eqx.filter_jit(jacobian_penalty)


@pytest.fixture
def network(x64, key):
    cell = PenalisedSpec(UNITS, weight=2.0 / TRIALS).build(1, key=key)
    return fl.Network(cell, 1, state_warmup=5, key=key)


def normal(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape))


def times(matrix, state, input):
    return matrix @ state


@pytest.mark.parametrize("gain", [0.5, 1.0, 2.0])
def test_a_rotation_that_scales(gain, x64):
    """Every error grows by the gain in a step, whatever it is and whatever the state."""
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(UNITS, UNITS)))[0]
    step = jax.tree_util.Partial(times, jnp.asarray(gain * rotation))
    errors = np.exp(-200.0 * np.arange(TIME))[:, None] * normal(TIME, UNITS)  # to 1e-434: zero
    found = compiled_penalty(step, normal(TIME, UNITS), jnp.zeros((TIME, 1)), errors)
    np.testing.assert_allclose(found, (gain - 1) ** 2, atol=1e-14)


def test_no_errors_no_penalty(x64):
    zeros = jnp.zeros((TIME, UNITS))
    step = jax.tree_util.Partial(times, 2 * jnp.eye(UNITS))
    assert float(compiled_penalty(step, zeros, jnp.zeros((TIME, 1)), zeros)) == 0


@pytest.mark.slow
def test_against_dense_jacobians(network):
    states, inputs, errors = normal(TIME, UNITS), normal(TIME, 1), normal(TIME, UNITS)
    dense = jax.jit(jax.vmap(jax.jacfwd(network.cell)))(states[:-1], inputs[1:])
    pulled = np.einsum("tij,ti->tj", dense, errors[1:])
    growth = np.linalg.norm(pulled, axis=1) / np.linalg.norm(errors[1:], axis=1)
    terms = (growth - 1) ** 2
    found = compiled_penalty(network.cell, states, inputs, errors)
    np.testing.assert_allclose(found, np.mean(terms), rtol=1e-12)


def test_nudges_of_zero_find_the_errors(network):
    """The gradient for a nudge is what the loss makes of a state that starts there."""
    inputs, cell, start = normal(TIME, 1), network.cell, network.initial_state
    zero = jnp.zeros((TIME, UNITS))

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def errors_and_states(nudges):
        states = nudged(cell, start, inputs, nudges)
        return (states**2).sum(), states

    errors, states = errors_and_states(zero)

    def rest(state):
        """Loss of the last three steps from the state before them on."""
        return (state**2).sum() + (nudged(cell, state, inputs[4:], zero[4:]) ** 2).sum()

    np.testing.assert_allclose(errors[3], jax.jit(jax.grad(rest))(states[3]), rtol=1e-10)


@pytest.mark.slow
def test_gradients_have_the_direct_dependence_of_the_penalty_in_them(network, key):
    """The loss, and twice the mean penalty of trials by finite differences with states and errors held."""
    task = Copy(2, num_steps=TIME)
    trials = task.batch(jax.random.key(1), 0, TRIALS)
    plain = fl.Network(TanhSpec(UNITS).build(1, key=key), 1, state_warmup=5, key=key)
    np.testing.assert_array_equal(network(trials.inputs[0]), plain(trials.inputs[0]))
    cell, start = plain.cell, plain.initial_state

    def loss(network):
        return task.loss(jax.vmap(network)(trials.inputs), trials)

    def loss_and_states(nudges):
        states = jax.vmap(lambda i, n: nudged(cell, start, i, n))(trials.inputs, nudges)
        return task.loss(states @ plain.readout_weight.T + plain.readout_bias, trials), states

    zero = jnp.zeros((TRIALS, TIME, UNITS))
    errors, states = jax.jit(jax.grad(loss_and_states, has_aux=True))(zero)
    direction = normal(UNITS, UNITS)

    def penalty(step):
        moved = eqx.tree_at(
            lambda c: c.recurrent_weight, cell, replace_fn=lambda w: w + step * direction
        )
        each = zip(states, trials.inputs, errors, strict=True)
        return float(np.mean([compiled_penalty(moved, *trial) for trial in each]))

    expected = 2.0 * (penalty(1e-5) - penalty(-1e-5)) / 2e-5
    assert abs(expected) > 1e-3
    gradient = eqx.filter_jit(eqx.filter_grad(loss))
    together, alone = gradient(network), gradient(plain)
    more = together.cell.recurrent_weight - alone.cell.recurrent_weight
    np.testing.assert_allclose((more * direction).sum(), expected, rtol=1e-6)
    np.testing.assert_allclose(together.readout_weight, alone.readout_weight, rtol=1e-12)
    np.testing.assert_allclose(together.initial_state, alone.initial_state, rtol=1e-12)
    # The bias does not act on a Jacobian whose states are held.
    np.testing.assert_allclose(together.cell.bias, alone.cell.bias, rtol=1e-12)


@pytest.mark.slow
def test_training_with_it_brings_errors_closer_to_constant():
    """Errors shrink in a network of small gain; larger weights are what makes them shrink less."""
    norms, losses = [], []
    for weight in (0.0, 10.0):
        cell = PenalisedSpec(8, gain=0.3, weight=weight / 4)
        config = RunConfig(
            task=Copy(3, num_steps=12),
            cell=cell,
            schedule=None,
            optimiser=Adam(learning_rate=1e-2),
            epochs=40,
            batch_size=4,
        )
        state = begin(config.networks(), config.trainer)
        state, metrics = train_block(state, config.keys(), 40, 40, config.trainer)
        assert not np.asarray(metrics.skipped).any()
        norms.append(np.linalg.norm(state.networks.cell.recurrent_weight))
        losses.append(float(metrics.loss[0, 0]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert norms[1] > 1.3 * norms[0]
