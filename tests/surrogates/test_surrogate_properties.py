"""What holds for every shape, sharpness and peak; descriptions."""

import json

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from shapes_under_test import (
    EVERY,
    POINTS,
    ROUNDING,
    SHAPES,
    SHIPPED,
    make_with_peak,
    named,
    over,
)

from flossing import surrogates
from flossing.surrogates import (
    StraightThrough,
    SuperSpike,
)

few = settings(max_examples=50, deadline=None, derandomize=True, database=None)
shipped = st.sampled_from(SHIPPED)
# Without numbers whose square underflows: 1e-200 is as good as zero.
points = arrays(float, 8, elements=st.floats(-10, 10).filter(lambda x: x == 0 or abs(x) > 1e-100))
positive = st.floats(0.1, 2.0)


def double(make, peak, sharpness, method, x):
    return np.asarray(getattr(make_with_peak(make, peak, sharpness), method)(jnp.asarray(x)))


@few
@given(make=shipped, x=points, sharpness=positive, peak=positive)
def test_derivative_is_even(make, x, sharpness, peak):
    right = double(make, peak, sharpness, "derivative", x)
    np.testing.assert_array_equal(double(make, peak, sharpness, "derivative", -x), right)


@few
@given(make=shipped, x=points, sharpness=positive, peak=positive)
def test_derivative_lies_between_zero_and_its_peak(make, x, sharpness, peak):
    found = double(make, peak, sharpness, "derivative", x)
    assert (found >= 0).all()
    assert (found <= peak * (1 + ROUNDING)).all()


@few
@given(make=shipped, x=points, sharpness=positive, peak=positive)
def test_derivative_depends_on_sharpness_times_argument_only(make, x, sharpness, peak):
    if make is StraightThrough:
        sharpness, shape = 1.0, np.ones_like
    else:
        shape = SHAPES[make]
    found = double(make, peak, sharpness, "derivative", x)
    np.testing.assert_allclose(found, peak * shape(sharpness * x), rtol=ROUNDING)


@few
@given(make=shipped, x=points, sharpness=positive, peak=positive)
def test_primitive_never_falls(make, x, sharpness, peak):
    found = double(make, peak, sharpness, "primitive", np.sort(x))
    # The primitive is at most 50 here and, where it is flat, rounded by a few eps of that.
    assert (np.diff(found) >= -50 * 4 * np.finfo(float).eps).all()


@over("make", EVERY, **named)
def test_description_survives_strict_json(make):
    description = make_with_peak(make, 0.6).describe()
    assert json.loads(json.dumps(description, allow_nan=False)) == description


@over("make", EVERY, **named)
def test_description_holds_every_number(make):
    surrogate = make_with_peak(make, 0.6)
    infinite = make is StraightThrough
    assert surrogate.describe() == {
        "name": type(surrogate).__name__,
        "sharpness": surrogate.sharpness,
        "peak": 0.6,
        "half_width": "infinity" if infinite else surrogate.half_width,
        "area": "infinity" if infinite else surrogate.area,
        "normalise": "peak",
    }


@over("make", [make for make in SHIPPED if make is not StraightThrough], **named)
def test_description_is_enough_to_rebuild_the_surrogate(make):
    surrogate = make(1.7, normalise="area")
    recorded = surrogate.describe()
    rebuilt = getattr(surrogates, recorded["name"])(recorded["sharpness"], peak=recorded["peak"])
    x = jnp.asarray(POINTS)
    np.testing.assert_array_equal(rebuilt.derivative(x), surrogate.derivative(x))


def test_description_of_array_numbers_is_a_list():
    description = SuperSpike(jnp.asarray([1.0, 2.0])).describe()
    assert (description["sharpness"], description["area"]) == ([1.0, 2.0], [2.0, 1.0])
