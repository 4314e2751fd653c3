"""Large random networks ``x' = J tanh(x)`` against mean-field theory and published values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial
from scipy.optimize import brentq

import flossing as fl


def _step(weight, state, input):
    return weight @ jnp.tanh(state)


def random_network(gain, size, seed):
    key = jax.random.key(seed)
    weight = gain * jax.random.normal(key, (size, size)) / np.sqrt(size)
    return Partial(_step, weight), jax.random.normal(jax.random.fold_in(key, 1), (size,))


def mean_field_exponent(gain):
    """``ln(g sqrt(<phi'(x)^2>))`` with ``x ~ N(0, q)`` and ``q = g^2 <phi(x)^2>``."""
    nodes = np.linspace(-10, 10, 20_001)
    weights = np.exp(-(nodes**2) / 2)
    weights = weights / weights.sum()

    def mismatch(q):
        return gain**2 * weights @ np.tanh(np.sqrt(q) * nodes) ** 2 - q

    q = brentq(mismatch, 1e-2, gain**2)
    slopes = 1 - np.tanh(np.sqrt(q) * nodes) ** 2
    return np.log(gain * np.sqrt(weights @ slopes**2))


@pytest.mark.parametrize(("gain", "value"), [(1.5, 0.0652), (2.0, 0.1547), (3.0, 0.3103)])
def test_mean_field_equation_gives_the_published_values(gain, value):
    # One unit of the last published digit.
    assert mean_field_exponent(gain) == pytest.approx(value, abs=1e-4)


@pytest.mark.parametrize("gain", [1.5, 2.0, 3.0])
def test_first_exponent_of_a_large_chaotic_network_is_that_of_mean_field_theory(gain):
    # Measured at N = 250, 500, 1000, 2000 (4 networks each): below the theory by about 2.5 / N, but for one
    # network at N = 500 and g = 1.5 that was not chaotic.
    size, exponents, variances = 1000, [], []
    for seed in range(2):
        step, state = random_network(gain, size, seed)
        spectrum = fl.lyapunov_spectrum(
            step, state, num_exponents=1, num_steps=1100, state_warmup=200, warmup=100,
            key=jax.random.key(seed),
        )  # fmt: skip
        exponents.append(float(spectrum.exponents[0]))
        variances.append(float(spectrum.standard_errors[0]) ** 2)
    error = np.mean(exponents) - mean_field_exponent(gain)
    assert abs(error) < 2.5 / size + 4 * np.sqrt(np.sum(variances)) / len(variances)


def test_spectrum_of_a_network_below_the_transition_is_that_of_the_circular_law(key):
    size, gain = 128, 0.8
    step, _ = random_network(gain, size, 0)
    spectrum = fl.lyapunov_spectrum(
        step, jnp.zeros(size), num_exponents=100, num_steps=250, warmup=100, key=key
    )
    fraction = np.array([0.1, 0.25, 0.5, 0.75])
    expected = np.log(gain) + np.log(1 - fraction) / 2
    found = np.asarray(spectrum.exponents)[(fraction * size).astype(int)]
    # Numbers of eigenvalues in a disc of radius r sqrt(N) vary with variance about 2 r sqrt(N / pi).
    spread = np.sqrt(2 * np.sqrt((1 - fraction) * size / np.pi)) / size
    assert np.all(np.abs(found - expected) < 4 * spread / (2 * (1 - fraction)))


@pytest.fixture(scope="module")
def strongly_chaotic():
    """Fraction of positive exponents, entropy rate and dimension, all per unit, at g = 3."""
    size, k = 512, 160
    step, state = random_network(3.0, size, 0)
    spectrum = fl.lyapunov_spectrum(
        step, state, num_exponents=k, num_steps=500, state_warmup=100, warmup=100,
        key=jax.random.key(0),
    )  # fmt: skip
    positive = float((spectrum.exponents > 0).sum())
    return np.array([positive, spectrum.entropy_rate, spectrum.kaplan_yorke_dimension]) / size


@pytest.mark.parametrize(
    ("index", "value", "spread"),
    [(0, 0.15259, 0.018), (1, 0.025106, 0.013), (2, 0.28717, 0.009)],
    ids=["fraction positive", "entropy rate", "Kaplan-Yorke dimension"],
)
def test_strong_chaos_has_the_published_densities(index, value, spread, strongly_chaotic):
    # Measured at N = 64, 128, 200, 256, 512 (2 to 12 networks each): finite networks lie below by at most
    # 12 / N, relatively, and ``spread`` is the relative spread between networks of this size.
    assert strongly_chaotic[index] == pytest.approx(value, rel=12 / 512 + 4 * spread)
