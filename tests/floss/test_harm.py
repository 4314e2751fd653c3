"""What flossing must not do: shut gates, raise rates, saturate units, make errors explode."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import flossing as fl
from flossing.floss.harm import _signs

COPY = fl.tasks.Copy(5, num_steps=90)


def cell_of(network):
    return network.cell


def harm(before, after, key, **options):
    state = getattr(before, "initial_state", None)
    inputs = COPY.sample_inputs(key, 90)
    if eqx.is_array(state) or isinstance(state, tuple):
        return fl.flossing_harm(before, after, state, inputs, step=cell_of, key=key)
    return fl.flossing_harm(
        before, after, before.initial_state(key=key), inputs, key=key, **options
    )


FLOSSER = fl.Flosser(
    8,
    window=20,
    warmup=0,
    state_warmup=0,
    renormalise_every=1,
    optimiser=fl.floss.flossing_optimiser(3e-2, steps=80),
    step=cell_of,
)


@eqx.filter_jit
def flossed(network, key):
    """The network after 80 flossing steps at a high rate."""
    inputs = COPY.sample_inputs(key, 20)
    arrays, rest = eqx.partition((network, FLOSSER.init(network)), eqx.is_array)

    def one(arrays, key):
        network, memory = eqx.combine(arrays, rest)
        new = FLOSSER.update(network, memory, network.initial_state, inputs, key=key)
        return eqx.filter(new[:2], eqx.is_array), None

    arrays, _ = jax.lax.scan(one, arrays, jax.random.split(key, 80))
    return eqx.combine(arrays, rest)[0]


# --- gates that start open


@pytest.mark.parametrize("kind", [fl.GRUCell, fl.LSTMCell])
def test_opened_gates_are_those_of_openness_3(kind, key):
    opened = fl.open_gates(kind(2, 5, key=key))
    assert eqx.tree_equal(opened, kind(2, 5, openness=3.0, key=key))


@pytest.mark.parametrize(
    "cell",
    [
        lambda key: fl.GRUCell(1, 4, update_bias=-1.0, key=key),
        lambda key: fl.GRUCell(1, 4, openness=0.5, key=key),
        lambda key: fl.GRUCell(1, 4, chrono=20, key=key),
        lambda key: fl.LSTMCell(1, 4, forget_bias=1.0, key=key),
        lambda key: fl.LSTMCell(1, 4, chrono=20, key=key),
        lambda key: trained(eqx.nn.GRUCell(1, 4, key=key)),
        lambda key: trained(eqx.nn.LSTMCell(1, 4, key=key)),
    ],
)
def test_gates_whose_biases_were_chosen_stay(cell, key):
    cell = cell(key)
    assert eqx.tree_equal(fl.open_gates(cell), cell)


def trained(cell):
    """With one gate bias that no fresh cell of Equinox has."""
    return eqx.tree_at(lambda c: c.bias, cell, cell.bias.at[0].set(0.6))


@pytest.mark.parametrize("kind", [eqx.nn.GRUCell, eqx.nn.LSTMCell])
def test_open_gates_of_equinox_replace_the_state(kind, key):
    """With reset and output gates open and the rest of the state replaced, a step keeps 5 % of a unit."""
    cell = fl.open_gates({"cell": kind(2, 16, key=key)})["cell"]
    gates = cell.bias.reshape(-1, 16)
    expected = [3, -3] if kind is eqx.nn.GRUCell else [3, -3, 3]
    np.testing.assert_array_equal(gates[[0, 1, 3][: len(expected)], 0], expected)
    quiet = eqx.tree_at(lambda c: (c.weight_ih, c.weight_hh), cell, replace_fn=jnp.zeros_like)
    state = jnp.ones(16) if kind is eqx.nn.GRUCell else (jnp.zeros(16), jnp.ones(16))
    after, before = (quiet(jnp.zeros(2), x) for x in (state, jax.tree.map(jnp.zeros_like, state)))
    kept = after - before if kind is eqx.nn.GRUCell else after[1] - before[1]
    np.testing.assert_allclose(kept, jax.nn.sigmoid(-3.0), rtol=1e-5)


def test_gates_of_networks_along_an_axis_are_opened_one_by_one(key):
    cells = eqx.filter_vmap(lambda k: eqx.nn.GRUCell(1, 4, key=k))(jax.random.split(key, 2))
    one_trained = eqx.tree_at(lambda c: c.bias, cells, cells.bias.at[0, 0].set(0.6))
    opened = fl.open_gates(one_trained).bias
    np.testing.assert_array_equal(opened[0], one_trained.bias[0])
    np.testing.assert_array_equal(opened[1, :8], [3] * 4 + [-3] * 4)


def test_a_model_without_gates_that_are_known_is_told_what_to_do(key):
    with pytest.raises(ValueError, match="TanhCell without one"):
        fl.open_gates(fl.TanhCell(1, 4, key=key))
    with pytest.raises(ValueError, match="a GRUCell without biases has no gates to open"):
        fl.open_gates(eqx.nn.GRUCell(1, 4, use_bias=False, key=key))


@pytest.mark.slow
def test_flossing_schedules_open_the_gates_of_each_layer_of_each_network(key):
    def network(key, openness):
        keys = jax.random.split(key, 3)
        layers = [
            fl.GRUCell(1, 3, openness=openness, key=keys[0]),
            fl.LSTMCell(3, 2, openness=openness, key=keys[1]),
        ]
        return fl.Network(fl.Stack(layers), 1, state_warmup=0, key=keys[2])

    both = eqx.filter_jit(eqx.filter_vmap(lambda k: (network(k, 0.0), network(k, 3.0))))
    closed, opened = both(jax.random.split(key, 2))
    for schedule in (fl.Adaptive(), fl.Before(), fl.Phases(), fl.Joint()):
        assert eqx.tree_equal(schedule.prepared(closed), opened)


# --- the signs, against numbers that are known


def test_signs_of_a_linear_step(key):
    matrix_key, input_key, signs_key = jax.random.split(key, 3)
    rotation = jnp.linalg.qr(jax.random.normal(matrix_key, (6, 6)))[0]
    gain = jnp.arange(6.0)
    inputs = jax.random.normal(input_key, (3000,))
    signs = _signs(
        (0.9 * rotation, gain),
        lambda model: lambda x, u: model[0] @ x + model[1] * u,
        jnp.zeros(6),
        inputs,
        None,
        signs_key,
    )
    np.testing.assert_allclose(signs.exponent, np.log(0.9), atol=1e-5)
    np.testing.assert_allclose(signs.sensitivity, 0.9, rtol=0.03)
    np.testing.assert_allclose(signs.influence, 0.9, rtol=0.03)
    rows = np.linalg.norm(0.9 * np.asarray(rotation) - np.eye(6), axis=1)
    np.testing.assert_allclose(signs.change, rows, rtol=0.03)
    spread = np.sqrt(2) * np.std(inputs)
    np.testing.assert_allclose(signs.response, spread * np.asarray(gain), rtol=0.05)


# --- what is said of models that were spoilt by hand


def test_shut_gates_are_told(key):
    before = fl.GRUCell(1, 8, key=key)
    bias = before.bias.at[8:14].add(6.0)
    after = eqx.tree_at(lambda cell: cell.bias, before, bias)
    (text,) = harm(before, after, key)
    assert "gates are shut: 6 of 8 state variables" in text
    assert "open_gates" in text


def test_units_that_always_kept_their_state_are_no_news(key):
    cell = fl.GRUCell(1, 8, update_bias=6.0, key=key)
    assert harm(cell, cell, key) == []


def test_activity_is_told_by_its_mean(key):
    step = partial(Partial, lambda drive, state, input: drive + 0 * state + 0 * input)
    inputs, (low, fair, high) = jnp.ones((30, 1)), map(jnp.asarray, (0.5, 1.4, 1.6))
    options = {"step": step, "key": key}
    (text,) = fl.flossing_harm(low, high, jnp.zeros(4), inputs, **options)
    assert "activity is up: its mean is 1.6 after flossing, 0.5 before" in text
    assert fl.flossing_harm(low, fair, jnp.zeros(4), inputs, **options) == []


def test_spikes_that_drive_each_other_up_are_told_and_what_keeps_them_from_it(key):
    before = fl.LIFCell(1, 20, key=key)
    weight = before.recurrent_weight
    after = eqx.tree_at(lambda cell: cell.recurrent_weight, before, weight + 1.0)
    text = harm(before, after, key)[0]
    assert "activity is up: its mean is 0.5 after flossing, 0.0233 before" in text
    assert "keep_row_means=True" in text


def test_saturated_units_are_told(key):
    before = fl.TanhCell(1, 8, key=key)
    after = eqx.tree_at(lambda cell: cell.bias, before, before.bias.at[:5].set(8.0))
    (text,) = harm(before, after, key)
    assert "saturated or silent: 5 of 8 state variables" in text


# A step whose parameter is an argument of its program.
GROWING = partial(Partial, lambda rate, state, input: state * jnp.exp(rate))


def test_exploding_perturbations_are_told_with_their_exponent(key):
    inputs, (low, high, higher) = jnp.zeros((150, 1)), map(jnp.asarray, (-0.1, 0.1, 0.2))
    options = {"step": GROWING, "key": key}
    (text,) = fl.flossing_harm(low, high, jnp.zeros(3), inputs, **options)
    assert "first exponent is 0.1 nats per step after flossing, -0.1 before" in text
    assert "10^4 over 100 steps" in text
    calmer = fl.flossing_harm(higher, high, jnp.zeros(3), inputs, **options)
    assert calmer == []
    first, *_, last = repr(calmer).splitlines()
    assert first == "harm done by flossing: none"
    assert last.split()[-2:] == ["0.2", "0.1"]


def test_a_step_without_inputs_has_a_number_of_steps(key):
    options = {"num_steps": 150, "step": GROWING, "key": key}
    (text,) = fl.flossing_harm(*map(jnp.asarray, (-0.1, 0.1)), jnp.zeros(3), **options)
    assert "10^4 over 100 steps" in text


# --- what is said after flossing


@pytest.mark.slow
def test_flossing_shuts_gates_unless_they_start_open(key):
    network = fl.Network(fl.GRUCell(1, 8, key=key), 1, key=key)
    (text,) = harm(network, flossed(network, key), key)
    assert text.startswith("gates are shut")
    opened = fl.open_gates(network)
    assert harm(opened, flossed(opened, key), key) == []


@pytest.mark.slow
def test_nothing_is_said_of_a_flossed_tanh_network(key):
    recurrent = fl.initialisers.Gaussian(2.0)
    network = fl.Network(fl.TanhCell(1, 8, recurrent=recurrent, key=key), 1, key=key)
    assert harm(network, flossed(network, key), key) == []
