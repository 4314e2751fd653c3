"""Escape noise: valid probabilities everywhere, slopes that are their derivatives, spikes as often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing import surrogates, theory

pytestmark = pytest.mark.usefixtures("x64")

NOISES = {
    "sigmoid": theory.SigmoidNoise(7.0),
    "exponential": theory.ExponentialNoise(),
    "steep exponential": theory.ExponentialNoise(0.5, 0.013),
    "hazard": theory.ExponentialNoise(saturation="hazard"),
    "triangle": theory.ShapeNoise(surrogates.Triangular(5.0, normalise="area")),
    "SuperSpike": theory.ShapeNoise(surrogates.SuperSpike(5.0, normalise="area")),
    "step": theory.StepNoise(),
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


def test_published_exponential_noise():
    noise = theory.ExponentialNoise()
    np.testing.assert_allclose(noise.probability(jnp.zeros(1)), 2 / 3)
    np.testing.assert_allclose(noise.probability(jnp.array([-0.133])), 2 / 3 / np.e)
    assert noise.probability(jnp.array([0.2]))[0] == 1
    assert noise.slope(jnp.array([0.2]))[0] == 0


def test_parameters_belong_to_an_instance():
    one, two = theory.SigmoidNoise(1.0), theory.SigmoidNoise(2.0)
    assert (one.sharpness, two.sharpness) == (1, 2)
    net = theory.StochasticNet((1, 2, 1), [one, two], key=jax.random.key(0))
    assert [n.sharpness for n in net.noises] == [1, 2]


def test_steep_noise_becomes_a_spike():
    noise, step = theory.SigmoidNoise(1e6), theory.StepNoise()
    x = jnp.asarray(X)
    uniform = jnp.full(x.shape, 0.37)
    np.testing.assert_array_equal(noise(x, uniform), step(x, uniform))
    np.testing.assert_array_equal(step(x, uniform), surrogates.SuperSpike()(x))
