"""Flip-flop memory: pulses, what they leave behind, and how long it has to be kept."""

import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import FlipFlop


def ages(pulses):
    """Steps since the last pulse, one loop over time and bits."""
    found = np.zeros(pulses.shape, int)
    for t in range(1, len(pulses)):
        found[t] = np.where(pulses[t], 0, found[t - 1] + 1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("task", [FlipFlop(2), FlipFlop(60, num_bits=2, probability=0.3)], ids=str)
def test_targets_are_the_signs_of_the_last_pulses_and_pulses_are_not_scored(task, key):
    trials = task.held_out(key, 30)
    for inputs, targets, mask in zip(*map(np.asarray, trials), strict=True):
        assert set(np.unique(inputs)) <= {-1.0, 0.0, 1.0}
        assert inputs[0].all()
        held = np.zeros(task.num_bits)
        for t in range(task.num_steps):
            held = np.where(inputs[t] != 0, inputs[t], held)
            np.testing.assert_array_equal(targets[t], held)
        np.testing.assert_array_equal(mask, inputs == 0)


def test_pulses_come_with_their_probability_and_either_sign(key):
    """Four standard errors, for each step and bit; the signs of all."""
    inputs = np.asarray(FlipFlop(8, num_bits=2, probability=0.2).held_out(key, 4000).inputs)
    np.testing.assert_allclose((inputs[:, 1:] != 0).mean(0), 0.2, atol=4 * np.sqrt(0.16 / 4000))
    assert abs(inputs[inputs != 0].mean()) < 4 / np.sqrt((inputs != 0).sum())


@pytest.mark.slow
def test_a_scored_bit_is_as_old_as_a_geometric_number_cut_at_the_first_step(key):
    """The mean age at step ``t`` is ``(1 - q^t) / p``, with ``q = 1 - p``; four standard errors."""
    p, steps = 0.1, 40
    trials = FlipFlop(steps, num_bits=1, probability=p).held_out(key, 3000)
    found = np.stack([ages(x != 0) for x in np.asarray(trials.inputs)])[..., 0]
    scored = np.asarray(trials.mask)[..., 0]
    for t in (1, 5, 39):
        old = found[scored[:, t], t]
        expected = (1 - (1 - p) ** t) / p
        assert abs(old.mean() - expected) <= 4 * old.std() / np.sqrt(len(old)) + 1e-9
    old = found[scored[:, 39], 39] > 15
    assert abs(old.mean() - (1 - p) ** 15) < 4 * 0.5 / np.sqrt(len(old))


def test_the_present_inputs_say_nothing_of_a_scored_bit(key):
    """Its own input is 0; its sign given each state of the other one is balanced, four standard errors."""
    trials = FlipFlop(50, num_bits=2, probability=0.2).held_out(key, 400)
    inputs, targets, mask = map(np.asarray, trials)
    scored = mask[..., 0]
    assert not inputs[..., 0][scored].any()
    for state in (-1, 0, 1):
        # Signs at neighbouring steps are the same ones: each pulse and each trial counts once.
        for t in (10, 30, 49):
            chosen = targets[:, t, 0][scored[:, t] & (inputs[:, t, 1] == state)]
            assert abs(chosen.mean()) < 4 / np.sqrt(len(chosen))


@pytest.mark.slow
def test_loss_and_accuracy_of_scored_bits(key):
    task = FlipFlop(20, num_bits=3, probability=0.3)
    trial = task.batch(key, 0, 4)
    outputs = np.random.default_rng(0).normal(size=(4, 20, 3))
    mask, targets = np.asarray(trial.mask), np.asarray(trial.targets)
    expected = ((outputs - targets)[mask] ** 2).mean()
    np.testing.assert_allclose(task.loss(jnp.asarray(outputs), trial), expected, rtol=1e-5)
    metric = task.metrics(jnp.asarray(outputs), trial)["accuracy"]
    right = (np.sign(outputs) == targets)[mask].mean()
    np.testing.assert_allclose(metric.value, right, rtol=1e-6)
    assert (metric.chance, metric.higher_is_better) == (0.5, True)
    np.testing.assert_allclose(task.loss(jnp.zeros((4, 20, 3)), trial), 1, rtol=1e-6)
    assert task.chance_loss == 1
    unscored = trial._replace(mask=trial.mask & False)
    assert np.isnan(task.loss(jnp.asarray(outputs), unscored))


@pytest.mark.slow
def test_lengths_horizon_and_titles(key):
    task = FlipFlop(80, num_bits=4, probability=0.04)
    assert (task.input_size, task.output_size, task.horizon) == (4, 4, 25)
    assert FlipFlop(10, probability=1e-9).horizon == 9
    assert task.sample(key, num_steps=9).inputs.shape == (9, 4)
    assert task.sample_inputs(key, 170).shape == (170, 4)
    assert task.describe() == "flip-flop of 4 bits, a pulse in 25 steps"
    assert FlipFlop(9, num_bits=1).describe() == "flip-flop of 1 bit, a pulse in 20 steps"
