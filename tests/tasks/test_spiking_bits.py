"""Bits shown as spikes: they can be read off, the answers are those of the bits, and networks learn them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import flossing as fl
from flossing.tasks import Copy, DelayedXOR, SpikingBits


def shown(task, spikes):
    """The bits that someone reads who counts spikes of both halves in every bin."""
    half = task.channels // 2
    binned = np.asarray(spikes).reshape(-1, task.bin_steps, 2, half).sum((1, 3))
    assert (binned.min(1) == 0).all()
    assert (binned.max(1) > 0).all()
    return binned[:, 1] > 0


@pytest.mark.parametrize(("delay", "order"), [(3, 0), (4, 1), (8, 2)])
def test_answers_follow_from_the_spikes(delay, order, key):
    task = SpikingBits(delay, order=order, bin_steps=8, channels=12, probability=0.4, amplitude=2.0)
    inputs, targets, mask = task.sample(key, num_steps=8 * 40)
    assert inputs.shape == (320, 12)
    assert targets.shape == (40, 1)
    assert mask.shape == (40,)
    assert set(np.unique(np.asarray(inputs))) == {0, 2}
    bits = shown(task, inputs)
    assert 5 < bits.sum() < 35
    for b in range(40):
        assert mask[b] == (b >= delay)
        if mask[b]:
            assert int(targets[b, 0]) == sum(bits[b - lag] for lag in task.lags) % 2


def test_spikes_have_the_probability_and_differ_between_bins_and_trials(key):
    task = SpikingBits(1, order=0, bin_steps=50, channels=40, probability=0.3)
    bits = jnp.ones((40, 1))
    spikes = task.spikes(key, bits)
    assert not spikes[:, :20].any()
    assert abs(float(spikes[:, 20:].mean()) - 0.3) < 4 * np.sqrt(0.21 / 40_000)
    assert not np.array_equal(spikes[:50], spikes[50:100])
    certain = SpikingBits(1, order=0, bin_steps=3, channels=4, probability=1.0)
    np.testing.assert_array_equal(
        certain.spikes(key, jnp.array([[1], [0]])), [[0, 0, 1, 1]] * 3 + [[1, 1, 0, 0]] * 3
    )


def test_horizon_is_in_steps_and_outputs_are_read_once_per_bin():
    task = SpikingBits(6, order=1, bin_steps=5)
    assert task.horizon == 30
    assert task.lags == (3, 6)
    assert task.input_size == 20
    outputs = jnp.arange(20.0).reshape(10, 2)
    np.testing.assert_allclose(task.read(outputs), [[4, 5], [14, 15]])
    for plain in (Copy(3), DelayedXOR(4)):
        assert plain.read(outputs) is outputs


def test_inputs_alone_may_end_within_a_bin(key):
    task = SpikingBits(2, order=0, bin_steps=10, channels=6)
    assert task.sample_inputs(key, 23).shape == (23, 6)


@pytest.mark.slow
def test_a_spiking_network_learns_to_copy_a_bit_by_the_loss_of_the_task(key):
    task = SpikingBits(1, order=0, bin_steps=5, channels=8, probability=0.6, num_steps=30)
    cell_key, readout_key, train_key = jax.random.split(key, 3)
    cell = fl.LIFCell(8, 24, time_step=2.0, input_gain=2.0, reset="subtract", key=cell_key)
    model = cell, 0.2 * jax.random.normal(readout_key, (24, 1))
    optimiser = optax.adam(5e-3)

    def outputs(model, trial):
        cell, readout = model
        start = cell.initial_state(key=cell_key)
        return jax.vmap(lambda inputs: cell.over_time(inputs, start) @ readout)(trial.inputs)

    def accuracy(model):
        trial = task.held_out(key, 64)
        return float(task.metrics(outputs(model, trial), trial)["accuracy"].value)

    params, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(params, trial):
        return task.loss(outputs(eqx.combine(params, static), trial), trial)

    def learn(carry, number):
        params, state = carry
        gradient = jax.grad(loss)(params, task.batch(train_key, number, 8))
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    (params, _), _ = jax.lax.scan(learn, (params, optimiser.init(params)), jnp.arange(100))
    assert accuracy(model) < 0.65 < 0.8 < accuracy(eqx.combine(params, static))


@pytest.mark.slow
def test_loss_and_accuracy_are_those_of_the_means_over_bins(key):
    task = SpikingBits(2, order=1, bin_steps=3)
    trial = task.held_out(key, 5)
    assert trial.inputs.shape == (5, 12, 20)
    outputs = np.random.default_rng(0).normal(size=(5, 12, 1))
    logits = outputs.reshape(5, 4, 3).mean(2)[:, 2:]
    answers = np.asarray(trial.targets)[:, 2:, 0]
    expected = np.log1p(np.exp(logits)) - logits * answers
    np.testing.assert_allclose(task.loss(jnp.asarray(outputs), trial), expected.mean(), rtol=1e-5)
    metric = task.metrics(jnp.asarray(outputs), trial)["accuracy"]
    np.testing.assert_allclose(metric.value, ((logits > 0) == answers).mean(), rtol=1e-6)
    assert (metric.chance, metric.higher_is_better) == (0.5, True)


@pytest.mark.parametrize(("single", "steps"), [(False, 80), (True, 50)])
def test_a_trial_has_the_length_that_its_answers_need(single, steps, key):
    """Twice the delay in bins, or one bin more than the delay."""
    shape = lambda task: jax.eval_shape(task.sample, key).inputs.shape  # noqa: E731
    assert shape(SpikingBits(4, single=single)) == (steps, 20)
    assert shape(SpikingBits(4, single=single, num_steps=70)) == (70, 20)


def test_titles_name_the_question():
    assert SpikingBits(2, order=0).describe() == "copy task of spike patterns, d = 2 bins"
    assert SpikingBits(2).describe() == "delayed XOR of spike patterns, d = 2 bins"
    assert SpikingBits(4, order=2).describe() == "parity of 4 bits of spike patterns, d = 4 bins"


@pytest.mark.slow
@pytest.mark.parametrize("order", [0, 1, 2])
def test_a_trial_with_a_single_answer_shows_only_its_bits(order, key):
    task = SpikingBits(4, order=order, bin_steps=6, channels=10, probability=1.0, single=True)
    inputs, targets, mask = task.sample(key, num_steps=6 * 7)
    binned = np.asarray(inputs).reshape(7, 6, 2, 5)
    silent = (binned.sum((1, 3)) == 0).any(1)
    np.testing.assert_array_equal(np.flatnonzero(silent), sorted(4 - lag for lag in task.lags))
    bits = binned[:, :, 1].sum((1, 2))[silent] > 0
    np.testing.assert_array_equal(targets[4:, 0], [bits.sum() % 2] * 3)
    np.testing.assert_array_equal(mask, np.arange(7) >= 4)
    np.testing.assert_allclose(binned[~silent].mean((1, 3)), 0.5, atol=0.35)


def test_a_stream_of_trials_with_single_answers_repeats_their_pattern(key):
    task = SpikingBits(2, order=1, bin_steps=20, channels=10, probability=1.0, single=True)
    stream = np.asarray(task.sample_inputs(key, 20 * 9)).reshape(9, 20, 2, 5)
    np.testing.assert_array_equal((stream.sum((1, 3)) == 0).any(1), [True, True, False] * 3)


def test_small_integers_of_numpy_do_not_wrap(untyped, key):
    task = SpikingBits(
        np.uint8(200), order=np.uint8(0), bin_steps=np.uint8(10), channels=np.int8(2)
    )
    assert task.horizon == 2000
    assert task == SpikingBits(200, order=0, bin_steps=10, channels=2)
    assert task.sample_inputs(key, np.uint8(7)).shape == (7, 2)


@pytest.mark.slow
def test_the_ends_of_the_ranges(key):
    """Two channels, one step per bit, certain spikes: the bits themselves."""
    task = SpikingBits(1, order=0, bin_steps=1, channels=2, probability=1.0)
    inputs, targets, mask = task.sample(key, num_steps=30)
    np.testing.assert_array_equal(inputs[:, 0] + inputs[:, 1], np.ones(30))
    np.testing.assert_array_equal(targets[1:, 0], inputs[:-1, 1])
    assert int(mask.sum()) == 29
    assert task.sample_inputs(key, 1).shape == (1, 2)
    single = SpikingBits(1024, order=10, bin_steps=1, channels=2, probability=1.0, single=True)
    inputs, targets, _ = single.sample(key, num_steps=1025)
    assert int(targets[1024, 0]) == int(inputs[:1024, 1].sum()) % 2


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float16", "float32", "lists"])
def test_bits_and_masks_of_every_dtype(dtype, untyped, key):
    task = SpikingBits(1, order=0, bin_steps=3, channels=4, probability=1.0)
    bits, shown = np.array([[1], [0], [1], [0]]), np.array([1, 1, 0, 1])

    def converted(x):
        return x.tolist() if dtype == "lists" else x.astype(dtype)

    spikes = task.spikes(key, converted(bits), converted(shown))
    np.testing.assert_array_equal(spikes[:6], [[0, 0, 1, 1]] * 3 + [[1, 1, 0, 0]] * 3)
    np.testing.assert_array_equal(spikes[9:], [[1, 1, 0, 0]] * 3)
    assert 0 < spikes[6:9].sum() < 12
    np.testing.assert_allclose(task.read(converted(np.tile([[0], [1], [1]], (4, 1)))), 2 / 3)
