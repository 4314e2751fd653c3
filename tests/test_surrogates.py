"""Surrogates against hand-written formulas, quadrature and JAX's own differentiation."""

import inspect
import itertools
import json
import math
import re
import warnings

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from scipy import integrate

from flossing import surrogates
from flossing.surrogates import (
    Arctan,
    Boxcar,
    Custom,
    Erf,
    Exponential,
    Gaussian,
    NoSecondDerivativeWarning,
    Sigmoid,
    StraightThrough,
    SuperSpike,
    Surrogate,
    Triangular,
    second_derivative_needed,
)


@pytest.fixture(autouse=True)
def double_precision(x64):
    """Everywhere in this file."""


def sech(u):
    return 1 / jnp.cosh(u)


def sech_integral(u):
    return 2 * jnp.arctan(jnp.tanh(u / 2))


def custom(**kwargs):
    return Custom(sech, **kwargs)


def custom_with_integral(**kwargs):
    return Custom(sech, sech_integral, **kwargs)


# The formulas of the docstrings, written once more with numpy.
SHAPES = {
    SuperSpike: lambda u: (np.abs(u) + 1) ** -2.0,
    Sigmoid: lambda u: np.cosh(u / 2) ** -2.0,
    Arctan: lambda u: 1 / (1 + u**2),
    Triangular: lambda u: np.maximum(1 - np.abs(u), 0),
    Gaussian: lambda u: np.exp(-(u**2) / 2),
    Erf: lambda u: np.exp(-(u**2)),
    Exponential: lambda u: np.exp(-np.abs(u)),
    Boxcar: lambda u: np.where(np.abs(u) < 0.5, 1.0, 0.0),
    custom: lambda u: 1 / np.cosh(u),
    custom_with_integral: lambda u: 1 / np.cosh(u),
}
SHARP = list(SHAPES)
SMOOTH = [make for make in SHARP if make is not Boxcar]
EVERY = [*SHARP, StraightThrough]
SHIPPED = [make for make in EVERY if inspect.isclass(make)]

# Threshold, both sides of it, near and far; no kink or edge of a shape at sharpness 1.7.
POINTS = [-3.1, -0.7, -0.11, -1e-9, 0.0, 1e-9, 0.05, 0.4, 2.2]
# A shape is evaluated at |u| <= 20 here. Rounding u by one eps changes exp(-u^2) by up to
# 2 u^2 eps = 2e-13 of itself; 1e-12 leaves room for the few operations around it.
ROUNDING = 1e-12

over = pytest.mark.parametrize
named = {"ids": lambda make: make.__name__}


def make_with_peak(make, peak, sharpness=1.7):
    return make(peak=peak) if make is StraightThrough else make(sharpness=sharpness, peak=peak)


def test_every_shipped_surrogate_is_tested():
    classes = {
        value
        for value in vars(surrogates).values()
        if inspect.isclass(value) and issubclass(value, Surrogate)
    }
    assert classes == {*SHIPPED, Custom, Surrogate}


# Value


@over("make", EVERY, **named)
def test_value_is_one_above_zero_and_zero_at_and_below_it(make):
    x = jnp.asarray([-jnp.inf, -2.0, -1e-30, -0.0, 0.0, 1e-30, 2.0, jnp.inf])
    spikes = make_with_peak(make, 0.6)(x)
    np.testing.assert_array_equal(spikes, [0, 0, 0, 0, 0, 1, 1, 1])


