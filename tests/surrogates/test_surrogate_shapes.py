"""Values, declared derivatives and primitives against formulas and quadrature."""

import inspect
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy import integrate
from shapes_under_test import (
    EVERY,
    POINTS,
    ROUNDING,
    SHAPES,
    SHARP,
    SHIPPED,
    custom,
    make_with_peak,
    named,
    over,
    sech,
)

from flossing import surrogates
from flossing.surrogates import (
    Boxcar,
    Custom,
    Sigmoid,
    StraightThrough,
    SuperSpike,
    Surrogate,
)


def test_every_shipped_surrogate_is_tested():
    classes = {
        value
        for value in vars(surrogates).values()
        if inspect.isclass(value) and issubclass(value, Surrogate)
    }
    assert classes == {*SHIPPED, Custom, Surrogate}


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


def test_a_shape_that_is_not_even_is_the_derivative_on_both_sides():
    surrogate = Custom(lambda u: jnp.where(u < 0, jnp.exp(u), 1 / (1 + u**2)), sharpness=2.0)
    x = np.asarray(POINTS)
    expected = np.where(x < 0, np.exp(np.minimum(2 * x, 0)), 1 / (1 + (2 * x) ** 2))
    np.testing.assert_allclose(surrogate.derivative(jnp.asarray(x)), expected, rtol=ROUNDING)
    slopes = jax.vmap(jax.grad(surrogate))(jnp.asarray(x))
    np.testing.assert_allclose(slopes, expected, rtol=ROUNDING)
