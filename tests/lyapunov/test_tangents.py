"""Which leaves of a state carry perturbations, and who is told about leaves and rows that evolve alone."""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.lyapunov import _check_run

pytestmark = pytest.mark.usefixtures("unoptimised")

N = 5
WEIGHT = 1.3 * np.random.default_rng(3).normal(size=(N, N)) / np.sqrt(N)


def network(state, input):
    return jnp.tanh(jnp.asarray(WEIGHT, state.dtype) @ state + 0.3)


def with_clock(state, input):
    """A network that is told the time, and traces that nobody reads."""
    hidden = network(state["hidden"], input) + 0.1 * jnp.sin(state["clock"])
    return {
        "hidden": hidden,
        "clock": state["clock"] + 1,
        "trace": 0.99 * state["trace"] + 0.01 * state["hidden"],
    }


START = {"hidden": jnp.full(N, 0.2), "clock": jnp.float32(0), "trace": jnp.zeros(N)}
ONLY_HIDDEN = {"hidden": True, "clock": False, "trace": False}


def alone(state, time):
    """The same network, whose clock is its input."""
    return network(state, None) + 0.1 * jnp.sin(time)


def drive(steps):
    return jnp.arange(steps, dtype=float)


FUNCTIONS = {
    "lyapunov_spectrum": lambda *a, **o: fl.lyapunov_spectrum(*a, **o).exponents,
    "local_exponents": lambda *a, **o: fl.local_exponents(*a, window=4, **o),
    "flossing_loss": fl.flossing_loss,
    "covariant_vectors": lambda *a, **o: fl.covariant_vectors(*a, tail=5, **o).local_exponents,
    "log_singular_values": fl.log_singular_values,
    "condition_number": lambda *a, **o: fl.condition_number(*a, log=True, **o),
    "gradient_norms": fl.gradient_norms,
    "long_term_jacobian": lambda *a, key, **o: fl.long_term_jacobian(*a, **o),
}


@pytest.mark.parametrize(
    "name",
    ["lyapunov_spectrum", "gradient_norms"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in FUNCTIONS
        if name not in ("lyapunov_spectrum", "gradient_norms")
    ],
)
def test_leaves_without_perturbations_move_and_do_not_count(name, key):
    """With the clock and the trace left out, everything is as for the network with its clock as input."""
    expected = FUNCTIONS[name](alone, START["hidden"], drive(20), key=key)
    found = FUNCTIONS[name](with_clock, START, num_steps=20, tangents=ONLY_HIDDEN, key=key)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def test_final_state_and_loss_have_the_form_of_the_state(key):
    spectrum = fl.lyapunov_spectrum(with_clock, START, num_steps=20, tangents=ONLY_HIDDEN, key=key)
    assert float(spectrum.final_state["clock"]) == 20
    assert spectrum.state_dimension == N
    assert spectrum.final_basis.shape == (N, N)
    norms = fl.gradient_norms(
        with_clock, START, num_steps=3, loss=lambda s: 2 * s["hidden"][0], tangents=ONLY_HIDDEN
    )
    assert float(norms[-1]) == pytest.approx(2)
    modes = fl.covariant_vectors(with_clock, START, num_steps=20, tangents=ONLY_HIDDEN, key=key)
    np.testing.assert_array_equal(modes.states["clock"], np.arange(21))


def test_a_function_of_a_leaf_selects_as_well(key):
    chosen = fl.lyapunov_spectrum(
        with_clock, START, num_steps=20, tangents=lambda x: jnp.ndim(x) == 1, key=key
    )
    assert chosen.state_dimension == 2 * N


def test_several_starts_take_the_same_filter(key):
    starts = jax.tree.map(lambda x: jnp.stack([x, x]), START)
    keys = dict(tangents=ONLY_HIDDEN, num_steps=20, key=key)
    found = fl.flossing_loss(with_clock, starts, num_starts=2, num_exponents=1, warmup=15, **keys)
    one = fl.flossing_loss(with_clock, START, num_exponents=1, warmup=15, **keys)
    assert float(found) == pytest.approx(float(one), rel=1e-2)


def test_filters_that_do_not_fit(key, untyped):
    with pytest.raises(ValueError, match="tangents: expected a filter of the state's leaves"):
        fl.lyapunov_spectrum(with_clock, START, num_steps=5, tangents=(True, False), key=key)


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


def networks_without_foreign_leaves():
    key = jax.random.key(1)
    inputs = jnp.ones((5, 3))
    cells = {
        "lstm": fl.LSTMCell(3, 4, key=key),
        "recurrent lif": fl.LIFCell(3, 4, key=key),
        "feedforward lif": fl.LIFCell(3, 4, recurrent=None, key=key),
        "stack": fl.Stack([fl.TanhCell(3, 4, key=key), fl.GRUCell(4, 2, key=key)]),
    }
    for name, cell in cells.items():
        yield pytest.param(cell, cell.initial_state(), inputs, id=name)


@pytest.mark.parametrize(("cell", "state", "inputs"), list(networks_without_foreign_leaves()))
def test_nobody_is_told_of_layers_gates_and_synapses(cell, state, inputs):
    assert told(cell, state, inputs) == []


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
        lambda s, u: s - 0.1 * s.mean(0),  # rows share a mean
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


def test_a_warmup_moves_state_and_tangents(x64):
    """After 50 steps that are not counted, a slow map has its exact exponents; without, it is wrong."""
    matrix = jnp.array([[0.5, 3.0], [0.0, 0.25]])
    step = jax.tree_util.Partial(lambda m, x, u: m @ x, matrix)
    key = jax.random.key(4)
    found = fl.lyapunov_spectrum(step, jnp.zeros(2), num_steps=450, warmup=50, key=key)
    np.testing.assert_allclose(found.exponents, np.log([0.5, 0.25]), atol=1e-12)
    state_only = fl.lyapunov_spectrum(step, jnp.zeros(2), num_steps=450, state_warmup=50, key=key)
    assert np.abs(state_only.exponents - np.log([0.5, 0.25])).max() > 1e-3


def test_equinox_modules_are_filtered_by_tree_at(key):
    state = fl.LIFCell(3, 4, key=key).initial_state()
    cell = fl.LIFCell(3, 4, key=key)
    nothing = jax.tree.map(lambda _: False, state)
    chosen = eqx.tree_at(lambda s: s.membrane, nothing, True)
    found = fl.lyapunov_spectrum(
        cell, state, jnp.ones((5, 3)), num_exponents=1, tangents=chosen, key=key
    )
    assert found.state_dimension == 4


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


def test_errors_of_steps_with_random_keys_in_the_state(key, untyped):
    state = {"h": jnp.ones(N), "key": key}
    with pytest.raises(ValueError, match=r"got, dict\(float32\[5\], key<fry>\[\]\); it returned"):
        fl.lyapunov_spectrum(lambda s, u: s | {"h": s["h"][1:]}, state, num_steps=5, key=key)


def test_a_function_of_a_leaf_selects_in_each_of_several_starts(key):
    starts = jax.tree.map(lambda x: jnp.stack([x, x]), START)
    info = fl.flossing_loss(
        with_clock, starts, num_starts=2, num_steps=9, has_aux=True, key=key,
        tangents=lambda x: jnp.ndim(x) == 0,
    )[1]  # fmt: skip
    np.testing.assert_allclose(info.exponents, [0])
