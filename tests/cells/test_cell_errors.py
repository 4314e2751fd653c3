"""Wrong use of cells is told in words."""

import inspect
import math

import jax.numpy as jnp
from cell_helpers import CELLS, INPUTS, UNITS, over, raises, stack

import flossing as fl

WRONG_STATES = {
    "tanh, pre-activation": (jnp.zeros((2, 5)), "state: expected shape (5,), got (2, 5)."),
    "linear": (
        fl.LinearState(jnp.zeros(5), jnp.zeros(4)),
        "state.imaginary: expected shape (5,), got (4,).",
    ),
    "lstm": (
        fl.LSTMState(jnp.zeros(5), jnp.zeros(4)),
        "state.cell: expected shape (5,), got (4,).",
    ),
    "lif": (
        fl.LIFState(jnp.zeros(4), jnp.zeros(5)),
        "state.membrane: expected shape (5,), got (4,).",
    ),
    "lif, adaptive": (
        fl.LIFState(jnp.zeros(5), jnp.zeros(5)),
        "state.adaptation: expected shape (5,), got None.",
    ),
}
KINDS = {
    "tanh": fl.TanhCell,
    "relu": fl.ReLUCell,
    "linear": fl.LinearRecurrentCell,
    "gru": fl.GRUCell,
    "lstm": fl.LSTMCell,
    "binary": fl.BinaryCell,
    "lif": fl.LIFCell,
}
each_kind = over("make", KINDS.values(), ids=KINDS)


@over("name", WRONG_STATES)
def test_wrong_states_are_named(name, key, untyped):
    state, message = WRONG_STATES[name]
    with raises(ValueError, message):
        CELLS[name](INPUTS, UNITS, key=key)(state, jnp.zeros(INPUTS))


@each_kind
def test_states_and_inputs_of_another_size_are_named(make, key, untyped):
    cell, larger = (make(INPUTS, units, key=key) for units in (UNITS, UNITS + 1))
    with raises(ValueError, "expected shape (5,), got (6,)."):
        cell(larger.initial_state(), jnp.zeros(INPUTS))
    for shape in ((), (2,), (4, 3)):
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


ALL = {
    "input_size": (0, ValueError, "expected at least 1, got 0."),
    "hidden_size": (2.0, TypeError, "expected an integer, got 2.0 (float)."),
    "input_gain": (math.nan, ValueError, "expected finite numbers, got nan."),
    "key": (None, ValueError, "expected a random key such as jax.random.key(0), got None."),
}
MATRIX = {
    "recurrent": (lambda k, n: jnp.ones(n), ValueError, "expected shape (5, 5), got (5,)."),
}
DALE = {"dale": (1.2, ValueError, "expected a number between 0 and 1, got 1.2.")}
BIAS = {"bias_range": (-0.1, ValueError, "expected a finite non-negative number, got -0.1.")}
SPIKES = {
    "surrogate": (1.0, TypeError, "expected a surrogate such as fl.surrogates.SuperSpike(10.0)"),
    "escape": (0.1, TypeError, "expected an escape noise or None, got 0.1 (float)."),
}
GATES = {
    "chrono": (1.0, ValueError, "expected at least 2 steps, got 1.0."),
    "openness": (math.inf, ValueError, "expected finite numbers, got inf."),
}
WRONG = {
    "tanh": {
        **BIAS,
        **DALE,
        "form": ("post", ValueError, "expected one of 'pre-activation', 'post-activation'"),
        "leak": (0.0, ValueError, "expected a finite positive number, got 0.0."),
    },
    "relu": BIAS,
    "linear": {
        "min_radius": (-1, ValueError, "expected a finite non-negative number, got -1."),
        "max_radius": (1.1, ValueError, "expected a number between 0 and 1, got 1.1."),
        "max_phase": (0.0, ValueError, "expected a finite positive number, got 0.0."),
    },
    "gru": {**GATES, "update_bias": (math.inf, ValueError, "expected finite numbers, got inf.")},
    "lstm": {**GATES, "forget_bias": ("1", TypeError, "expected a number, got '1' (str).")},
    "binary": {**BIAS, **DALE, **SPIKES},
    "lif": {
        **DALE,
        **SPIKES,
        "time_step": (0.0, ValueError, "expected a finite positive number, got 0.0."),
        "reset": ("hard", ValueError, "expected one of 'to_zero', 'subtract', 'none', got 'hard'."),
        "reset_gradient": (
            "",
            ValueError,
            "expected one of 'detached', 'differentiated', 'ignored'",
        ),
        "threshold": (-1.0, ValueError, "expected a finite positive number, got -1.0."),
        "membrane_time_constant": (
            jnp.ones(4),
            ValueError,
            "expected one number or shape (5,), got shape (4,).",
        ),
        "synapse_time_constant": (
            jnp.zeros(5),
            ValueError,
            "expected a finite positive number, got 0.0.",
        ),
        "adaptation_time_constant": (
            math.inf,
            ValueError,
            "expected a finite positive number, got inf.",
        ),
        "adaptation_strength": (
            -0.1,
            ValueError,
            "expected a finite non-negative number, got -0.1.",
        ),
    },
}


@over("name", KINDS)
def test_each_argument_is_checked_by_its_name(name, key, untyped):
    """One fault each; all kinds of faults are in the tests of the checks."""
    faults = ALL | ({} if name == "linear" else MATRIX) | WRONG[name]
    options = {p for p in inspect.signature(KINDS[name]).parameters} - {
        "centred",
        "feedforward_only",
    }
    assert faults.keys() == options
    for argument, (value, error, message) in faults.items():
        given = {"input_size": INPUTS, "hidden_size": UNITS, "key": key, argument: value}
        with raises(error, f"{argument}: {message}"):
            KINDS[name](**given)


@over(
    ("make", "options", "message"),
    [
        (
            fl.LinearRecurrentCell,
            {"min_radius": 0.9, "max_radius": 0.9},
            "max_radius: expected more than min_radius = 0.9, got 0.9.",
        ),
        (
            fl.LSTMCell,
            {"chrono": 20.0, "forget_bias": 1.0},
            "forget_bias: chrono = 20.0 takes its place; leave one of them out.",
        ),
        (
            fl.GRUCell,
            {"openness": 3.0, "update_bias": 1.0},
            "update_bias: openness = 3.0 takes its place; leave one out.",
        ),
        (
            fl.LSTMCell,
            {"openness": 3.0, "chrono": 20.0},
            "chrono: openness = 3.0 takes its place; leave one out.",
        ),
        (
            fl.LIFCell,
            {"dale": 0.8, "centred": True},
            "centred: rows with a mean of zero contradict fixed signs (dale).",
        ),
    ],
)
def test_options_that_contradict_each_other_are_named(make, options, message, key, untyped):
    with raises(ValueError, message):
        make(INPUTS, UNITS, key=key, **options)
