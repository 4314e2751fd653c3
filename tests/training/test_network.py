"""The network that is trained: what it computes, and which cells it takes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.training import Network


def test_outputs_are_a_linear_readout_of_the_state_after_each_input(key):
    network = Network(fl.TanhCell(2, 5, key=key), 3, key=key)
    inputs = jax.random.normal(key, (7, 2))
    state, expected = network.initial_state, []
    for u in inputs:
        state = network.cell(state, u)
        expected.append(network.readout_weight @ state + network.readout_bias)
    np.testing.assert_allclose(network(inputs), jnp.stack(expected), rtol=2e-5, atol=1e-6)


@pytest.mark.slow
def test_published_initialisation(key):
    """w_r ~ N(0, 1), not scaled by N; offset 0.001; state relaxed without input (4 standard errors)."""
    network = Network(fl.TanhCell(1, 2000, key=key), 1, key=key)
    assert abs(float(network.readout_weight.std()) - 1) < 4 / np.sqrt(2 * 2000)
    assert float(network.readout_bias[0]) == pytest.approx(0.001)
    relaxed = network.initial_state
    moved = network.cell(relaxed, jnp.zeros(1)) - relaxed
    unrelaxed = Network(fl.TanhCell(1, 2000, key=key), 1, state_warmup=0, key=key).initial_state
    jump = network.cell(unrelaxed, jnp.zeros(1)) - unrelaxed
    assert float(jnp.linalg.norm(moved)) < 0.2 * float(jnp.linalg.norm(jump))


class Wrapped(fl.Cell):
    inner: eqx.nn.GRUCell
    swapped: bool
    input_size: int = 3
    hidden_size: int = 4

    def __call__(self, state, input):
        return self.inner(state, input) if self.swapped else self.inner(input, state)

    def initial_state(self, *, key=None):
        return jnp.zeros(4)

    def output(self, state):
        return state


def test_what_the_message_says_works(key):
    inner = eqx.nn.GRUCell(3, 4, key=key)
    network = Network(Wrapped(inner, False), 2, key=key)
    inputs, state, expected = jax.random.normal(key, (5, 3)), network.initial_state, []
    for input in inputs:
        state = inner(input, state)
        expected.append(network.readout_weight @ state + network.readout_bias)
    np.testing.assert_allclose(network(inputs), jnp.stack(expected), rtol=1e-5, atol=1e-6)


def test_a_step_with_its_input_first_is_named(key, untyped):
    cell = Wrapped(eqx.nn.GRUCell(3, 4, key=key), True)
    message = r"cell: Wrapped takes \(input, state\); the order here is \(state, input\)."
    with pytest.raises(TypeError, match=message):
        Network(cell, 1, key=key)


@pytest.mark.parametrize("cell", [fl.TanhSpec, fl.GRUSpec, fl.LSTMSpec, fl.LinearSpec, fl.LIFSpec])
def test_fresh_networks_have_the_types_of_trained_ones(cell, key):
    """Else what a user's loop compiles for the first step is of no use for the second."""
    network = fl.Network(cell(3).build(1, key=key), 2, key=key)
    arrays = jax.tree.leaves(eqx.filter(network, eqx.is_array))
    assert not any(array.weak_type for array in arrays)
