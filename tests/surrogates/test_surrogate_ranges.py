"""Arguments of any dtype and any size; shapes that are narrow, wide or one-sided."""

import math
from decimal import Decimal, localcontext

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy import special
from shapes_under_test import SHAPES, SHIPPED, named, over

from flossing.escape_noise import ShapeNoise
from flossing.surrogates import (
    Arctan,
    Boxcar,
    Custom,
    Erf,
    Exponential,
    Gaussian,
    Sigmoid,
    StraightThrough,
    SuperSpike,
    Surrogate,
    Triangular,
)

few = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PRECISIONS = [
    "float16",
    "float32",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("bfloat16", "float64")),
]
FINITE = [make for make in SHIPPED if make is not StraightThrough]
# Integrals from u >= 0 to infinity, in double precision.
TAILS = {
    SuperSpike: lambda u: 1 / (1 + u),
    Sigmoid: lambda u: 4 / (1 + np.exp(np.minimum(u, 700))),
    Arctan: lambda u: math.pi / 2 - np.arctan(u) if u < 1 else np.arctan(1 / u),
    Triangular: lambda u: np.maximum(0, 1 - u) ** 2 / 2,
    Gaussian: lambda u: math.sqrt(math.pi / 2) * special.erfc(u / math.sqrt(2)),
    Erf: lambda u: math.sqrt(math.pi) / 2 * special.erfc(u),
    Exponential: lambda u: np.exp(-u),
    Boxcar: lambda u: np.maximum(0, 0.5 - u),
}


@pytest.mark.slow
@over(
    ("dtype", "make"),
    [(dtype, make) for dtype in (np.uint8, np.float16) for make in SHIPPED]
    + [(dtype, make) for dtype in (bool, "bfloat16") for make in (SuperSpike, StraightThrough)],
)
def test_arguments_of_any_dtype_are_numbers(make, dtype, untyped):
    """Also integers whose squares and negatives do not fit into their type."""
    values = [0, 1] if dtype is bool else [0, 1, 2, 5, 100]
    x = (
        np.asarray(jnp.asarray(values, jnp.bfloat16))
        if dtype == "bfloat16"
        else np.asarray(values, dtype)
    )
    surrogate = make() if make is StraightThrough else make(np.uint8(3))
    exact = StraightThrough() if make is StraightThrough else make(3.0)
    result = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.dtype(float)
    error = 4 * float(jnp.finfo(result).eps)
    for form in (x, jnp.asarray(x)):
        assert surrogate(form).dtype == surrogate.derivative(form).dtype == result
        np.testing.assert_array_equal(surrogate(form).astype(float), np.asarray(values) > 0)
        for method in ("derivative", "primitive"):
            expected = getattr(exact, method)(jnp.asarray(values, float))
            found = getattr(surrogate, method)(form).astype(float)
            tiny = float(jnp.finfo(result).smallest_subnormal)
            # Single precision inside: exp(-u) of 300 is no number of it.
            np.testing.assert_allclose(found, expected, rtol=error + 2e-5, atol=max(tiny, 1e-37))


@pytest.mark.slow
@over(
    ("dtype", "make"),
    [(dtype, make) for dtype in ("float16", "float32") for make in FINITE]
    + [(dtype, make) for dtype in ("bfloat16", "float64") for make in (SuperSpike, Gaussian)],
)
@given(x=st.floats(-6e4, 6e4), sharpness=st.floats(1e-3, 1e6))
@few
def test_derivatives_of_any_argument_are_those_of_double_precision(make, dtype, x, sharpness):
    x = jnp.asarray(x, dtype)
    single = float(np.float32(sharpness))
    found = float(make(sharpness).derivative(x))
    kinks = {Boxcar: 0.5, Triangular: 1.0}
    u = single * float(x)
    if abs(abs(u) - kinks.get(make, math.inf)) < 1e-2:
        return
    with np.errstate(over="ignore"):
        expected = float(SHAPES[make](np.float64(np.clip(u, -700, 700) if make is Sigmoid else u)))
    # exp(-u^2) multiplies the rounding of u by 2 u^2, which is below 200 where the value is a number.
    error = 3 * float(jnp.finfo(dtype).eps) + 400 * float(jnp.finfo(jnp.float32).eps)
    floor = max(float(jnp.finfo(dtype).smallest_subnormal), 1e-37)
    np.testing.assert_allclose(found, expected, rtol=error, atol=floor)


@over("make", SHIPPED, **named)
@over("dtype", PRECISIONS)
def test_the_largest_arguments_give_numbers(make, dtype):
    largest = float(jnp.finfo(dtype).max)
    x = jnp.asarray([-largest, -largest / 2, largest / 2, largest], dtype)
    surrogate = make() if make is StraightThrough else make(1e3, normalise="area")
    np.testing.assert_array_equal(surrogate(x).astype(float), [0, 0, 1, 1])
    assert jnp.isfinite(surrogate.derivative(x)).all()
    if make is not StraightThrough:
        found = surrogate.primitive(x).astype(float)
        # Arctan and SuperSpike are 1 / u from their ends.
        np.testing.assert_allclose(found, [0, 0, 1, 1], atol=1e-6 + float(jnp.finfo(dtype).eps))


@over("make", FINITE, **named)
@given(u=st.floats(-8, 8).map(lambda e: 10**e), sign=st.sampled_from([-1, 1]))
@few
def test_tails_keep_their_digits(make, u, sign):
    expected = float(TAILS[make](u))
    found = float(make(1.0).tail(jnp.asarray(sign * u)))
    # Near its end a triangle is a difference of 1 and u, and erfc and exp multiply the rounding of u.
    error = {Triangular: 1e-6, Boxcar: 1e-6}.get(make, 1e-11)
    np.testing.assert_allclose(found, expected, rtol=error, atol=1e-290)


