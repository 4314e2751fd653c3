"""Wrong use of cells is told in words."""

import inspect
import math

import jax.numpy as jnp
from cell_helpers import CELLS, INPUTS, UNITS, over, raises

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


def test_wrong_states_are_named(key, untyped):
    for name, (state, message) in WRONG_STATES.items():
        with raises(ValueError, message):
            CELLS[name](INPUTS, UNITS, key=key)(state, jnp.zeros(INPUTS))


def test_states_and_inputs_of_another_size_are_named(key, untyped):
    for make in KINDS.values():
        cell, larger = (make(INPUTS, units, key=key) for units in (UNITS, UNITS + 1))
        with raises(ValueError, "expected shape (5,), got (6,)."):
            cell(larger.initial_state(), jnp.zeros(INPUTS))
        for shape in ((), (2,), (4, 3)):
            with raises(ValueError, f"input: expected shape (3,), got {shape}."):
                cell(cell.initial_state(), jnp.zeros(shape))


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
