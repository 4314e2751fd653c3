"""The experiment with stacks of spiking layers, small, and what it is made of."""

import dataclasses
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.experiments import spiking_stack
from flossing.experiments._classifier import Schedule
from flossing.experiments._layer_gradients import growth, layer_gradients
from flossing.experiments._small_classifier import Shape, hidden, with_derivatives
from flossing.experiments._stack_training import (
    exponents,
    floss_each,
    floss_together,
    heights,
    objective,
    with_heights,
)
from flossing.experiments._streaming import Streaming, Trials
from flossing.tasks import Randman

TASK = Streaming(
    Randman(classes=2, inputs=6, samples=20, frequencies=3, alpha=2.0, num_steps=8, spike_steps=8),
    gap=12,
    answer=4,
    background=0.1,
)
SHAPE = Shape(neurons=4, readout_time_constant=20.0, reset="subtract", rate=60.0)


@pytest.fixture(scope="module")
def times():
    return TASK.randman.sample(jax.random.key(0))


@pytest.fixture(scope="module")
def network():
    return with_derivatives(SHAPE.build(TASK.randman, jax.random.key(1)), 5.0, [0.5, 1.0])


@pytest.fixture(scope="module")
def stream(times):
    return Trials(times.times, TASK)(jax.random.key(2), 15 * TASK.num_steps)


def test_trials_show_a_sample_and_then_nothing_of_it(times):
    shown, again = (np.asarray(TASK.rasters(times.times, jax.random.key(seed))) for seed in (0, 1))
    assert shown.shape == (24, 40, 6)
    np.testing.assert_array_equal(shown[:8].sum(0), 1)
    np.testing.assert_array_equal(shown[:8].argmax(0), times.times)
    np.testing.assert_array_equal(shown[:8], again[:8])
    assert shown[8:].mean() == pytest.approx(0.1, abs=0.02)
    assert not np.array_equal(shown[8:], again[8:])
    readouts = jnp.arange(24.0)[:, None, None] * jnp.ones((1, 3, 2))
    np.testing.assert_allclose(TASK.logits(readouts), 21.5)


def test_a_stream_is_made_of_trials(times, stream):
    assert stream.shape == (15 * 24, 6)
    samples = np.asarray(stream).reshape(15, 24, 6)[:, :8]
    np.testing.assert_array_equal(samples.sum(1), 1)
    known = np.asarray(times.times)
    assert all((known == sample.argmax(0)).all(1).any() for sample in samples)
    short = Trials(times.times, TASK)(jax.random.key(2), 30)
    assert short.shape == (30, 6)


@pytest.mark.parametrize("reset", ["subtract", "none"])
def test_the_spectrum_of_a_stack_is_the_union_of_its_layers(x64, reset):
    """Exact at every length, if the basis begins with the directions of the top layer."""
    shape = dataclasses.replace(SHAPE, layers=3, reset=reset)
    plain = shape.build(TASK.randman, jax.random.key(1))
    plain = jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, plain)
    cells = hidden(with_derivatives(plain, 5.0, [0.5, 1.0, 2.0]))
    inputs = jax.random.bernoulli(jax.random.key(3), 0.2, (60, 6)).astype(float)
    count = 2 * SHAPE.neurons
    union, below = [], inputs
    for layer in cells.layers:
        alone = fl.lyapunov_spectrum(layer, layer.initial_state(), below, basis=jnp.eye(count))
        union.insert(0, alone.exponents)
        below = layer.over_time(below)
        assert below.mean() > 0.01
    blocks = jnp.kron(jnp.eye(3)[::-1], jnp.eye(count))
    whole = fl.lyapunov_spectrum(cells, cells.initial_state(), inputs, basis=blocks)
    np.testing.assert_allclose(whole.exponents, jnp.concatenate(union), atol=1e-12)
    # Whatever the basis, the sum is exact.
    other = fl.lyapunov_spectrum(cells, cells.initial_state(), inputs, key=jax.random.key(4))
    assert float(other.exponents.sum()) == pytest.approx(float(sum(u.sum() for u in union)))


