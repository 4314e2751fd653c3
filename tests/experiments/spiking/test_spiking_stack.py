"""The experiment with stacks of spiking layers, small, and what it is made of."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.experiments.lab.classifier import Schedule, hidden, side_by_side
from flossing.experiments.lab.small_classifier import heights, with_derivatives
from flossing.experiments.spiking.layer_gradients import growth, layer_gradients, predicted_growth
from flossing.experiments.spiking.stack import EACH, KEPT, SpikingStack, Stacks
from flossing.experiments.spiking.stack_training import (
    exponents,
    floss_each,
    floss_together,
    with_heights,
)
from flossing.experiments.spiking.streaming import Trials, stream
from flossing.lyapunov._steps import run

QUICK = SpikingStack.quick()
TASK, SHAPE, LENGTH = QUICK.task, QUICK.shape, QUICK.trials_in_stream


@pytest.fixture(scope="module")
def times():
    return jax.jit(TASK.randman.dataset)(jax.random.key(0))


@pytest.fixture(scope="module")
def network():
    return with_derivatives(SHAPE.build(TASK.randman, jax.random.key(1)), 5.0, [0.5, 1.0])


@pytest.fixture(scope="module")
def spikes(times):
    return stream(times.times, TASK, jax.random.key(2), LENGTH * TASK.num_steps)


@pytest.mark.slow
def test_trials_show_a_sample_and_then_nothing_of_it(times):
    task = dataclasses.replace(TASK, background=0.1)
    shown, again = (np.asarray(task.rasters(times.times, jax.random.key(seed))) for seed in (0, 1))
    assert shown.shape == (40, 120, 8)
    np.testing.assert_array_equal(shown[:15].sum(0), 1)
    np.testing.assert_array_equal(shown[:15].argmax(0), times.times)
    np.testing.assert_array_equal(shown[:15], again[:15])
    assert shown[15:].mean() == pytest.approx(0.1, abs=0.01)
    assert not np.array_equal(shown[15:], again[15:])
    readouts = jnp.arange(40.0)[:, None, None] * jnp.ones((1, 3, 2))
    np.testing.assert_allclose(task.logits(readouts), 37)


@pytest.mark.slow
def test_a_stream_is_made_of_trials(times, spikes):
    assert spikes.shape == (LENGTH * 40, 8)
    samples = np.asarray(spikes).reshape(LENGTH, 40, 8)[:, :15]
    np.testing.assert_array_equal(samples.sum(1), 1)
    known = np.asarray(times.times)
    assert all((known == sample.argmax(0)).all(1).any() for sample in samples)
    assert stream(times.times, TASK, jax.random.key(2), 50).shape == (50, 8)


@pytest.mark.slow
def test_the_spectrum_of_a_stack_is_the_union_of_its_layers(x64):
    """Exact at every length, if the basis begins with the directions of the top layer."""
    shape = dataclasses.replace(SHAPE, neurons=4, layers=3, rate=10.0)
    plain = shape.build(TASK.randman, jax.random.key(1))
    cells = hidden(with_derivatives(plain, 5.0, [0.5, 1.0, 2.0]))
    inputs = jax.random.bernoulli(jax.random.key(3), 0.2, (60, 8)).astype(float)
    count = 2 * shape.neurons
    union, below = [], inputs
    for layer in cells.layers:
        alone = fl.lyapunov_spectrum(layer, layer.initial_state(), below, basis=jnp.eye(count))
        union.insert(0, alone.exponents)
        below = layer.over_time(below)
        assert below.mean() > 0.01
    blocks = jnp.kron(jnp.eye(3)[::-1], jnp.eye(count))
    whole = fl.lyapunov_spectrum(cells, cells.initial_state(), inputs, basis=blocks)
    assert whole.exponents.dtype == jnp.float64
    np.testing.assert_allclose(whole.exponents, jnp.concatenate(union), atol=1e-12)
    # Whatever the basis, the sum is exact.
    mixed = jax.random.normal(jax.random.key(4), (3 * count, 3 * count))
    other = fl.lyapunov_spectrum(cells, cells.initial_state(), inputs, basis=mixed)
    assert abs(other.exponents - whole.exponents).max() > 1e-3
    assert float(other.exponents.sum()) == pytest.approx(float(sum(u.sum() for u in union)))


@pytest.mark.slow
def test_flossing_each_layer_or_the_first_of_the_stack(network, spikes):
    key, target = jax.random.key(5), -0.03
    each = floss_each(network, spikes, jnp.asarray(target), key)
    joint, layers = exponents(each, spikes, 1, key)
    np.testing.assert_allclose(layers[:, 0], target, atol=2e-3)
    assert float(joint[0]) == pytest.approx(target, abs=0.01)
    together = floss_together(network, spikes, jnp.asarray(target), key)
    joint, layers = exponents(together, spikes, 1, key)
    assert float(joint[0]) == pytest.approx(target, abs=2e-3)
    assert layers[:, 0].min() < target - 0.005
    ratio = np.asarray(heights(together) / heights(network))
    assert ratio[0] == pytest.approx(ratio[1])
    np.testing.assert_array_equal(hidden(each).over_time(spikes), hidden(network).over_time(spikes))


@pytest.mark.slow
def test_gradients_of_the_states_of_each_layer(network, times):
    """Against autodiff in a state from which the trial goes on; no error goes up."""
    rasters, labels, done = TASK.rasters(times.times[:3], jax.random.key(6)), times.labels[:3], 11
    found = np.asarray(layer_gradients(network, rasters, labels, TASK))
    assert found.shape == (2, 40)

    @jax.vmap
    def gradient(spikes, label):
        def loss(state):
            logits = TASK.logits(network.over_time(spikes[done:], state)[:, None])[0]
            return optax.softmax_cross_entropy_with_integer_labels(logits, label)

        return jax.grad(loss)(run(network, network.initial_state(), spikes[:done], done))

    for layer, state in enumerate(jax.jit(gradient)(jnp.moveaxis(rasters, 1, 0), labels)[:-1]):
        norm = np.sqrt((np.concatenate(jax.tree.leaves(state), -1) ** 2).sum(-1))
        assert found[layer, done - 1] == pytest.approx(np.log10(norm).mean(), abs=1e-4)
    top_only = with_heights(network, jnp.asarray([1e-30, 1.0]))
    cut = np.asarray(layer_gradients(top_only, rasters, labels, TASK))
    np.testing.assert_allclose(cut[1], found[1], rtol=1e-4)
    assert (cut[0, :30] < -20).all()


def test_growth_is_the_slope_at_long_lags():
    lags = 35.0 - np.arange(40)
    logs = np.log10(np.exp(np.array([[-0.1], [0.02]]) * lags))
    logs[:, 25:] = 7  # nearer to the answer
    np.testing.assert_allclose(growth(logs, TASK), [-0.1, 0.02])


def test_growth_is_predicted_from_exponents():
    """The largest exponent from a layer upwards, and a power of the lag for each layer above."""
    lag = 35.0 - np.arange(35)
    logs = np.log10([lag**2 * np.exp(0.03 * lag), lag * np.exp(0.03 * lag), np.exp(-0.05 * lag)])
    found = predicted_growth(np.array([-0.4, 0.03, -0.05]), TASK)
    np.testing.assert_allclose(found, growth(logs, TASK))


def test_a_stack_of_equal_layers_has_the_power_of_the_lag():
    """Two linear layers that decay alike, the lower one driving the upper: a Jordan block."""
    lag = np.arange(34, -1, -1)
    block = np.array([[0.9, 0.0], [1.0, 0.9]])
    errors = np.array([np.array([0.0, 1.0]) @ np.linalg.matrix_power(block, k) for k in lag + 1])
    found = growth(np.log10(errors.T), TASK)
    np.testing.assert_allclose(found, predicted_growth(np.log([0.9, 0.9]), TASK))


@pytest.fixture(scope="module")
def task():
    data = jax.jit(lambda key: TASK.randman.split(key, test=0.3))(jax.random.key(0))
    order = jnp.arange(24).reshape(3, 8)
    noise = jax.random.split(jax.random.key(8), 4)
    schedule = Schedule(spike_limit=1.0, penalty=0.5)
    return Trials(schedule, data, order, TASK.num_steps, noise, TASK)


@pytest.mark.slow
def test_the_penalty_counts_spikes_of_a_trial(network, task):
    trial = task.batch(jax.random.key(7), 1, 8)
    outputs = side_by_side(network, trial.inputs)
    metrics = {name: m.value for name, m in task.metrics(outputs, trial).items()}
    *spikes, readouts = (np.asarray(x) for x in outputs)
    counts = [s.sum(1) for s in spikes]
    over = sum(0.5 * (np.maximum(0, c - 1) ** 2).mean() for c in counts)
    found = float(task.loss(outputs, trial) - metrics["cross-entropy"])
    assert found == pytest.approx(over, rel=1e-4)
    np.testing.assert_allclose(metrics["rates"], [c.mean() / 40 for c in counts], rtol=1e-5)
    best = readouts[:, -5:].mean(1).argmax(-1)
    assert float(metrics["accuracy"]) == pytest.approx((best == trial.targets).mean())


def test_updates_see_the_samples_whose_turn_it_is_with_fresh_background(task):
    key = jax.random.key(7)
    one, other = task.batch(key, 1, 8), task.batch(key, 2, 8)
    np.testing.assert_array_equal(one.targets, task.data.train.labels[8:16])
    np.testing.assert_array_equal(one.inputs[:, :15].argmax(1), task.data.train.times[8:16])
    assert not np.array_equal(one.inputs[:, 15:], other.inputs[:, 15:])
    held = [task.held_out(jax.random.key(seed), 8) for seed in (0, 1)]
    np.testing.assert_array_equal(held[0].targets, task.data.test.labels)
    np.testing.assert_array_equal(held[0].inputs, held[1].inputs)


@pytest.mark.slow
def test_networks_of_a_seed_start_with_the_same_spikes_and_heights_change_where_they_should():
    found = QUICK.stacks(Stacks(2, 1), lambda text: None)
    start = found["rates_start"]
    assert (start > 0).all()
    assert (start == start[0]).all()
    heights = found["heights"]
    first, last = heights[:, 0], heights[:, -1]
    assert (first == last).sel(condition=EACH).all()
    assert (first != last).sel(condition=KEPT).all()
    layers = found["layers_start"].sel(condition=EACH)[:, 0]
    np.testing.assert_allclose(layers, QUICK.target, atol=0.02)
    assert found["skipped"].sum() == 0