@pytest.mark.slow
@over("make", FINITE, **named)
@given(u=st.floats(-4, 4).map(lambda e: 10**e))
@few
def test_escape_noise_of_a_shape_has_exact_tails_in_single_precision(make, u):
    """Far below threshold 1/2 plus an integral keeps no digit of a probability of 1e-9."""
    if abs(u - {Boxcar: 0.5, Triangular: 1.0}.get(make, math.inf)) < 0.1:
        return
    noise = ShapeNoise(make(1.0, normalise="area"))
    u = float(np.float32(u))
    area = 2 * float(TAILS[make](0.0))
    tail, x = float(TAILS[make](u)) / area, jnp.asarray(u, jnp.float32)
    single = float(jnp.finfo(jnp.float32).eps)
    error = single * (20 + 4 * u * u) if tail > 1e-36 else 1.0
    np.testing.assert_allclose(noise.probability(-x), tail, rtol=min(error, 1e-3), atol=1e-37)
    np.testing.assert_allclose(noise.probability(x), 1 - tail, rtol=4 * single)
    np.testing.assert_allclose(
        noise.jump_up(x) * noise.probability(-x), noise.slope(x), rtol=1e-6, atol=1e-37
    )


@pytest.mark.slow
@over(
    ("shape", "integral"),
    [
        (lambda u: 1 / jnp.cosh(jnp.clip(u, -700, 700)), lambda u: 2 * math.atan(math.tanh(u / 2))),
        (lambda u: jnp.exp(-jnp.square(u)), lambda u: math.sqrt(math.pi) / 2 * math.erf(u)),
        (lambda u: 1 / jnp.square(1 + jnp.abs(u)), lambda u: u / (1 + abs(u))),
        (
            lambda u: jnp.where(u < 0, jnp.exp(u), 1 / (1 + jnp.square(u))),
            lambda u: math.atan(u) if u > 0 else -1.0,
        ),
    ],
    ids=["sech", "gaussian", "heavy tail", "one-sided"],
)
def test_primitives_of_custom_shapes_hold_for_any_argument(shape, integral):
    arguments = [-1e30, -60.0, 500.0, 1e6]
    found = Custom(shape).primitive(jnp.asarray(arguments))
    np.testing.assert_allclose(found, [0.5 + integral(u) for u in arguments], rtol=0, atol=1e-11)


@pytest.mark.slow
@given(width=st.floats(-9, 9).map(lambda e: 10**e))
@settings(max_examples=6, deadline=None, derandomize=True, database=None)
def test_custom_shapes_of_any_width_are_measured(width):
    made = Custom(lambda u: jnp.exp(-jnp.abs(u) / width))
    np.testing.assert_allclose(made.area, 2 * width, rtol=1e-8)
    np.testing.assert_allclose(made.half_width, width * math.log(2), rtol=1e-6)


def test_what_no_gradient_can_pass_is_refused(untyped):
    with pytest.raises(
        TypeError, match="shape: expected a function that JAX can trace; write it w"
    ):
        Custom(lambda u: np.exp(-np.square(np.asarray(u))))
    with pytest.raises(TypeError, match="shape: expected a function that JAX can trace"):
        Custom(np.cos)
    with pytest.raises(
        TypeError, match=r"shape: expected a function of an array, got 2.0 \(float\)"
    ):
        Custom(2.0)
    with pytest.raises(TypeError, match="integral: expected a function that JAX can trace"):
        Custom(lambda u: jnp.exp(-jnp.abs(u)), np.tanh)
    with pytest.raises(
        TypeError, match="Surrogate: has no shape; use one of its kinds, such as Supe"
    ):
        Surrogate(1.0)
    with pytest.raises(
        TypeError, match="x: expected an array of real numbers, got dtype complex128"
    ):
        SuperSpike().derivative(1j)


def test_only_an_even_shape_is_a_probability(untyped):
    """The primitive of a one-sided shape of area 1 goes from 1/2 to 3/2."""
    made = Custom(lambda u: jnp.where(u < 0, 0, jnp.exp(-u)), normalise="area")
    assert not made.is_even
    with pytest.raises(
        ValueError, match=r"surrogate: expected a shape with shape\(-u\) = shape\(u\)"
    ):
        ShapeNoise(made)
    assert Custom(lambda u: jnp.exp(-jnp.abs(u)), normalise="area").is_even


@over("value", [[1.0, 2.0], (1, 2), np.asarray([1, 2]), np.asarray([1, 2], np.uint8)])
def test_arrays_of_numbers_belong_to_jax(value, untyped):
    """Leaves that are NumPy arrays or lists would be no parameters."""
    for surrogate in (SuperSpike(value), SuperSpike(1.0, peak=value), SuperSpike().scaled(value)):
        arrays = [x for x in jax.tree.leaves(surrogate) if not isinstance(x, float)]
        assert len(arrays) == 1
        assert isinstance(arrays[0], jax.Array)
        assert arrays[0].dtype == float
    found = Arctan.from_half_width(value).half_width
    np.testing.assert_allclose(found, np.asarray(value), rtol=1e-15)


def test_the_references_of_tails_are_the_integrals():
    """Against exact sums where double precision could hide a digit."""
    with localcontext() as context:
        context.prec = 50
        for u in (1e-8, 0.3, 40.0, 1e8):
            exact = 4 / (1 + Decimal(u).exp()) if u < 1e6 else Decimal(0)
            np.testing.assert_allclose(TAILS[Sigmoid](u), float(exact), rtol=1e-13, atol=1e-300)
            half_pi = Decimal("1.5707963267948966192313216916397514420985846996876")
            assert abs(TAILS[Arctan](u) - float(half_pi - Decimal(math.atan(u)))) < 1e-15