def test_flossing_each_layer_or_the_first_of_the_stack(network, stream):
    key, target = jax.random.key(5), -0.03
    each = floss_each(network, stream, jnp.asarray(target), key)
    joint, layers = exponents(each, stream, 1, key)
    np.testing.assert_allclose(layers[:, 0], target, atol=2e-3)
    assert float(joint[0]) == pytest.approx(target, abs=0.01)
    together = floss_together(network, stream, jnp.asarray(target), key)
    joint, layers = exponents(together, stream, 1, key)
    assert float(joint[0]) == pytest.approx(target, abs=2e-3)
    assert layers[:, 0].min() < target - 0.005
    ratio = np.asarray(heights(together) / heights(network))
    assert ratio[0] == pytest.approx(ratio[1])
    np.testing.assert_array_equal(hidden(each).over_time(stream), hidden(network).over_time(stream))


def test_gradients_of_the_states_of_each_layer(network, times):
    """Against autodiff of the whole trial, started in the middle; no error goes up."""
    rasters = TASK.rasters(times.times[:3], jax.random.key(6))
    labels = times.labels[:3]
    found = np.asarray(layer_gradients(network, rasters, labels, TASK))
    assert found.shape == (2, 24)

    def loss(state, spikes, label):
        logits = TASK.logits(network.over_time(spikes, state)[:, None])[0]
        return optax.softmax_cross_entropy_with_integer_labels(logits, label)

    for trial_step in (0, 10):
        norms = []
        for trial in range(3):
            state = network.initial_state()
            for spikes in rasters[: trial_step + 1, trial]:
                state = network(state, spikes)
            gradient = jax.grad(loss)(state, rasters[trial_step + 1 :, trial], labels[trial])
            norms.append([np.sqrt(sum((np.asarray(x) ** 2).sum() for x in g if x is not None))
                          for g in gradient[:-1]])  # fmt: skip
        np.testing.assert_allclose(
            found[:, trial_step], np.log10(norms).mean(0), rtol=1e-4, atol=1e-4
        )
    flat = with_heights(network, jnp.asarray([1e-30, 1.0]))
    cut = np.asarray(layer_gradients(flat, rasters, labels, TASK))
    np.testing.assert_allclose(cut[1], found[1], rtol=1e-5)
    shut = with_heights(network, jnp.asarray([1.0, 1e-30]))
    assert (np.asarray(layer_gradients(shut, rasters, labels, TASK))[0, :20] < -20).all()


def test_growth_is_the_slope_over_the_gap():
    lags = 20.0 - np.arange(24)
    logs = np.log10(np.exp(np.array([[-0.1], [0.02]]) * lags))
    logs[:, :8] = 7  # outside of the gap
    np.testing.assert_allclose(growth(logs, TASK), [-0.1, 0.02])


def test_the_penalty_counts_spikes_of_a_trial(network, times):
    rasters, labels = TASK.rasters(times.times, jax.random.key(7)), times.labels
    schedule = Schedule(spike_limit=1.0, penalty=0.5)
    value, (error, right, rates) = objective(network, rasters, labels, TASK, schedule)
    *spikes, readouts = network.all_over_time(rasters)
    counts = [np.asarray(s).sum(0) for s in spikes]
    over = sum(0.5 * (np.maximum(0, c - 1) ** 2).mean() for c in counts)
    assert float(value - error) == pytest.approx(over, rel=1e-4)
    np.testing.assert_allclose(rates, [c.mean() / 24 for c in counts], rtol=1e-5)
    best = np.asarray(readouts)[-4:].mean(0).argmax(-1)
    assert float(right) == pytest.approx((best == np.asarray(labels)).mean())


def test_the_experiment():
    result = spiking_stack.run(quick=True)
    json.dumps(result.numbers, allow_nan=False)
    assert result.name == "spiking-stack"
    names = result.numbers["conditions"]
    found = {k: np.array(v, float) for k, v in result.numbers["2"].items()}
    assert found["accuracy"].shape == (2, 5, 6)
    assert found["gradients_start"].shape == (2, 5, 2, 40)
    # Heights change no spike: all networks of a seed start alike.
    assert np.ptp(found["rates_start"], axis=1).max() == 0
    assert (found["rates_start"] > 0).all()
    flossed, kept = names.index(spiking_stack.EACH), names.index(spiking_stack.KEPT)
    before, after = found["heights"][:, :, 0], found["heights"][:, :, -1]
    np.testing.assert_array_equal(before[:, flossed], after[:, flossed])
    assert (before[:, kept] != after[:, kept]).all()
    assert (found["loss"][:, :, -1] < found["loss"][:, :, 0]).mean() > 0.6
    assert found["skipped"].sum() == 0
    by_text = {claim.text: claim for claim in result.claims}
    assert len(by_text) == 5
    assert all(claim.holds for text, claim in by_text.items() if "target" in text)