@over("dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64])
def test_value_and_gradient_keep_the_dtype_of_the_argument(dtype):
    x = jnp.asarray([-0.3, 0.4], dtype)
    spikes, pull = jax.vjp(SuperSpike(2.0), x)
    assert (spikes.dtype, pull(spikes)[0].dtype) == (dtype, dtype)


@over("sharpness", [np.float64(2.0), jnp.asarray(2.0)], ids=["numpy", "jax"])
def test_wide_sharpness_does_not_widen_a_narrow_network(sharpness):
    """The gradient has the precision of the network, whatever that of the sharpness."""
    slope = jax.grad(SuperSpike(sharpness))(jnp.asarray(0.25, jnp.bfloat16))
    assert slope.dtype == jnp.bfloat16
    assert slope == jnp.asarray(1 / 1.5**2, jnp.bfloat16)


# Declared derivative, primitive and their numbers


@over("make", SHARP, **named)
def test_derivative_is_peak_times_the_documented_shape(make):
    x = np.asarray(POINTS)
    np.testing.assert_allclose(
        make(sharpness=1.7, peak=0.6).derivative(jnp.asarray(x)),
        0.6 * SHAPES[make](1.7 * x),
        rtol=ROUNDING,
    )


def test_derivative_of_straight_through_is_its_peak_everywhere():
    x = jnp.asarray([-1e6, 0.0, 3.0])
    np.testing.assert_array_equal(StraightThrough(peak=0.6).derivative(x), [0.6, 0.6, 0.6])


@over("make", EVERY, **named)
def test_derivative_of_the_primitive_is_the_declared_derivative(make):
    surrogate = make_with_peak(make, 0.6)
    x = jnp.asarray(POINTS)
    slopes = jax.vmap(jax.grad(surrogate.primitive))(x)
    np.testing.assert_allclose(slopes, surrogate.derivative(x), rtol=ROUNDING)


@over("make", EVERY, **named)
def test_primitive_rises_by_the_integral_of_the_derivative(make):
    surrogate = make_with_peak(make, 0.6)
    derivative = jax.jit(surrogate.derivative)
    for sign, end in ((-1, 1.3), (1, 2.4)):
        rise = sum(
            integrate.quad(lambda x, sign=sign: derivative(sign * x), *piece, epsabs=1e-12)[0]
            for piece in itertools.pairwise(edges(surrogate, 0.0, end))
        )
        found = surrogate.primitive(jnp.asarray(sign * end))
        # quad meets 1e-12 on each of at most three pieces.
        np.testing.assert_allclose(found, 0.5 + sign * rise, rtol=0, atol=1e-11)


def edges(surrogate, low, high):
    """Start, end, and the kinks and jumps that quadrature should not have to find."""
    kinks = [u / surrogate.sharpness for u in (0.5, 1.0)]
    return [low, *(kink for kink in kinks if low < kink < high), high]


@over("make", EVERY, **named)
def test_primitive_is_one_half_at_threshold(make):
    assert make_with_peak(make, 0.6).primitive(jnp.zeros(())) == 0.5


@over("make", EVERY, **named)
def test_peak_is_the_derivative_at_threshold(make):
    surrogate = make_with_peak(make, 0.6)
    assert surrogate.peak == 0.6
    np.testing.assert_allclose(surrogate.derivative(jnp.zeros(())), 0.6, rtol=ROUNDING)


@over("make", SHARP, **named)
def test_area_is_the_integral_of_the_derivative(make):
    surrogate = make(sharpness=1.7, peak=0.6)
    derivative = jax.jit(surrogate.derivative)
    total = 0.0
    for a, b in itertools.pairwise(edges(surrogate, 0.0, math.inf)):
        total += integrate.quad(derivative, a, b)[0] + integrate.quad(derivative, -b, -a)[0]
    # The default tolerance of quad is 1.5e-8 on each of six pieces, and Custom uses it too.
    np.testing.assert_allclose(surrogate.area, total, rtol=0, atol=1e-7)


@over("make", [make for make in SHARP if make is not Boxcar], **named)
def test_derivative_at_the_half_width_is_half_the_peak(make):
    surrogate = make(sharpness=1.7, peak=0.6)
    half = surrogate.derivative(jnp.asarray(surrogate.half_width))
    # Custom finds its half width by bisection to 1e-7.
    tolerance = 1e-6 if isinstance(surrogate, Custom) else ROUNDING
    np.testing.assert_allclose(half, 0.3, rtol=tolerance)


def test_boxcar_falls_past_half_its_peak_at_the_half_width():
    surrogate = Boxcar(1.7, peak=0.6)
    around = surrogate.half_width * jnp.asarray([-1.001, -0.999, 0.999, 1.001])
    np.testing.assert_array_equal(surrogate.derivative(around), [0, 0.6, 0.6, 0])


@over("make", SHARP, **named)
def test_normalised_area_is_one_and_the_primitive_goes_from_zero_to_one(make):
    surrogate = make(sharpness=1.7, normalise="area")
    far = 20.0 / 1.7
    tail = integrate.quad(jax.jit(surrogate.derivative), far, np.inf)[0]
    # Custom knows its area from quadrature, to 1.5e-8 on each side.
    np.testing.assert_allclose(surrogate.area, 1.0, rtol=ROUNDING)
    ends = surrogate.primitive(jnp.asarray([-far, far]))
    np.testing.assert_allclose(ends, [tail, 1 - tail], rtol=0, atol=3e-8)


def test_area_normalised_sigmoid_is_the_logistic_function():
    surrogate = Sigmoid(3.0, normalise="area")
    x = jnp.asarray(POINTS)
    assert surrogate.peak == 0.75
    np.testing.assert_allclose(
        surrogate.primitive(x), 1 / (1 + np.exp(-3 * np.asarray(x))), atol=1e-15
    )


@over("make", [make for make in SHIPPED if make is not StraightThrough], **named)
@over("normalise", ["peak", "area"])
def test_from_half_width_has_that_half_width(make, normalise):
    surrogate = make.from_half_width(0.3, peak=0.6, normalise=normalise)
    np.testing.assert_allclose(surrogate.half_width, 0.3, rtol=1e-15)
    found = surrogate.peak if normalise == "peak" else surrogate.area
    np.testing.assert_allclose(found, 0.6 if normalise == "peak" else 1.0, rtol=1e-15)


def test_custom_half_width_allows_the_scaling_its_error_suggests():
    surrogate = Custom(sech, sharpness=Custom(sech).half_width / 0.3)
    np.testing.assert_allclose(surrogate.derivative(jnp.asarray(0.3)), 0.5, rtol=1e-6)


@over("u", [0.5, 5.0, 20.0, 50.0])
def test_quadrature_of_a_custom_shape_is_accurate_as_far_as_documented(u):
    expected = 0.5 + 2 * math.atan(math.tanh(u / 2))
    # Gauss-Legendre with n nodes errs like u rho^(-2n); with the poles of sech at +-i pi/2, u = 50
    # has rho = 1.29, which makes that 4e-13. Nearer ends have a larger rho.
    np.testing.assert_allclose(custom().primitive(jnp.asarray(u)), expected, rtol=0, atol=1e-12)


def test_custom_with_constant_shape_has_infinite_area_and_width():
    surrogate = Custom(jnp.ones_like)
    assert (surrogate.area, surrogate.half_width) == (math.inf, math.inf)


@over("power", [1.1, 1.5, 3.0])
def test_custom_area_of_a_heavy_tail(power):
    area = Custom(lambda u: (1 + jnp.abs(u)) ** -power).area
    # The default tolerance of quad is 1.5e-8 on each side.
    np.testing.assert_allclose(area, 2 / (power - 1), rtol=3e-8)


# Differentiation


FIRST = {
    "grad": jax.grad,
    "forward": jax.jacfwd,
    "reverse": jax.jacrev,
    "jvp": lambda f: lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1],
}


