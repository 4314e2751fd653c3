"""Frequency discrimination: tones of the frequencies that are said, and chance without a memory."""

import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import FrequencyDiscrimination

QUIET = FrequencyDiscrimination(7, noise=0.0)


def frequencies(tones):
    """Of sines along the last axis: ``x[t + 1] + x[t - 1] = 2 cos(2 pi f) x[t]``, by least squares."""
    middle, sums = tones[..., 1:-1], tones[..., 2:] + tones[..., :-2]
    cosine = (middle * sums).sum(-1) / (2 * middle**2).sum(-1)
    return np.arccos(np.clip(cosine, -1, 1)) / (2 * np.pi)


def heard(task, key, count):
    """Frequencies of both tones, and whether the second is said to be higher."""
    trials = task.held_out(key, count)
    inputs, steps = np.asarray(trials.inputs[..., 0], float), task.stimulus_steps
    return frequencies(inputs[:, :steps]), frequencies(inputs[:, -steps:]), trials.targets[:, -1, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [QUIET, FrequencyDiscrimination(1, stimulus_steps=40, lowest=0.2, highest=0.4, noise=0.0)],
    ids=str,
)
def test_the_answer_is_whether_the_second_tone_is_higher(task, key):
    first, second, answers = heard(task, key, 200)
    np.testing.assert_array_equal(answers, second > first)
    np.testing.assert_allclose(abs(second - first), task.difference, atol=1e-4)
    assert (second > task.lowest - 1e-4).all()
    assert (second < task.highest + 1e-4).all()


@pytest.mark.slow
def test_between_the_tones_is_silence_and_only_the_last_step_is_scored(key):
    trials = QUIET.held_out(key, 30)
    assert trials.inputs.shape == (30, 47, 1)
    assert not np.any(trials.inputs[:, 20:27])
    np.testing.assert_array_equal(trials.mask, np.tile(np.arange(47) == 46, (30, 1)))


@pytest.mark.slow
def test_the_second_tone_alone_says_nothing_and_the_first_says_what_is_documented(key):
    """The second is from U(lowest, highest) whatever the answer; four standard errors."""
    first, second, answers = heard(QUIET, key, 6000)
    answers = np.asarray(answers)
    assert abs(answers.mean() - 0.5) < 4 * 0.5 / np.sqrt(6000)
    for part in range(4):
        chosen = answers[np.floor((second - 0.1) / 0.05) == part]
        assert abs(len(chosen) / 6000 - 0.25) < 4 * np.sqrt(3 / 16 / 6000)
        assert abs(chosen.mean() - 0.5) < 4 * 0.5 / np.sqrt(len(chosen))
    # Certain below 0.1 + 0.03, certain above 0.3 - 0.03, and a guess between them.
    guess = np.where(abs(first - 0.2) < 0.07, np.arange(6000) % 2, first < 0.2)
    expected = 0.5 + 0.03 / 0.2
    assert abs((guess == answers).mean() - expected) < 4 * 0.5 / np.sqrt(6000)


@pytest.mark.slow
def test_phases_of_both_tones_are_random_and_independent(key):
    """A sine of a uniform phase has mean 0 and mean square 1/2 (variance 1/8); four standard errors."""
    inputs = np.asarray(QUIET.held_out(key, 4000).inputs[..., 0])
    starts = inputs[:, [0, -20]]
    np.testing.assert_allclose(starts.mean(0), 0, atol=4 * np.sqrt(1 / 2 / 4000))
    np.testing.assert_allclose((starts**2).mean(0), 0.5, atol=4 * np.sqrt(1 / 8 / 4000))
    assert abs(starts.prod(1).mean()) < 4 * np.sqrt(1 / 4 / 4000)


@pytest.mark.slow
def test_noise_is_added_at_every_step(key):
    """The same key with and without; four standard errors of a standard deviation, step by step."""
    noisy = FrequencyDiscrimination(7, noise=0.3).held_out(key, 2000).inputs
    noise = np.asarray(noisy - QUIET.held_out(key, 2000).inputs)[..., 0]
    np.testing.assert_allclose(noise.std(0), 0.3, rtol=4 / np.sqrt(4000))


@pytest.mark.slow
def test_loss_and_accuracy_are_those_of_the_last_step(key):
    trial = QUIET.batch(key, 0, 5)
    outputs = np.random.default_rng(0).normal(size=(5, 47, 1))
    last, answers = outputs[:, -1], np.asarray(trial.targets[:, -1])
    expected = (np.log1p(np.exp(last)) - last * answers).mean()
    np.testing.assert_allclose(QUIET.loss(jnp.asarray(outputs), trial), expected, rtol=1e-5)
    metric = QUIET.metrics(jnp.asarray(outputs), trial)["accuracy"]
    np.testing.assert_allclose(metric.value, ((last > 0) == answers).mean(), rtol=1e-6)
    assert (metric.chance, metric.higher_is_better) == (0.5, True)
    np.testing.assert_allclose(QUIET.loss(jnp.zeros((5, 47, 1)), trial), np.log(2), rtol=1e-6)
    assert QUIET.chance_loss == np.log(2)


def test_lengths_and_titles():
    task = FrequencyDiscrimination(20, stimulus_steps=8)
    assert (task.num_steps, task.horizon, task.input_size, task.output_size) == (36, 28, 1, 1)
    assert task.describe() == "frequency discrimination, delay 20"
