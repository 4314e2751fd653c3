"""Escape noise: valid probabilities everywhere, slopes that are their derivatives, spikes as often."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from flossing import surrogates, theory
from flossing.escape_noise import ExponentialNoise, ShapeNoise, SigmoidNoise, StepNoise

pytestmark = pytest.mark.usefixtures("x64")

NOISES = {
    "sigmoid": SigmoidNoise(7.0),
    "exponential": ExponentialNoise(),
    "steep exponential": ExponentialNoise(0.5, 0.013),
    "hazard": ExponentialNoise(saturation="hazard"),
    "triangle": ShapeNoise(surrogates.Triangular(5.0, normalise="area")),
    "SuperSpike": ShapeNoise(surrogates.SuperSpike(5.0, normalise="area")),
    "step": StepNoise(),
}
each = pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
# Away from kinks and from the jump at threshold.
X = np.concatenate([np.linspace(-1, 1, 40) + 1.234e-3, [-1e3, -30.0, 30.0, 1e3]])


@each
def test_probability_is_one_everywhere(noise):
    """In both precisions; every rate is finite too, and goes with the probability."""
    for dtype in (jnp.float32, jnp.float64):
        x = jnp.asarray(X, dtype)
        p, slope = noise.probability(x), noise.slope(x)
        assert p.dtype == slope.dtype == dtype
        assert ((p >= 0) & (p <= 1)).all()
        assert (jnp.diff(p[:40]) >= 0).all()
        assert ((slope >= 0) & jnp.isfinite(slope)).all()
        for rate, left in ((noise.jump_up(x), 1 - p), (noise.jump_down(x), p)):
            assert jnp.isfinite(rate).all()
            rounding = 4 * jnp.finfo(dtype).eps * (rate + slope) + 1e-5 * slope
            assert (jnp.abs(rate * left - slope) <= rounding).all()


@each
@given(x=st.floats(-1e30, 1e30))
@settings(max_examples=20, deadline=None)
def test_probability_is_a_probability_however_far_away(noise, x):
    assert 0 <= float(noise.probability(jnp.asarray(x))) <= 1
    assert np.isfinite(float(noise.slope(jnp.asarray(x))))


def test_values():
    found = SigmoidNoise(10.0).probability(jnp.asarray(0.05))
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-0.5)))
    found = ExponentialNoise(0.5, 0.2).probability(jnp.asarray([-0.2, 0.0, 0.1, 9.0]))
    np.testing.assert_allclose(found, [0.5 / np.e, 0.5, 0.5 * np.exp(0.5), 1.0])


@each
def test_slope_is_the_derivative_of_the_probability(noise):
    x = jnp.asarray(X[:40])
    step = 1e-6
    difference = (noise.probability(x + step) - noise.probability(x - step)) / (2 * step)
    # A central difference errs by (step / 0.013)^2 / 6 of the steepest slope, and by rounding.
    np.testing.assert_allclose(noise.slope(x), difference, rtol=2e-6, atol=1e-8)


@each
def test_spikes_come_with_their_probability_and_the_declared_derivative(noise):
    uniform = (jnp.arange(10_000) + 0.5) / 10_000
    for x in (-0.2, 0.01, 0.1):
        at = jnp.full(uniform.shape, x)
        spikes, tangents = jax.jvp(lambda x: noise(x, uniform), (at,), (jnp.ones_like(at),))
        assert set(np.unique(spikes)) <= {0.0, 1.0}
        assert abs(float(spikes.mean() - noise.probability(at)[0])) <= 1e-4
        np.testing.assert_allclose(tangents, noise.slope(at), rtol=1e-14)


@pytest.mark.parametrize(
    "kind",
    [
        lambda rule: SigmoidNoise(2.5, rule=rule),
        lambda rule: ExponentialNoise(width=0.4, rule=rule),
    ],
)
def test_derivative_of_each_rule(kind):
    x = jnp.asarray(X)
    uniform = jnp.asarray(np.random.default_rng(0).random(X.size))
    for rule in ("matched", "spike_train", "constant"):
        noise = kind(rule)
        spikes, found = jax.jvp(lambda x, n=noise: n(x, uniform), (x,), (jnp.ones_like(x),))
        expected = {
            "matched": noise.slope(x),
            "spike_train": spikes / 0.4,
            "constant": jnp.full_like(x, 1 / 0.4),
        }
        np.testing.assert_allclose(found, expected[rule], rtol=1e-6)
        reverse = jax.grad(lambda x, n=noise: n(x, uniform).sum())(x)
        np.testing.assert_allclose(reverse, found, rtol=1e-6)


def test_multilayer_spiker_is_right_on_average_for_exponential_noise():
    """Its mean over samples is the slope of the probability (4 standard errors)."""
    noise, x = ExponentialNoise(0.4, 0.3, rule="spike_train"), jnp.full(40_000, -0.1)
    uniform = jnp.asarray(np.random.default_rng(1).random(x.size))
    sampled = noise.derivative(x, noise(x, uniform))
    error = sampled.std() / np.sqrt(x.size)
    assert abs(float(sampled.mean() - noise.slope(x)[0])) < 4 * error


def test_published_exponential_noise():
    noise = ExponentialNoise()
    np.testing.assert_allclose(noise.probability(jnp.zeros(1)), 2 / 3)
    np.testing.assert_allclose(noise.probability(jnp.array([-0.133])), 2 / 3 / np.e)
    assert noise.probability(jnp.array([0.2]))[0] == 1
    assert noise.slope(jnp.array([0.2]))[0] == 0


def test_parameters_belong_to_an_instance():
    one, two = SigmoidNoise(1.0), SigmoidNoise(2.0)
    assert (one.sharpness, two.sharpness) == (1, 2)
    assert one.describe() == {"name": "SigmoidNoise", "sharpness": 1.0, "rule": "matched"}
    net = theory.StochasticNet((1, 2, 1), [one, two], key=jax.random.key(0))
    assert [n.sharpness for n in net.noises] == [1, 2]


def test_steep_noise_becomes_a_spike():
    noise, step = SigmoidNoise(1e6), StepNoise()
    x = jnp.asarray(X)
    uniform = jnp.full(x.shape, 0.37)
    np.testing.assert_array_equal(noise(x, uniform), step(x, uniform))
    np.testing.assert_array_equal(step(x, uniform), surrogates.SuperSpike()(x))


def exact_rates(kind, log):
    """Probability, slope and rates of jumps of width 1, from the logarithm of the intensity (60 digits)."""
    with localcontext() as context:
        context.prec = 60
        rate = Decimal(log).exp()
        if kind == "clip":
            p, slope = (rate, rate) if log < 0 else (Decimal(1), Decimal(0))
        else:
            p, slope = 1 - (-rate).exp(), rate * (-rate).exp()
        up = slope / (1 - p) if p < 1 else Decimal(0)
        return [float(value) for value in (p, slope, up, slope / p)]


@pytest.mark.parametrize("kind", ["clip", "hazard"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(
    log=st.one_of(
        st.floats(-80, 4.0), st.floats(-9, 0).map(lambda e: -(10**e)), st.floats(-1e-6, 1e-6)
    )
)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_exponential_noise_keeps_its_digits(kind, dtype, log):
    """Also just below saturation, where 1 - p is a difference of nearly equal numbers."""
    log = float(np.asarray(log, dtype))
    if kind == "clip" and (log == 0 or abs(log) < 1e-30):
        return
    noise, x = ExponentialNoise(1.0, 1.0, saturation=kind), jnp.asarray(log, dtype)
    found = [noise.probability(x), noise.slope(x), noise.jump_up(x), noise.jump_down(x)]
    eps = float(jnp.finfo(dtype).eps)
    # exp(-exp(log)) multiplies the rounding of log by exp(log), which is below 55.
    np.testing.assert_allclose(
        [float(value) for value in found], exact_rates(kind, log), rtol=400 * eps, atol=1e-36
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@given(u=st.floats(-80, 80))
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_sigmoid_noise_keeps_its_digits(dtype, u):
    u = float(np.asarray(u, dtype))
    noise, x = SigmoidNoise(1.0), jnp.asarray(u, dtype)
    with localcontext() as context:
        context.prec = 60
        p, q = 1 / (1 + Decimal(-u).exp()), 1 / (1 + Decimal(u).exp())
        expected = [float(value) for value in (p, p * q, p, q)]
    found = [noise.probability(x), noise.slope(x), noise.jump_up(x), noise.jump_down(x)]
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose([float(v) for v in found], expected, rtol=200 * eps)


@each
def test_distances_may_be_integers_or_lists(noise, untyped):
    values = [-2, -1, 0, 1, 2]
    uniform = jnp.full(5, 0.3)
    expected = noise(jnp.asarray(values, float), uniform)
    for x in (jnp.asarray(values), np.asarray(values, np.int8)):
        np.testing.assert_array_equal(noise(x, uniform), expected)
        assert noise(x, uniform).dtype == float


@pytest.mark.parametrize("value", [3, np.int64(3), np.float32(3), np.asarray(3), [3.0, 3.0]])
def test_constants_of_any_form_are_numbers(value, untyped):
    x = jnp.asarray([-0.1, 0.2])
    for make in (SigmoidNoise, lambda v: ExponentialNoise(0.5, v), lambda v: ExponentialNoise(v)):
        np.testing.assert_allclose(make(value).probability(x), make(3.0).probability(x), rtol=1e-14)
