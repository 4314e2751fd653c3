"""What all cells share."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from cell_helpers import (
    CELLS,
    INPUTS,
    UNITS,
    close,
    every_cell,
    normal,
    over,
    random_state,
    scan,
    stack,
)
from jax.flatten_util import ravel_pytree

import flossing as fl


@over("name", CELLS)
def test_start_state_is_zero_without_a_key(name, key):
    two = ("linear", "lstm", "lif", "integrate and fire, synapses")
    variables = 3 if name == "lif, adaptive" else 2 if name in two else 1
    state = CELLS[name](INPUTS, UNITS, key=key).initial_state()
    np.testing.assert_array_equal(ravel_pytree(state)[0], np.zeros(variables * UNITS))


@every_cell
def test_start_state_is_random_with_a_key(make, key):
    cell = make(INPUTS, UNITS, key=key)
    one, again = cell.initial_state(key=key), cell.initial_state(key=key)
    other = cell.initial_state(key=jax.random.key(1))
    assert eqx.tree_equal(one, again)
    assert not eqx.tree_equal(one, other)
    assert jax.tree.structure(one) == jax.tree.structure(cell.initial_state())


@over("make", [CELLS["tanh, post-activation"], fl.GRUCell, fl.LSTMCell])
def test_random_rates_lie_within_reach(make, key):
    state = ravel_pytree(make(4, 200, key=key).initial_state(key=key))[0]
    assert (jnp.abs(state) < 1).all()
    assert state.min() < -0.9
    assert state.max() > 0.9


def test_random_membranes_lie_between_rest_and_threshold(key):
    thresholds = jnp.repeat(jnp.asarray([0.5, 2.0]), 100)
    state = fl.LIFCell(4, 200, threshold=thresholds, key=key).initial_state(key=key)
    relative = state.membrane / thresholds
    assert (relative >= 0).all()
    assert (relative < 1).all()
    assert all(half.max() > 0.9 for half in jnp.split(relative, 2))
    np.testing.assert_array_equal(state.synapse, jnp.zeros(200))


@every_cell
def test_output_is_one_number_per_unit(make, key):
    cell = make(INPUTS, UNITS, key=key)
    state = random_state(cell)
    readable = dict.fromkeys((fl.TanhCell, fl.ReLUCell, fl.GRUCell), lambda s: s)
    readable[fl.LSTMCell] = lambda s: s.hidden
    readable[fl.LinearRecurrentCell] = lambda s: jnp.tanh(
        cell.output_weight @ jnp.concatenate([s.real, s.imaginary]) + cell.bias
    )
    if type(cell) in readable:
        close(cell.output(state), readable[type(cell)](state))
    else:
        assert set(np.unique(cell.output(state))) == {0, 1}
    assert cell.output(state).shape == (UNITS,)


@every_cell
def test_step_of_a_batch_is_the_batch_of_steps(make, key):
    cell = make(INPUTS, UNITS, key=key)
    states = [random_state(cell, seed) for seed in range(4)]
    states = jax.tree.map(lambda *x: jnp.stack(x), *states)
    inputs = normal(4, INPUTS)
    together = jax.vmap(cell)(states, inputs)
    for i in range(4):
        alone = cell(jax.tree.map(lambda x, i=i: x[i], states), inputs[i])
        picked = jax.tree.map(lambda x, i=i: x[i], together)
        close(ravel_pytree(picked)[0], ravel_pytree(alone)[0])


def test_many_networks_are_one_program(key):
    """Cells made under vmap are those made one by one, and run side by side."""
    keys = jax.random.split(key, 3)
    make = eqx.filter_vmap(lambda k: fl.LIFCell(INPUTS, UNITS, key=k))
    cells = eqx.filter_jit(make)(keys)
    state, input = random_state(fl.LIFCell(INPUTS, UNITS, key=key)), normal(INPUTS)
    together = eqx.filter_vmap(lambda cell: cell(state, input))(cells)
    for i, k in enumerate(keys):
        close(together.membrane[i], fl.LIFCell(INPUTS, UNITS, key=k)(state, input).membrane)


@over("make", [*CELLS.values(), None], ids=[*CELLS, "stack"])
def test_gradients_are_finite_and_reach_every_weight(make, key):
    cell = stack(key) if make is None else make(INPUTS, UNITS, key=key)

    def loss(arguments):
        cell, state = arguments
        states = scan(cell, state, inputs)
        return (jax.vmap(cell.output)(states) ** 2).sum()

    inputs = normal(20, INPUTS)
    by_cell, by_state = eqx.filter_jit(eqx.filter_grad(loss))((cell, random_state(cell)))
    for gradient in jax.tree.leaves((by_cell, by_state)):
        assert jnp.isfinite(gradient).all()
    for gradient in jax.tree.leaves(by_cell):
        assert (gradient != 0).any()


@every_cell
def test_cells_follow_the_default_precision(make, key):
    def build():
        cell = make(INPUTS, UNITS, key=key)
        return eqx.filter(cell, eqx.is_array), cell(cell.initial_state(key=key), jnp.ones(INPUTS))

    def dtypes():
        return {x.dtype for x in jax.tree.leaves(eqx.filter_eval_shape(build))}

    assert dtypes() == {jnp.dtype("float64")}
    with jax.enable_x64(False):
        assert dtypes() == {jnp.dtype("float32")}


@over("make", [fl.TanhCell, fl.ReLUCell, fl.GRUCell, fl.LSTMCell, fl.BinaryCell])
def test_input_weights_have_the_documented_spread(make, key):
    weight = make(4, 200, input_gain=3.0, key=key).input_weight
    # The relative error of a standard deviation from n numbers is sqrt(1 / 2n): five of these.
    np.testing.assert_allclose(weight.std(), 3 / 4, rtol=5 * math.sqrt(1 / (2 * weight.size)))


def test_lif_input_weights_have_the_documented_spread(key):
    weight = fl.LIFCell(4, 200, input_gain=3.0, key=key).input_weight
    np.testing.assert_allclose(weight.std(), 3 / 2, rtol=5 * math.sqrt(1 / (2 * weight.size)))


@over("make", [fl.TanhCell, fl.ReLUCell, fl.BinaryCell])
def test_biases_are_uniform_between_zero_and_their_range(make, key):
    bias = make(4, 200, bias_range=0.3, key=key).bias
    assert (bias >= 0).all()
    assert (bias <= 0.3).all()
    # The mean of n uniform numbers of standard deviation range / sqrt(12): five of these.
    np.testing.assert_allclose(bias.mean(), 0.15, atol=5 * 0.3 / math.sqrt(12 * 200))


def test_binary_default_recurrence_has_variance_two_over_n(key):
    weight = fl.BinaryCell(4, 200, key=key).recurrent_weight
    np.testing.assert_allclose(weight.var(), 2 / 200, rtol=5 * math.sqrt(2 / weight.size))
