"""Experiments with LIF and stochastic networks, small: complete, and right in kind."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.escape_noise import SigmoidNoise
from flossing.experiments import spiking_gradients, spiking_spectrum, stochastic
from flossing.experiments.lab.driven import (
    Plan,
    Poisson,
    activity,
    firing_rates,
    floss,
    in_double,
    jacobians,
    spectra,
)
from flossing.experiments.lab.lif import at_rate, lif_networks, with_input_gain
from flossing.experiments.lab.mean_field import binary_exponent
from flossing.experiments.spiking.stochastic import NoiseBesideSurrogate, WithNoise


def complete(result, name, panels):
    json.dumps(result.numbers, allow_nan=False)
    assert result.name == name
    assert len([a for a in result.figure.axes if a.get_label() != "<colorbar>"]) == panels
    assert all(np.isfinite(claim.measured) for claim in result.claims)


@pytest.fixture(scope="module")
def networks():
    inputs = Poisson(30)
    keys = jax.random.split(jax.random.key(3), 2)
    return lif_networks(keys, inputs, 12), keys, inputs


def test_weights_are_scaled_to_a_firing_rate(networks):
    plain, keys, inputs = networks
    cells, factor = at_rate(plain, keys, inputs, np.array([10.0, 40.0]))
    np.testing.assert_allclose(firing_rates(cells, keys, inputs), [10, 40], atol=1.5)
    scaled = factor[:, None, None] * np.asarray(plain.input_weight)
    np.testing.assert_allclose(cells.input_weight, scaled, rtol=1e-6)


def test_numbers_may_differ_between_networks():
    keys = jax.random.split(jax.random.key(0), 2)
    cells = lif_networks(
        keys, Poisson(30), 12, sharpness=np.array([1.0, 5.0]), membrane=np.array([10.0, 20.0]), gain=0
    )  # fmt: skip
    silent = with_input_gain(cells, np.zeros(2))
    exponents = spectra(silent, keys, Poisson(30), 12, 50)
    np.testing.assert_allclose(exponents, np.repeat([[-0.1], [-0.05]], 12, 1), atol=1e-5)
    np.testing.assert_array_equal(cells.surrogate.sharpness, [1, 5])


def test_neurons_that_fire_lose_a_direction_without_recurrence(networks, x64):
    plain, keys, inputs = networks
    alone = eqx.tree_at(lambda c: c.recurrent_weight, plain, jnp.zeros_like(plain.recurrent_weight))
    strong = in_double(with_input_gain(alone, np.array([2.5, 4.0])))
    spikes = activity(strong, keys, inputs, 140)[:, 99:-1] > 0
    fired = spikes.any(1).sum(1)
    assert 0 < fired[0] < 12
    lost = np.isneginf(spectra(strong, keys, inputs, 24, 40, warmup=0)).sum(1)
    np.testing.assert_array_equal(lost, fired)
    rank = np.linalg.matrix_rank(jacobians(strong, keys, inputs, 40), rtol=1e-11)
    np.testing.assert_array_equal(24 - rank, fired)


def test_phases_have_their_learning_rates():
    """Adam with the same gradient again and again takes steps of its learning rate."""
    plan = Plan(num_exponents=1, phases=((3, 1e-2), (2, 3e-3)))
    gradient, optimiser = jnp.full(4, 0.01), plan.flosser.optimiser
    state = optimiser.init(gradient)
    for rate in (1e-2, 1e-2, 1e-2, 3e-3, 3e-3):
        update, state = optimiser.update(gradient, state)
        np.testing.assert_allclose(update, np.full(4, -rate), rtol=1e-4)
    assert plan.steps == 5


def test_flossing_brings_exponents_nearer_to_zero_and_changes_only_the_weights(networks):
    plain, keys, inputs = networks
    cells, _ = at_rate(plain, keys, inputs, 20.0)
    plan = Plan(
        num_exponents=4,
        phases=((30, 1e-2), (10, 3e-3)),
        window=60,
        warmup=10,
        state_warmup=20,
    )
    seen = []
    flossed, exponents = floss(cells, keys, inputs, plan, lambda step, _: seen.append(step), 20)
    assert seen == [0, 20, 40]
    assert exponents.shape == (40, 2, 4)
    before, after = (spectra(c, keys, inputs, 4, 200) for c in (cells, flossed))
    assert np.abs(after).mean() < np.abs(before).mean() / 2
    np.testing.assert_array_equal(flossed.input_weight, cells.input_weight)


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


@pytest.mark.filterwarnings("ignore::flossing.LostDirectionsWarning")
def test_spiking_spectrum():
    settings = dataclasses.replace(
        spiking_spectrum.QUICK,
        neurons=12,
        channels=30,
        flossed=6,
        flossed_exactly=4,
        phases=((90, 1e-2),),
        window=60,
        measured_steps=150,
        sharpnesses=(0.5, 8.0),
        rates=(20.0,),
        resets=("no reset",),
        leading=2,
    )
    result = spiking_spectrum.run(settings=settings)
    complete(result, "spiking-spectrum", 6)
    assert result.claims[0].holds
    assert result.claims[1].holds
    after, before = (
        np.array(result.numbers["without_reset_factor_by_flossing_step"][step], float)[:, :6]
        for step in ("90", "0")
    )
    assert np.abs(after).mean() < np.abs(before).mean()
    exact, plain = (
        np.array(result.numbers["exact"][when], float)[:, :4]
        for when in ("flossed_exactly", "before")
    )
    assert np.abs(exact).mean() < np.abs(plain).mean()
    by_sharpness = result.numbers["by_sharpness"]
    assert np.mean(by_sharpness["0.5"]) > np.mean(by_sharpness["8.0"]) + 0.03


def test_spiking_gradients():
    settings = dataclasses.replace(
        spiking_gradients.QUICK,
        neurons=16,
        channels=30,
        networks=6,
        measured_steps=300,
        horizon=150,
        phases=((90, 1e-2),),
        window=60,
        flossed=4,
        shown=16,
    )
    result = spiking_gradients.run(settings=settings)
    complete(result, "spiking-gradients", 6)
    x, y = (np.array(result.numbers[n]) for n in ("first_exponent", "gradient_growth"))
    assert np.corrcoef(x, y)[0, 1] > 0.9


def test_slopes_and_explained_variance():
    rows = np.array([[0.0, 5.0, 1.0, 2.0, 3.0], [1.0, 1.0, -2.0, -4.0, -6.0]])
    np.testing.assert_allclose(spiking_gradients.slopes(rows, 2), [1, -2])
    x = np.array([1.0, 2.0, 3.0])
    assert spiking_gradients.r_squared(x, x) == 1
    assert spiking_gradients.r_squared(x + 1, x) == pytest.approx(-0.5)


def test_stochastic():
    settings = dataclasses.replace(
        stochastic.QUICK,
        units=60,
        steepnesses=(1.0, 4.0),
        neurons=12,
        lif_steepnesses=(8.0,),
        flossed=4,
        phases=((90, 1e-2),),
        window=60,
        measured_steps=200,
        shown=8,
    )
    result = stochastic.run(settings=settings)
    complete(result, "stochastic", 3)
    for found in result.numbers["binary"].values():
        assert np.mean(found["stochastic"]) == pytest.approx(found["mean_field"][0], abs=0.15)
    flossed = result.numbers["flossed"]
    before, after = (np.abs(np.array(flossed[w]["exponents"])[:, :4]) for w in ("before", "after"))
    assert after.mean() < before.mean() / 1.5
