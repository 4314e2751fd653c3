"""Cells driven by random input: scaled to a rate, flossed, and what resets take away."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


@pytest.fixture(scope="module")
def networks():
    inputs = Poisson(30)
    keys = jax.random.split(jax.random.key(3), 2)
    return lif_networks(keys, inputs, 12), keys, inputs


@pytest.mark.slow
def test_weights_are_scaled_to_a_firing_rate(networks):
    plain, keys, inputs = networks
    cells, factor = at_rate(plain, keys, inputs, np.array([10.0, 40.0]))
    np.testing.assert_allclose(firing_rates(cells, keys, inputs), [10, 40], atol=1.5)
    scaled = factor[:, None, None] * np.asarray(plain.input_weight)
    np.testing.assert_allclose(cells.input_weight, scaled, rtol=1e-6)


@pytest.mark.slow
def test_numbers_may_differ_between_networks():
    keys = jax.random.split(jax.random.key(0), 2)
    cells = lif_networks(
        keys, Poisson(30), 12, sharpness=np.array([1.0, 5.0]), membrane=np.array([10.0, 20.0]), gain=0
    )  # fmt: skip
    silent = with_input_gain(cells, np.zeros(2))
    exponents = spectra(silent, keys, Poisson(30), 12, 200)
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


@pytest.mark.slow
def test_phases_have_their_learning_rates():
    """Adam with the same gradient again and again takes steps of its learning rate."""
    plan = Plan(num_exponents=1, phases=((3, 1e-2), (2, 3e-3)))
    gradient, optimiser = jnp.full(4, 0.01), plan.flosser.optimiser
    state = optimiser.init(gradient)
    for rate in (1e-2, 1e-2, 1e-2, 3e-3, 3e-3):
        update, state = optimiser.update(gradient, state)
        np.testing.assert_allclose(update, np.full(4, -rate), rtol=1e-4)
    assert plan.steps == 5


@pytest.mark.slow
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
    before, after = (spectra(c, keys, inputs, 12, 200)[:, :4] for c in (cells, flossed))
    assert np.abs(after).mean() < np.abs(before).mean() / 2
    np.testing.assert_array_equal(flossed.input_weight, cells.input_weight)
