"""Surrogates under all modes of differentiation, and what warns when it is flossed."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from shapes_under_test import (
    EVERY,
    POINTS,
    ROUNDING,
    SHAPES,
    SMOOTH,
    custom,
    make_with_peak,
    named,
    over,
)

from flossing.surrogates import (
    Boxcar,
    NoSecondDerivativeWarning,
    StraightThrough,
    SuperSpike,
    second_derivative_needed,
)

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
