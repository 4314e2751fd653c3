"""Wrong use of cells is told in words."""

import math

import jax.numpy as jnp
from cell_helpers import CELLS, INPUTS, UNITS, every_cell, over, raises, stack

import flossing as fl

WRONG_STATES = {
    "tanh, pre-activation": (jnp.zeros(4), "state: expected shape (5,), got (4,)."),
    "tanh, post-activation": (jnp.zeros((2, 5)), "state: expected shape (5,), got (2, 5)."),
    "tanh, leaky": (jnp.zeros(4), "state: expected shape (5,), got (4,)."),
    "relu": (jnp.zeros(6), "state: expected shape (5,), got (6,)."),
    "linear": (
        fl.LinearState(jnp.zeros(5), jnp.zeros(4)),
        "state.imaginary: expected shape (5,), got (4,).",
    ),
    "gru": (jnp.zeros(()), "state: expected shape (5,), got ()."),
    "lstm": (
        fl.LSTMState(jnp.zeros(5), jnp.zeros(4)),
        "state.cell: expected shape (5,), got (4,).",
    ),
    "binary": (jnp.zeros(4), "state: expected shape (5,), got (4,)."),
    "lif": (
        fl.LIFState(jnp.zeros(4), jnp.zeros(5)),
        "state.membrane: expected shape (5,), got (4,).",
    ),
    "lif, adaptive": (
        fl.LIFState(jnp.zeros(5), jnp.zeros(5)),
        "state.adaptation: expected shape (5,), got None.",
    ),
}


@over("name", CELLS)
def test_wrong_states_are_named(name, key, untyped):
    state, message = WRONG_STATES[name]
    with raises(ValueError, message):
        CELLS[name](INPUTS, UNITS, key=key)(state, jnp.zeros(INPUTS))


@over("shape", [(), (2,), (4, 3)])
@every_cell
def test_wrong_inputs_are_named(make, shape, key, untyped):
    cell = make(INPUTS, UNITS, key=key)
    with raises(ValueError, f"input: expected shape (3,), got {shape}."):
        cell(cell.initial_state(), jnp.zeros(shape))


def test_stack_wants_one_state_per_layer(key, untyped):
    cell = stack(key)
    with raises(ValueError, "state: expected one entry for each of 3 layers, got 2."):
        cell(cell.initial_state()[:2], jnp.zeros(INPUTS))


def test_stack_refuses_layers_that_do_not_fit(key, untyped):
    layers = [fl.TanhCell(INPUTS, UNITS, key=key), fl.GRUCell(INPUTS, UNITS, key=key)]
    message = "layers[1]: input_size is 3, but the layer below has hidden_size 5."
    with raises(ValueError, message):
        fl.Stack(layers)


@over(
    ("layers", "error", "message"),
    [
        ([], ValueError, "layers: expected at least one cell, got none."),
        ([jnp.tanh], TypeError, "layers[0]: expected a cell such as fl.TanhCell(...)"),
    ],
)
def test_stack_refuses_what_is_no_cell(layers, error, message, untyped):
    with raises(error, message):
        fl.Stack(layers)


@over(
    ("options", "error", "message"),
    [
        ({"input_size": 0}, ValueError, "input_size: expected at least 1, got 0."),
        ({"hidden_size": 2.0}, TypeError, "hidden_size: expected an integer, got 2.0 (float)."),
        ({"hidden_size": True}, TypeError, "hidden_size: expected an integer, got True (bool)."),
        ({"input_gain": math.nan}, ValueError, "input_gain: expected finite numbers, got nan."),
        ({"key": None}, ValueError, "key: expected a random key such as jax.random.key(0), got"),
        ({"key": 7}, TypeError, "key: expected a random key such as jax.random.key(0), got 7"),
        (
            {"recurrent": lambda key, size: jnp.ones(size)},
            ValueError,
            "recurrent: expected shape (5, 5), got (5,).",
        ),
    ],
)
@every_cell
def test_bad_arguments_are_named(make, options, error, message, key, untyped):
    if make is fl.LinearRecurrentCell and "recurrent" in options:
        return  # its matrix is diagonal
    arguments = {"input_size": INPUTS, "hidden_size": UNITS, "key": key} | options
    with raises(error, message):
        make(**arguments)