@over("make", EVERY, **named)
def test_gradient_of_spikes_is_the_declared_derivative(make):
    surrogate = make_with_peak(make, 0.6)
    x = jnp.asarray(POINTS)
    slopes = jnp.stack([jax.grad(surrogate)(point) for point in x])
    np.testing.assert_allclose(slopes, surrogate.derivative(x), rtol=ROUNDING)


@over("make", [SuperSpike, StraightThrough, custom], **named)
@over("mode", FIRST.values(), ids=FIRST)
def test_all_modes_of_differentiation_give_the_declared_derivative(make, mode):
    """Also inside vmap and jit."""
    surrogate = make_with_peak(make, 0.6)
    x = jnp.asarray(POINTS)
    slopes = jax.jit(jax.vmap(mode(surrogate)))(x)
    np.testing.assert_allclose(slopes, surrogate.derivative(x), rtol=ROUNDING)


def test_gradient_at_a_python_number(untyped):
    assert jax.grad(SuperSpike(2.0))(0.5) == 0.25


SECOND = {
    "grad of grad": lambda f: jax.grad(jax.grad(f)),
    "grad of jvp": lambda f: jax.grad(lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]),
    "jvp of grad": lambda f: lambda x: jax.jvp(jax.grad(f), (x,), (jnp.ones_like(x),))[1],
    "jvp of jvp": lambda f: jax.jacfwd(jax.jacfwd(f)),
    "hessian": jax.hessian,
}


