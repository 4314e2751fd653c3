"""Noise with a surrogate of its own, and stochastic networks beside theory."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.escape_noise import SigmoidNoise
from flossing.experiments.lab.driven import Poisson
from flossing.experiments.lab.mean_field import binary_exponent
from flossing.experiments.spiking.stochastic import NoiseBesideSurrogate, Stochastic, WithNoise

SMALL = dataclasses.replace(
    Stochastic.quick(),
    units=60,
    steepnesses=(1.0, 4.0),
    neurons=12,
    lif_steepnesses=(8.0,),
    flossed=4,
    phases=((25, 3e-2),),
    window=60,
    measured_steps=200,
    shown=8,
)


def test_a_surrogate_is_the_derivative_of_spikes_of_any_noise(x64):
    surrogate = fl.surrogates.Sigmoid(2.0, normalise="area")
    noise = NoiseBesideSurrogate(SigmoidNoise(3.0), surrogate)
    x, uniform = jnp.array([-0.5, 0.2, 0.2, 2.0]), jnp.array([0.1, 0.64, 0.65, 0.99])
    spikes, slope = jax.jvp(lambda x: noise(x, uniform), (x,), (jnp.ones(4),))
    np.testing.assert_array_equal(spikes, [1, 1, 0, 1])
    p = 1 / (1 + np.exp(-2 * np.asarray(x)))
    np.testing.assert_allclose(slope, 2 * p * (1 - p), rtol=1e-12)


def test_the_same_key_gives_the_same_input_with_other_noise():
    value, uniform = WithNoise(Poisson(1), 16)(jax.random.key(2), 1)
    other = WithNoise(Poisson(1), 16, seed=1)(jax.random.key(2), 1)
    np.testing.assert_array_equal(value, other.input)
    assert not np.array_equal(uniform, other.uniform)


def test_mean_field_theory_of_steep_units():
    """Little noise: 1/2 ln(2 phi(0) b / 6), the integral of p'^2 is b / 6; much: ln(sqrt(2) b / 4)."""
    b = 200.0
    phi = [np.exp(-0.5 * 0.05**2 / v) / np.sqrt(2 * np.pi * v) for v in (1.03, 2.03)]
    expected = np.mean([0.5 * np.log(2 * p * b / 6) for p in phi])
    for noisy in (True, False):
        assert binary_exponent(b, noisy) == pytest.approx(expected, abs=0.02)
    assert binary_exponent(1e-3, True) == pytest.approx(np.log(2**0.5 * 1e-3 / 4), abs=1e-3)


@pytest.mark.slow
def test_binary_networks_have_the_exponents_of_mean_field_theory():
    found = SMALL.binary(lambda text: None)
    for kind, theory in SMALL.mean_field.items():
        np.testing.assert_allclose(found[kind].mean("network"), theory, atol=0.15)


@pytest.mark.slow
def test_flossing_of_noisy_networks_holds_on_noise_never_seen():
    found = SMALL.flossing(lambda text: None)
    before, after = (
        np.abs(found[f"exponents_{when}"].values[:, :4]).mean() for when in ("before", "after")
    )
    assert after < before / 1.5
