"""Who is told about leaves and rows that evolve alone, and who is not."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clocked import ONLY_HIDDEN, START, WEIGHT, N, network, with_clock

import flossing as fl
from flossing.lyapunov import _check_run


def told(step, state, inputs=None, **options):
    """What a user is told, without the addresses of lines."""
    _check_run._forward.clear()  # nothing is told twice
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        _check_run.check_run(step, state, inputs, 5 if inputs is None else None, **options)
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught if w.category is fl.StepWarning]


def test_clocks_and_traces_are_named():
    clock, trace = told(with_clock, START)
    assert clock.startswith("state['clock']: is no part of the dynamics")
    assert "multiplied by 1 in a step, which counts as 0 nats" in clock
    assert trace.startswith("state['trace']:")
    assert "0.99 in a step, which counts as -0.01005 nats" in trace
    assert told(with_clock, START, tangents=ONLY_HIDDEN) == []


def test_running_statistics_are_named():
    def step(state, input):
        hidden, (mean, variance) = state
        hidden = network(hidden, input)
        mean = 0.9 * mean + 0.1 * hidden.mean()
        return hidden, (mean, 0.9 * variance + 0.1 * jnp.square(hidden - mean).mean())

    mean, variance = told(step, (jnp.ones(N), (jnp.float32(0), jnp.float32(1))))
    assert mean.startswith("state[1][0]:")
    assert variance.startswith("state[1][1]:")


LAYERS = {
    "lstm": lambda key: fl.LSTMCell(3, 4, key=key),
    "recurrent lif": lambda key: fl.LIFCell(3, 4, key=key),
    "feedforward lif": lambda key: fl.LIFCell(3, 4, recurrent=None, key=key),
    "stack": lambda key: fl.Stack([fl.TanhCell(3, 4, key=key), fl.GRUCell(4, 2, key=key)]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_nobody_is_told_of_layers_gates_and_synapses(name):
    cell = LAYERS[name](jax.random.key(1))
    assert told(cell, cell.initial_state(), jnp.ones((5, 3))) == []


def test_filters_of_the_input_are_part_of_a_network():
    """A synapse is multiplied by a constant and feels no other leaf, but carries the input to others."""

    def step(state, input):
        membrane, synapse = state
        return jnp.tanh(
            0.8 * membrane + jnp.asarray(WEIGHT) @ membrane + synapse
        ), 0.5 * synapse + input

    assert told(step, (jnp.ones(N), jnp.zeros(N)), jnp.ones((5, N))) == []


def test_a_layer_that_nobody_feels_is_told_of_only_if_it_multiplies_by_a_constant(key):
    cell = fl.LSTMCell(3, N, key=key)

    def above(output):
        def step(state, input):
            below, top = state
            below = cell(below, input)
            return below, output(0.5 * top + cell.output(below))

        return step

    start = (cell.initial_state(), jnp.linspace(-1, 1, N))
    assert told(above(jnp.tanh), start, jnp.ones((5, 3))) == []
    (message,) = told(above(lambda x: x), start, jnp.ones((5, 3)))
    assert message.startswith("state[1]:")


def test_two_parts_that_are_both_alone_are_no_foreigners():
    assert told(lambda s, u: (0.5 * s[0], 0.9 * s[1]), (jnp.ones(2), jnp.ones(3))) == []


def test_a_batch_is_recognised():
    (message,) = told(lambda s, u: jax.vmap(lambda row: network(row, u))(s), jnp.ones((7, N)))
    assert message.startswith("state: its 7 rows along the first axis evolve without each other")
    assert "jax.vmap" in message


def test_a_batch_of_states_with_several_leaves_is_recognised(key):
    cell = fl.LSTMCell(3, 4, key=key)
    states = jax.tree.map(lambda x: jnp.zeros((6, *x.shape)), cell.initial_state())
    messages = told(jax.vmap(cell), states, jnp.ones((5, 6, 3)))
    assert ["6 rows" in message for message in messages] == [True]


@pytest.mark.parametrize(
    "step",
    [
        lambda s, u: jnp.tanh(jnp.asarray(WEIGHT) @ s @ jnp.asarray(WEIGHT)),
        lambda s, u: s - 0.1 * s.mean(0, keepdims=True),  # rows share a mean
        lambda s, u: jnp.tanh(0.9 * s),  # every number by itself: no batch
    ],
)
def test_states_with_two_axes_that_are_no_batch(step):
    assert told(step, jnp.ones((N, N))) == []


def test_nothing_is_said_where_values_are_not_known():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jax.jit(
            lambda s: (
                fl.lyapunov_spectrum(
                    with_clock, s, num_steps=5, num_exponents=1, key=jax.random.key(0)
                ).exponents
            )
        )(START)


def test_what_was_told_is_not_told_again(key):
    assert len(told(with_clock, START)) == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fl.lyapunov_spectrum(with_clock, START, num_steps=5, num_exponents=1, key=key)


def gru_and_neurons(key):
    cell = eqx.nn.GRUCell(1, N, key=key)
    matrix = jnp.asarray(WEIGHT, jnp.float32)

    def step(state, input):
        hidden = cell(input, state["h"])
        potential = 0.9 * state["v"] + matrix @ hidden
        return {"h": hidden, "v": jnp.where(potential > 1, 0.0, potential)}

    return step, {"h": jnp.zeros(N), "v": jnp.zeros(N)}


def logistic_map_that_drives(key):
    def step(state, input):
        network_state, drive = state
        return network(network_state, input) + drive, 3.9 * drive * (1 - drive)

    return step, (jnp.ones(N), jnp.float32(0.3))


def one_unit_on_top(key):
    def step(state, input):
        return network(state[0], input), jnp.tanh(1.7 * state[1] + state[0].mean())

    return step, (jnp.ones(N), jnp.float32(0.1))


def silent_layer_on_top(key):
    def step(state, input):
        below = network(state[0], input)
        return below, jax.nn.leaky_relu(0.9 * state[1] + below - 1, 0.1)

    return step, (jnp.zeros(N), jnp.zeros(N))


@pytest.mark.parametrize(
    "model", [gru_and_neurons, logistic_map_that_drives, one_unit_on_top, silent_layer_on_top]
)
def test_what_multiplies_by_a_constant_at_one_point_only_is_part_of_the_dynamics(model, key):
    assert told(*model(key), jnp.ones((5, 1))) == []


def test_a_rotating_clock_has_the_exponent_of_its_modulus():
    def step(state, input):
        return network(state[0], input) + 0.1 * state[1].real, jnp.exp(0.5j * np.pi) * state[1]

    (message,) = told(step, (jnp.ones(N), jnp.asarray(1 + 0j)))
    assert "multiplied by 1 in a step, which counts as 0 nats" in message.replace(
        "-0 nats", "0 nats"
    )


@pytest.mark.parametrize("inner", ["scan", "cond"])
def test_clocks_within_loops_and_branches_are_named(inner):
    def step(state, input):
        if inner == "cond":
            return jax.lax.cond(
                state["clock"] > 1e9, lambda s: s, lambda s: with_clock(s, None), state
            )
        return jax.lax.scan(lambda s, _: (with_clock(s, None), None), state, None, length=3)[0]

    assert [message.split(":")[0] for message in told(step, START)][:1] == ["state['clock']"]


def test_leaves_without_entries_are_no_trouble(key):
    def step(state, input):
        return {"h": network(state["h"], input), "nothing": state["nothing"]}

    assert told(step, {"h": jnp.ones(N), "nothing": jnp.zeros((0,))}) == []
    assert told(step, {"h": jnp.ones(N), "nothing": jnp.zeros((N, 0))}) == []


def test_channels_that_are_silent_at_the_start_are_no_batch():
    bias = jnp.array([[1.0], [-1.0]])

    def step(state, input):
        return jax.nn.relu(jnp.ones((2, 2)) @ (state + jnp.roll(state, 1, 1)) + bias)

    assert told(step, jnp.zeros((2, 8))) == []
