"""Escape noise: valid probabilities, and derivatives that are those of the probability."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from flossing.escape_noise import Exponential, Sigmoid

KINDS = [Sigmoid(0.1), Sigmoid(2.0), Exponential(), Exponential(0.5, at_threshold=1.0)]
every_kind = pytest.mark.parametrize("noise", KINDS, ids=str)
X = jnp.linspace(-3, 3, 121) + 0.003


@every_kind
@given(x=st.floats(-1e30, 1e30))
@settings(max_examples=20, deadline=None)
def test_probability_is_a_probability_everywhere(noise, x):
    p = float(noise.probability(jnp.asarray(x)))
    assert 0 <= p <= 1
    assert np.isfinite(float(noise.slope(jnp.asarray(x))))


def test_values(x64):
    np.testing.assert_allclose(Sigmoid(0.1).probability(jnp.asarray(0.05)), 1 / (1 + np.exp(-0.5)))
    found = Exponential(0.2, at_threshold=0.5).probability(jnp.asarray([-0.2, 0.0, 0.1, 9.0]))
    np.testing.assert_allclose(found, [0.5 / np.e, 0.5, 0.5 * np.exp(0.5), 1.0])


@every_kind
def test_slope_is_the_derivative_of_the_probability(noise, x64):
    x = jnp.linspace(-3, 3, 121) + 0.003
    h = 1e-6
    numerical = (noise.probability(x + h) - noise.probability(x - h)) / (2 * h)
    np.testing.assert_allclose(noise.slope(x), numerical, atol=1e-8, rtol=1e-7)


@every_kind
def test_spikes_follow_the_uniform_numbers(noise):
    uniform = jnp.asarray(np.random.default_rng(0).random(X.size), X.dtype)
    spikes = noise(X, uniform)
    np.testing.assert_array_equal(spikes, (uniform < noise.probability(X)).astype(X.dtype))
    assert spikes.dtype == X.dtype


@pytest.mark.parametrize("kind", [Sigmoid, Exponential])
def test_derivative_of_each_rule(kind):
    uniform = jnp.asarray(np.random.default_rng(0).random(X.size), X.dtype)
    for rule in ("matched", "spike_train", "constant"):
        noise = kind(0.4, rule=rule)
        spikes, found = jax.jvp(lambda x, n=noise: n(x, uniform), (X,), (jnp.ones_like(X),))
        expected = {
            "matched": noise.slope(X),
            "spike_train": spikes / 0.4,
            "constant": jnp.full_like(X, 1 / 0.4),
        }
        np.testing.assert_allclose(found, expected[rule], rtol=1e-6)
        reverse = jax.grad(lambda x, n=noise: n(x, uniform).sum())(X)
        np.testing.assert_allclose(reverse, found, rtol=1e-6)


def test_multilayer_spiker_is_right_on_average_for_exponential_noise(x64):
    """Its mean over samples is the slope of the probability (4 standard errors)."""
    noise, x = Exponential(0.3, at_threshold=0.4, rule="spike_train"), jnp.full(40_000, -0.1)
    uniform = jnp.asarray(np.random.default_rng(1).random(x.size))
    sampled = noise.derivative(x, noise(x, uniform))
    error = sampled.std() / np.sqrt(x.size)
    assert abs(float(sampled.mean() - noise.slope(x)[0])) < 4 * error


def test_instances_have_their_own_numbers():
    """Parameters belong to an instance: no layer changes another's."""
    one, other = Sigmoid(0.1), Sigmoid(0.5)
    assert (one.width, other.width) == (0.1, 0.5)
    assert one.describe() == {"name": "Sigmoid", "width": 0.1, "rule": "matched"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Sigmoid(0.0), "width: expected a finite positive number, got 0.0."),
        (lambda: Exponential(at_threshold=1.5), "at_threshold: expected a probability"),
        (lambda: Sigmoid(0.1, rule="mean"), "rule: expected one of 'matched'"),
    ],
)
def test_wrong_arguments(make, message, untyped):
    with pytest.raises(ValueError, match=message):
        make()