@over(
    ("make", "options", "error", "message"),
    [
        (fl.TanhCell, {"form": "post"}, ValueError, "form: expected one of 'pre-activation', 'p"),
        (fl.TanhCell, {"bias_range": -0.1}, ValueError, "bias_range: expected a finite non-negat"),
        (
            fl.TanhCell,
            {"dale": 1.2},
            ValueError,
            "dale: expected a number between 0 and 1, got 1.2",
        ),
        (
            fl.TanhCell,
            {"leak": 0.0},
            ValueError,
            "leak: expected a finite positive number, got 0.0",
        ),
        (fl.TanhCell, {"leak": 1.5}, ValueError, "leak: expected a number between 0 and 1, got 1"),
        (fl.ReLUCell, {"bias_range": -0.1}, ValueError, "bias_range: expected a finite non-negat"),
        (fl.LinearRecurrentCell, {"min_radius": -1}, ValueError, "min_radius: expected a finite"),
        (fl.LinearRecurrentCell, {"max_radius": 1.1}, ValueError, "max_radius: expected a number"),
        (
            fl.LinearRecurrentCell,
            {"min_radius": 0.9, "max_radius": 0.9},
            ValueError,
            "max_radius: expected more than min_radius = 0.9, got 0.9.",
        ),
        (fl.LinearRecurrentCell, {"max_phase": 0.0}, ValueError, "max_phase: expected a finite po"),
        (fl.GRUCell, {"chrono": 1.0}, ValueError, "chrono: expected at least 2 steps, got 1.0."),
        (fl.LSTMCell, {"chrono": math.nan}, ValueError, "chrono: expected finite numbers, got nan"),
        (
            fl.LSTMCell,
            {"chrono": 20.0, "forget_bias": 1.0},
            ValueError,
            "forget_bias: chrono = 20.0 takes its place; leave one of them out.",
        ),
        (
            fl.GRUCell,
            {"openness": 3.0, "update_bias": 1.0},
            ValueError,
            "update_bias: openness = 3.0 takes its place; leave one out.",
        ),
        (
            fl.LSTMCell,
            {"openness": 3.0, "chrono": 20.0},
            ValueError,
            "chrono: openness = 3.0 takes its place; leave one out.",
        ),
        (fl.BinaryCell, {"bias_range": -0.1}, ValueError, "bias_range: expected a finite non-neg"),
        (fl.BinaryCell, {"dale": -1.0}, ValueError, "dale: expected a finite non-negative number"),
        (fl.GRUCell, {"update_bias": math.inf}, ValueError, "update_bias: expected finite numbers"),
        (fl.LSTMCell, {"forget_bias": "1"}, TypeError, "forget_bias: expected a number, got '1'"),
        (fl.LIFCell, {"time_step": 0.0}, ValueError, "time_step: expected a finite positive numb"),
        (fl.LIFCell, {"reset": "hard"}, ValueError, "reset: expected one of 'to_zero', 'subtract"),
        (fl.LIFCell, {"reset_gradient": ""}, ValueError, "reset_gradient: expected one of 'detac"),
        (fl.LIFCell, {"threshold": -1.0}, ValueError, "threshold: expected a finite positive num"),
        (fl.LIFCell, {"dale": 2.0}, ValueError, "dale: expected a number between 0 and 1, got 2."),
        (
            fl.LIFCell,
            {"membrane_time_constant": jnp.ones(4)},
            ValueError,
            "membrane_time_constant: expected one number or shape (5,), got shape (4,).",
        ),
        (
            fl.LIFCell,
            {"synapse_time_constant": jnp.zeros(5)},
            ValueError,
            "synapse_time_constant: expected a finite positive number, got 0.0.",
        ),
        (
            fl.LIFCell,
            {"adaptation_time_constant": math.inf},
            ValueError,
            "adaptation_time_constant: expected a finite positive number, got inf.",
        ),
        (
            fl.LIFCell,
            {"adaptation_strength": -0.1},
            ValueError,
            "adaptation_strength: expected a finite non-negative number, got -0.1.",
        ),
        (
            fl.LIFCell,
            {"dale": 0.8, "centred": True},
            ValueError,
            "centred: rows with a mean of zero contradict fixed signs (dale).",
        ),
    ],
)
def test_bad_options_are_named(make, options, error, message, key, untyped):
    with raises(error, message):
        make(INPUTS, UNITS, key=key, **options)
