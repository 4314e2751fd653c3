"""Constants, initialisers, surrogates and layers that cells are made from: right, or refused by name."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cell_helpers import close, over, raises, scan

import flossing as fl
from flossing.cells import LeakyReadout
from flossing.escape_noise import SigmoidNoise
from flossing.initialisers import Gaussian, Identity, Orthogonal, Sparse

KEY = jax.random.key(0)
CONSTANTS = {
    "int": 10,
    "np.int64": np.int64(10),
    "np.float32": np.float32(10),
    "0-d": np.asarray(10),
    "JAX": jnp.asarray(10),
    "list": [10] * 4,
    "tuple": (10.0,) * 4,
    "uint8": np.full(4, 10, np.uint8),
    "JAX integers": jnp.full(4, 10),
}
NAMES = ["membrane_time_constant", "synapse_time_constant"]
SPIKING = {
    "lif": functools.partial(fl.LIFCell, 3, 4, threshold=0.05),
    "convolution": functools.partial(fl.ConvLIFCell, 4, 1, 1, 1, threshold=0.05),
    "readout": functools.partial(LeakyReadout, 3, 4),
}
each_spiking = over("kind", SPIKING)


@pytest.mark.slow
@over(
    ("kind", "form"),
    [
        (kind, form)
        for kind in SPIKING
        for form in CONSTANTS
        if kind == "lif" or form in ("int", "uint8")
    ],
)
def test_constants_of_every_form_are_the_number(kind, form, untyped):
    make = SPIKING[kind]
    names = NAMES if kind == "readout" else [*NAMES, "threshold"]
    if kind == "lif":
        names = [*names, "adaptation_time_constant", "adaptation_strength"]
    given = make(**dict.fromkeys(names, CONSTANTS[form]), key=KEY)
    expected = make(**dict.fromkeys(names, 10.0), key=KEY)
    inputs = np.random.default_rng(0).normal(size=(9, given.input_size), scale=30)
    close(given.over_time(inputs), expected.over_time(inputs))
    assert all(
        jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(given) if eqx.is_array(x)
    )


@pytest.mark.slow
@over("names", [[name] for name in NAMES] + [NAMES])
def test_every_unit_has_its_own_time_constants(names, key):
    """One readout of four units is four readouts of one."""
    values = jnp.asarray([1.0, 10.0, 200.0, 1e6])
    together = LeakyReadout(3, 4, key=key, **dict.fromkeys(names, values))
    inputs = jnp.asarray(np.random.default_rng(0).normal(size=(50, 3)))
    found = together.over_time(inputs)
    close(scan(together, together.initial_state(), inputs).membrane, found)
    for unit, value in enumerate(values):
        alone = LeakyReadout(3, 1, key=key, **dict.fromkeys(names, float(value)))
        alone = eqx.tree_at(lambda c: c.weight, alone, together.weight[unit : unit + 1])
        close(found[:, unit], alone.over_time(inputs)[:, 0])


@each_spiking
def test_constants_that_are_none_are_refused(kind, untyped):
    for name in NAMES:
        for value, error, message in (
            ([1, 2], ValueError, "expected one number or shape (4,), got shape (2,)."),
            (np.ones((4, 1)), ValueError, "expected one number or shape (4,), got shape (4, 1)."),
            ([1, 2, 0, 4], ValueError, "expected a finite positive number, got 0."),
            (["1"] * 4, TypeError, "expected a number, got ['1'"),
        ):
            with raises(error, f"{name}: {message}"):
                SPIKING[kind](**{name: value}, key=KEY)


def test_an_array_is_no_single_number(key, untyped):
    """Of the shape of a row or a column it would scale the weights of single units."""
    for make, names in (
        (fl.TanhCell, ["input_gain", "bias_range", "leak", "dale"]),
        (fl.ReLUCell, ["input_gain", "bias_range"]),
        (fl.BinaryCell, ["input_gain", "bias_range", "dale"]),
        (fl.GRUCell, ["input_gain", "update_bias", "openness", "chrono"]),
        (fl.LSTMCell, ["input_gain", "forget_bias", "openness", "chrono"]),
        (fl.LinearRecurrentCell, ["input_gain", "min_radius", "max_radius", "max_phase"]),
        (fl.LIFCell, ["input_gain", "time_step", "dale"]),
        (LeakyReadout, ["gain", "time_step"]),
    ):
        for name in names:
            with raises(ValueError, f"{name}: expected one number, got shape (4,)."):
                make(4, 4, key=key, **{name: np.full(4, 0.5)})


def test_initialisers_take_single_numbers(untyped):
    for make, name in (
        (Gaussian, "gain"),
        (Gaussian, "mean"),
        (Orthogonal, "gain"),
        (Identity, "gain"),
        (Sparse, "density"),
    ):
        with raises(ValueError, f"{name}: expected one number, got shape (2,)."):
            make(**{name: np.full(2, 0.5)})


def test_what_is_no_initialiser_is_refused(key, untyped):
    expected = "recurrent: expected an initialiser such as fl.initialisers.Gaussian(), got "
    for make in (fl.TanhCell, fl.ReLUCell, fl.GRUCell, fl.LSTMCell, fl.BinaryCell, fl.LIFCell):
        with raises(TypeError, expected + "1.2 (float)."):
            make(2, 4, recurrent=1.2, key=key)
    with raises(TypeError, "does not work as initialiser(key, 4): "):
        fl.TanhCell(2, 4, recurrent=jax.nn.initializers.orthogonal(), key=key)


def test_matrices_of_integers_become_weights(key):
    """A NumPy array would be a constant that no gradient reaches."""
    for make in (fl.TanhCell, fl.GRUCell, fl.LIFCell):
        cell = make(2, 4, recurrent=lambda key, size: np.eye(size, dtype=int), key=key)
        assert isinstance(cell.recurrent_weight, jax.Array)
        assert cell.recurrent_weight.dtype == float


def test_escape_is_an_instance_also_when_changed_later(key, untyped):
    cell = fl.LIFCell(1, 2, key=key)
    for escape, text in (
        (SigmoidNoise, "the class SigmoidNoise; write SigmoidNoise()."),
        (0.1, "0.1"),
    ):
        for use in (
            lambda e=escape: fl.LIFCell(1, 2, escape=e, key=key),
            lambda e=escape: fl.with_escape(cell, e),
            lambda e=escape: fl.with_escape(fl.Stack([cell]), [e]),
        ):
            with raises(TypeError, f"escape: expected an escape noise or None, got {text}"):
                use()