@over(
    ("compose", "make"),
    [
        *(("grad of grad", make) for make in SMOOTH),
        *((name, make) for name in list(SECOND)[1:] for make in (SuperSpike, custom)),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_second_derivatives_are_those_of_the_declared_derivative(compose, make):
    surrogate = make(sharpness=1.7, peak=0.6)
    # Away from threshold, where some shapes have a kink; inside the support of the triangle.
    x = jnp.asarray([-0.4, -0.11, 0.05, 0.3])
    found = jax.jit(jax.vmap(SECOND[compose](surrogate)))(x)
    step = 1e-5
    difference = (surrogate.derivative(x + step) - surrogate.derivative(x - step)) / (2 * step)
    assert (jnp.abs(found) > 1e-2).all()
    # A central difference errs by step^2/6 times a third derivative (below 60 here), so by less
    # than 1e-9, and by rounding, eps / step < 1e-10.
    np.testing.assert_allclose(found, difference, rtol=0, atol=2e-9)


def test_gradient_through_a_scan_is_the_product_of_declared_derivatives():
    surrogate = SuperSpike(2.0)

    def run(x):
        return jax.lax.scan(lambda x, drive: (0.7 * surrogate(x) + drive, x), x, drives)

    drives = jnp.asarray([-0.9, 0.2, 0.4, -0.3])
    start = jnp.asarray(0.1)
    states = run(start)[1]
    expected = np.prod(0.7 / (2 * np.abs(states) + 1) ** 2)
    np.testing.assert_allclose(jax.grad(lambda x: run(x)[0])(start), expected, rtol=ROUNDING)


@over("make", SMOOTH, **named)
def test_sharpness_and_peak_arrays_have_gradients_through_the_derivative(make):
    def total(sharpness, peak):
        return make(sharpness=sharpness, peak=peak).derivative(x).sum()

    x = jnp.asarray([-0.3, 0.0, 0.2])
    sharpness, peak = jnp.asarray([1.7, 2.0, 0.4]), jnp.asarray([0.6, 1.0, 2.0])
    by_sharpness, by_peak = jax.grad(total, (0, 1))(sharpness, peak)
    shape, step = SHAPES[make], 1e-5
    u = np.asarray(sharpness * x)
    slope = (shape(u + step) - shape(u - step)) / (2 * step)
    # As for the second derivatives: a central difference.
    np.testing.assert_allclose(by_sharpness, peak * x * slope, rtol=0, atol=2e-9)
    np.testing.assert_allclose(by_peak, shape(u), rtol=ROUNDING)


def test_sharpness_gets_its_gradient_through_a_differentiated_spike():
    """Flossing differentiates the tangents of spikes: that reaches a learned sharpness."""

    def growth(sharpness):
        return jax.jvp(SuperSpike(sharpness), (jnp.asarray(0.3),), (jnp.asarray(1.0),))[1]

    found = jax.grad(growth)(jnp.asarray(2.0))
    np.testing.assert_allclose(found, -2 * 0.3 / 1.6**3, rtol=ROUNDING)


def test_spikes_alone_give_sharpness_no_gradient():
    found = jax.grad(lambda sharpness: SuperSpike(sharpness)(jnp.asarray(0.3)))(jnp.asarray(2.0))
    assert found == 0


# Properties of all shipped shapes

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


# Description


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


# Flossing needs a second derivative


@over("make", [Boxcar, StraightThrough], **named)
@over(
    "use",
    [lambda s: s.derivative(jnp.zeros(2)), lambda s: jax.grad(s)(jnp.asarray(0.3))],
    ids=["direct", "grad"],
)
def test_piecewise_constant_derivatives_warn_when_flossed(make, use):
    with (
        second_derivative_needed(),
        pytest.warns(NoSecondDerivativeWarning, match=f"{make.__name__} has no useful second"),
    ):
        use(make_with_peak(make, 0.6))


@over("make", SMOOTH, **named)
def test_other_derivatives_do_not_warn_when_flossed(make):
    with second_derivative_needed(), warnings.catch_warnings():
        warnings.simplefilter("error")
        make_with_peak(make, 0.6).derivative(jnp.zeros(2))


@over("make", [Boxcar, StraightThrough], **named)
def test_piecewise_constant_derivatives_do_not_warn_after_flossing(make):
    """Also not when flossing ended with an error."""
    with pytest.raises(RuntimeError), second_derivative_needed():
        raise RuntimeError
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_with_peak(make, 0.6).derivative(jnp.zeros(2))


# Errors

BAD_NUMBERS = [
    (0.0, ValueError, "expected a finite positive number, got 0.0"),
    (-2.0, ValueError, "expected a finite positive number, got -2.0"),
    (math.nan, ValueError, "expected a finite positive number, got nan"),
    (math.inf, ValueError, "expected a finite positive number, got inf"),
    (np.asarray([1.0, -3.0]), ValueError, "expected a finite positive number, got -3.0"),
    ("2", TypeError, "expected a number, got '2' (str)"),
    (None, TypeError, "expected a number, got None (NoneType)"),
    (True, TypeError, "expected a number, got True (bool)"),
    ([[1.0], 2.0], TypeError, "expected a number, got [[1.0], 2.0] (list)"),
]


def raises(error, message):
    return pytest.raises(error, match=re.escape(message))


@over("argument", ["sharpness", "peak"])
@over(("value", "error", "message"), BAD_NUMBERS)
def test_bad_numbers_are_named(argument, value, error, message, untyped):
    with raises(error, f"{argument}: {message}"):
        SuperSpike(**{argument: value})


@over(("value", "error", "message"), BAD_NUMBERS)
def test_bad_half_widths_are_named(value, error, message, untyped):
    with raises(error, f"half_width: {message}"):
        Arctan.from_half_width(value)


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
