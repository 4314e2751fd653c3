"""Checks of arguments: each kind of fault is named, once for all functions that use them."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing._checks import (
    check_choice,
    check_finite,
    check_fraction,
    check_integer,
    check_key,
    check_positive,
    check_shape,
    check_single,
    positive_parameter,
)

over = pytest.mark.parametrize
NO_NUMBERS = [
    ("2", "expected a number, got '2' (str)"),
    (None, "expected a number, got None (NoneType)"),
    (True, "expected a number, got True (bool)"),
    (np.True_, "expected a number, got np.True_"),
    ([[1.0], 2.0], "expected a number, got [[1.0], 2.0] (list)"),
    (np.ones(2) * 1j, "expected a number, got array([0.+1.j"),
    (["1", "2"], "expected a number, got ['1', '2'] (list)"),
    (np.ones(2, bool), "expected a number, got array([ True,  True]) (ndarray)"),
]


def raises(error, message):
    return pytest.raises(error, match=re.escape(message))


@over("check", [check_finite, check_positive, check_fraction, positive_parameter])
def test_what_is_no_number_is_refused(check):
    for value, message in NO_NUMBERS:
        with raises(TypeError, f"x: {message}"):
            check("x", value)


@over("check", [check_positive, positive_parameter])
def test_numbers_have_to_be_positive(check):
    for value in (0.0, -2.0, math.nan, math.inf):
        with raises(ValueError, f"x: expected a finite positive number, got {value}."):
            check("x", value)
    with raises(ValueError, "x: expected a finite positive number, got -3.0."):
        check("x", np.asarray([1.0, -3.0]))
    with raises(ValueError, "x: expected a finite non-negative number, got -1."):
        check("x", -1, zero=True)
    check("x", 0.0, zero=True)
    check("x", 10**400 // 10**399)


def test_numbers_have_to_be_finite():
    for value in (math.nan, math.inf, np.asarray([0.0, math.nan])):
        with raises(ValueError, "x: expected finite numbers, got "):
            check_finite("x", value)
    with raises(ValueError, "x: expected finite numbers, got one beyond 1e308."):
        check_finite("x", 10**400)
    check_finite("x", -1.5)


def test_fractions_lie_between_zero_and_one():
    with raises(ValueError, "x: expected a number between 0 and 1, got 1.2."):
        check_fraction("x", 1.2)
    with raises(ValueError, "x: expected a finite non-negative number, got -0.5."):
        check_fraction("x", -0.5)
    for value in (0, 0.3, 1.0):
        check_fraction("x", value)


def test_an_array_is_no_single_number():
    for value, shape in (
        (np.full(4, 0.5), "(4,)"),
        ([0.5] * 4, "(4,)"),
        (jnp.ones((4, 1)), "(4, 1)"),
    ):
        with raises(ValueError, f"x: expected one number, got shape {shape}."):
            check_single(y=1.0, x=value)


def test_integers_are_integers_within_their_limits():
    for value, kind in ((2.0, "float"), (True, "bool"), ("2", "str")):
        with raises(TypeError, f"n: expected an integer, got {value!r} ({kind})."):
            check_integer("n", value)
    with raises(ValueError, "n: expected at least 1, got 0."):
        check_integer("n", 0, 1)
    with raises(ValueError, "n: expected at most 4, got 5."):
        check_integer("n", 5, 1, 4)
    assert type(check_integer("n", np.int64(3), 1, 4)) is int


def test_keys_are_single_random_keys():
    text = "key: expected a random key such as jax.random.key(0), got "
    with raises(ValueError, f"{text}None."):
        check_key("key", None)
    with raises(TypeError, f"{text}7 (int)."):
        check_key("key", 7)
    with raises(TypeError, f"{text}an array of dtype float32 and shape (2,)."):
        check_key("key", jnp.zeros(2))
    with raises(ValueError, "key: expected one random key, got an array of shape (3,)."):
        check_key("key", jax.random.split(jax.random.key(0), 3))
    check_key("key", jax.random.PRNGKey(0))


def test_choices_and_shapes_are_listed():
    with raises(ValueError, "x: expected one of 'a', 'b', got 'c'."):
        check_choice("x", "c", ("a", "b"))
    with raises(ValueError, "x: expected shape (2,), got (3,)."):
        check_shape("x", jnp.zeros(3), (2,))
