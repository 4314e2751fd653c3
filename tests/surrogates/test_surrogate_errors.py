"""Bad numbers and shapes are named."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shapes_under_test import (
    over,
    sech,
    sech_integral,
)

from flossing.surrogates import (
    Arctan,
    Custom,
    StraightThrough,
    SuperSpike,
)


def raises(error, message):
    return pytest.raises(error, match=re.escape(message))


def test_bad_numbers_are_named(untyped):
    with raises(ValueError, "sharpness: expected a finite positive number, got 0.0."):
        SuperSpike(0.0)
    with raises(TypeError, "peak: expected a number, got '2' (str)"):
        SuperSpike(peak="2")
    with raises(ValueError, "half_width: expected a finite positive number, got inf."):
        Arctan.from_half_width(np.inf)
    with raises(ValueError, "factor: expected a finite non-negative number, got -1.0."):
        SuperSpike().scaled(-1.0)


def test_unknown_normalisation_is_named(untyped):
    with raises(ValueError, "normalise: expected one of 'peak', 'area', got 'volume'."):
        SuperSpike(normalise="volume")


def test_straight_through_has_no_half_width(untyped):
    with raises(ValueError, "half_width: StraightThrough never falls to half its peak."):
        StraightThrough.from_half_width(1.0)


def test_custom_from_half_width_says_what_to_do_instead(untyped):
    with raises(TypeError, "use Custom(shape, sharpness=Custom(shape).half_width / half_width)"):
        Custom.from_half_width(0.3)


@over(
    "shape",
    [jnp.ones_like, lambda u: 1 / (1 + jnp.abs(u)), lambda u: jax.nn.sigmoid(u) * 2],
    ids=["constant", "one over u", "one-sided"],
)
def test_infinite_area_cannot_be_normalised(shape, untyped):
    with raises(ValueError, "normalise: got 'area', but Custom has no finite area; use 'peak'."):
        Custom(shape, normalise="area")


@over(
    ("shape", "message"),
    [
        (lambda u: 2 * sech(u), "shape: shape(0) must be 1, got 2."),
        (jnp.cos, "shape: must not be negative or NaN, got -"),
        (lambda u: jnp.sqrt(1 - u**2), "shape: must not be negative or NaN, got nan at u = -1000."),
        (lambda u: jnp.ones(()), "shape: must be elementwise, gave shape () for an input of shape"),
    ],
    ids=["not 1 at 0", "negative", "nan", "not elementwise"],
)
def test_custom_shapes_are_checked(shape, message, untyped):
    with raises(ValueError, message):
        Custom(shape)


@over(
    ("integral", "message"),
    [
        (jnp.tanh, "integral: its derivative must be shape; at u = ["),
        (lambda u: 0.5 + sech_integral(u), "integral: must be 0 at u = 0, got 0.5."),
    ],
    ids=["another function", "with an offset"],
)
def test_custom_integrals_are_checked(integral, message, untyped):
    with raises(ValueError, message):
        Custom(sech, integral)
