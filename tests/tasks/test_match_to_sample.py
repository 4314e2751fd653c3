"""Delayed match-to-sample: the answer follows from what is shown, and from neither stimulus alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import MatchToSample

TASKS = [
    MatchToSample(9, noise=0.0),
    MatchToSample(6, min_delay=2, num_stimuli=3, stimulus_steps=2, noise=0.0),
    MatchToSample(1, num_stimuli=2, stimulus_steps=1, noise=0.0),
]


def directions(task, inputs):
    """The number of the direction that is shown at each step, -1 where none is."""
    on = inputs.any(-1)
    np.testing.assert_allclose(np.hypot(inputs[..., 0], inputs[..., 1]), on, atol=1e-6)
    angles = np.where(on, np.arctan2(inputs[..., 1], inputs[..., 0]), 0)
    numbers = angles / (2 * np.pi / task.num_stimuli)
    np.testing.assert_allclose(numbers, numbers.round(), atol=1e-5)
    return np.where(on, numbers.round().astype(int) % task.num_stimuli, -1)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_the_answer_is_whether_both_stimuli_are_the_same(task, key):
    trials = task.held_out(key, 60)
    steps = task.stimulus_steps
    shown = directions(task, np.asarray(trials.inputs))
    for row, target, mask in zip(shown, trials.targets, trials.mask, strict=True):
        on = np.flatnonzero(row >= 0)
        first, test = on[:steps], on[steps:]
        np.testing.assert_array_equal(first, np.arange(steps))
        np.testing.assert_array_equal(test, test[0] + np.arange(steps))
        delay = test[0] - steps
        assert (task.min_delay or task.delay) <= delay <= task.delay
        assert len(set(row[first])) == len(set(row[test])) == 1
        np.testing.assert_array_equal(np.flatnonzero(mask), test + steps)
        assert set(np.asarray(target[:, 0])) == {float(row[first[0]] == row[test[0]])}


def test_half_match_and_the_others_are_any_other_direction(key):
    """A chi-squared of five pairs of directions by five, with known probabilities: 24 degrees of freedom."""
    task = MatchToSample(2, num_stimuli=5, noise=0.0)
    shown = directions(task, np.asarray(task.held_out(key, 6000).inputs))
    counts = np.zeros((5, 5))
    np.add.at(counts, (shown[:, 0], shown[:, 5]), 1)
    expected = 6000 / 5 * np.where(np.eye(5, dtype=bool), 0.5, 0.5 / 4)
    assert ((counts - expected) ** 2 / expected).sum() < 24 + 4 * np.sqrt(2 * 24)


def test_neither_stimulus_alone_says_anything(key):
    """The fraction of matches for each direction of the one and of the other; four standard errors."""
    task = MatchToSample(2, num_stimuli=4, noise=0.0)
    trials = task.held_out(key, 4000)
    shown = directions(task, np.asarray(trials.inputs))
    matches = np.asarray(trials.targets[:, 0, 0])
    for stimulus in (shown[:, 0], shown[:, 5]):
        for direction in range(4):
            chosen = matches[stimulus == direction]
            assert abs(chosen.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(chosen))


def test_every_delay_of_the_range_comes_with_the_same_probability(key):
    """Delays are read from the mask; four standard errors of each count."""
    task = MatchToSample(10, min_delay=4, stimulus_steps=2)
    delays = np.argmax(np.asarray(task.held_out(key, 4200).mask), axis=1) - 4
    values, counts = np.unique(delays, return_counts=True)
    np.testing.assert_array_equal(values, np.arange(4, 11))
    np.testing.assert_allclose(counts / 4200, 1 / 7, atol=4 * np.sqrt(6 / 49 / 4200))


def test_noise_is_added_at_every_step(key):
    """The same key with and without; four standard errors of a standard deviation, step by step."""
    quiet, noisy = (MatchToSample(5, noise=s).held_out(key, 1000).inputs for s in (0.0, 0.2))
    noise = np.asarray(noisy - quiet)
    np.testing.assert_allclose(noise.std((0, 2)), 0.2, rtol=4 / np.sqrt(4000))
    np.testing.assert_allclose(noise.mean((0, 2)), 0, atol=4 * 0.2 / np.sqrt(2000))


def test_loss_and_accuracy_count_the_response_only(key):
    task = MatchToSample(3, min_delay=1)
    trial = task.batch(key, 0, 6)
    outputs = np.random.default_rng(0).normal(size=(6, 12, 1))
    scored, answers = (np.asarray(x)[np.asarray(trial.mask)] for x in (outputs, trial.targets))
    assert scored.shape == (18, 1)
    expected = (np.log1p(np.exp(scored)) - scored * answers).mean()
    np.testing.assert_allclose(task.loss(jnp.asarray(outputs), trial), expected, rtol=1e-5)
    metric = task.metrics(jnp.asarray(outputs), trial)["accuracy"]
    np.testing.assert_allclose(metric.value, ((scored > 0) == answers).mean(), rtol=1e-6)
    assert (metric.chance, metric.higher_is_better, metric.unit) == (0.5, True, "1")
    np.testing.assert_allclose(task.loss(jnp.zeros((6, 12, 1)), trial), np.log(2), rtol=1e-6)
    assert task.chance_loss == np.log(2)


def test_lengths_horizon_and_titles(key):
    """The horizon is the distance of the last step of the sample from the last scored one."""
    task = MatchToSample(20, min_delay=5, stimulus_steps=4)
    last = (
        np.asarray(jax.jit(jax.vmap(task.sample))(jax.random.split(key, 200)).mask)
        .nonzero()[1]
        .max()
    )
    assert (task.num_steps, task.horizon) == (32, last - 3)
    assert (task.input_size, task.output_size) == (2, 1)
    assert task.describe() == "match to sample, delay 5 to 20"
    assert MatchToSample(20).describe() == "match to sample, delay 20"
