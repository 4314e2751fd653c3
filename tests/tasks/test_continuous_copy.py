"""Continuous copy: what is shown and when, what is asked for, and what chance is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import ContinuousCopy

TASKS = [ContinuousCopy(1, num_values=1), ContinuousCopy(7, num_values=4, noise=0.3)]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS, ids=str)
def test_the_numbers_of_the_first_steps_are_asked_for_in_order_after_the_cue(task, key):
    n = task.num_values
    trials = jax.jit(jax.vmap(task.sample))(jax.random.split(key, 40))
    numbers, cues = np.moveaxis(np.asarray(trials.inputs), -1, 0)
    assert numbers.shape == (40, 2 * n + task.delay + 1)
    assert ((numbers[:, :n] >= -1) & (numbers[:, :n] < 1)).all()
    for shown, cue, target, mask in zip(numbers, cues, trials.targets, trials.mask, strict=True):
        assert set(cue) == {0.0, 1.0}
        (at,) = np.flatnonzero(cue)
        assert at == n + task.delay
        np.testing.assert_array_equal(np.flatnonzero(mask), at + 1 + np.arange(n))
        np.testing.assert_array_equal(target[mask, 0], shown[:n])
        np.testing.assert_array_equal(np.flatnonzero(mask) - np.arange(n), task.horizon)


@pytest.mark.slow
def test_distractors_stand_where_no_number_is_and_have_the_standard_deviation_that_is_said(key):
    """Four standard errors of a standard deviation of Gaussian numbers."""
    quiet = ContinuousCopy(30, num_values=2).held_out(key, 500).inputs
    noisy = ContinuousCopy(30, num_values=2, noise=0.25).held_out(key, 500).inputs
    assert not np.any(quiet[:, 2:, 0])
    np.testing.assert_array_equal(noisy[:, :2], quiet[:, :2])
    np.testing.assert_array_equal(noisy[..., 1], quiet[..., 1])
    distractors = noisy[:, 2:, 0]
    assert distractors.std() == pytest.approx(0.25, rel=4 / np.sqrt(2 * distractors.size))
    assert abs(distractors.mean()) < 4 * 0.25 / np.sqrt(distractors.size)


@pytest.mark.slow
def test_chance_is_the_error_of_zero(key):
    """The variance of the square of a number from U(-1, 1) is 1/5 - 1/9; four standard errors."""
    task = ContinuousCopy(3, num_values=5)
    trial = task.held_out(key, 4000)
    zeros = jnp.zeros((4000, task.num_steps, 1))
    found = task.metrics(zeros, trial)["error"]
    assert abs(float(found.value) - 1 / 3) < 4 * np.sqrt((1 / 5 - 1 / 9) / 20_000)
    assert task.chance_loss == found.chance == 1 / 3
    assert not found.higher_is_better
    for other in (-0.1, 0.1):
        assert task.loss(zeros + other, trial) > found.value


@pytest.mark.slow
def test_only_the_steps_of_recall_count(key):
    task = ContinuousCopy(4, num_values=2)
    trial = task.batch(key, 0, 3)
    outputs = jnp.full((3, 9, 1), 50.0)
    outputs = outputs.at[:, 7:].set(trial.targets[:, 7:] + jnp.array([[[1]], [[2]], [[3]]]))
    assert task.loss(outputs, trial) == pytest.approx(14 / 3, rel=1e-5)


def test_lengths_and_titles():
    task = ContinuousCopy(20, num_values=3)
    assert (task.num_steps, task.horizon, task.input_size, task.output_size) == (27, 24, 2, 1)
    assert task.describe() == "continuous copy of 3 numbers, delay 20"
    assert ContinuousCopy(5, num_values=1).describe() == "continuous copy of 1 number, delay 5"
