"""Tasks: every scored answer can be computed from what was shown, and nothing else is scored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from flossing.tasks import Copy, DelayedXOR, Parity

TASKS = [Copy(1), Copy(7), DelayedXOR(2), DelayedXOR(20), Parity(8, 2), Parity(24, 3)]


def perfect_memory(task, bits):
    """Answers of someone who remembers every bit shown so far, step by step; None before enough are."""
    seen, answers = [], []
    for bit in bits:
        seen.append(int(bit))
        known = [seen[-1 - lag] for lag in task.lags if lag < len(seen)]
        answers.append(sum(known) % 2 if len(known) == len(task.lags) else None)
    return answers


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_perfect_memory_is_right_at_every_scored_step(task, key):
    inputs, targets, mask = task.sample(key, 60)
    answers = perfect_memory(task, np.asarray(inputs[:, 0]))
    scored = [t for t in range(60) if mask[t]]
    assert scored == [t for t in range(60) if answers[t] is not None]
    assert [int(targets[t, 0]) for t in scored] == [answers[t] for t in scored]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_every_lag_matters(task, key):
    """Flipping the bit at one lag flips the answer: none of them is redundant."""
    inputs, targets, _ = task.sample(key, 60)
    bits = np.asarray(inputs[:, 0]).copy()
    for lag in task.lags:
        flipped = bits.copy()
        flipped[50 - lag] = 1 - flipped[50 - lag]
        assert perfect_memory(task, flipped)[50] != int(targets[50, 0])


def test_lags_of_each_task():
    assert Copy(5).lags == (5,)
    assert DelayedXOR(10).lags == (5, 10)
    assert Parity(16, 2).lags == (4, 8, 12, 16)


@given(order=st.integers(0, 4), spacing=st.integers(1, 6), extra=st.integers(1, 30))
@settings(max_examples=8, deadline=None)
def test_number_of_scored_steps(order, spacing, extra):
    delay = spacing * 2**order
    sample = Parity(delay, order).sample(jax.random.key(3), delay + extra)
    assert int(sample.mask.sum()) == extra


def test_answers_are_balanced_and_inputs_say_nothing_at_once(key):
    """Chance is 50 % and the answer is independent of the current bit (4 standard errors)."""
    samples = jax.vmap(lambda k: DelayedXOR(4).sample(k, 104))(jax.random.split(key, 200))
    answers = samples.targets[:, 4:, 0]
    agreement = (answers == samples.inputs[:, 4:, 0]).mean()
    margin = 4 * 0.5 / np.sqrt(answers.size)
    assert abs(float(answers.mean()) - 0.5) < margin
    assert abs(float(agreement) - 0.5) < margin


def test_amplitude_scales_inputs_only(key):
    plain, loud = Copy(3).sample(key, 20), Copy(3, amplitude=2.5).sample(key, 20)
    np.testing.assert_allclose(loud.inputs, 2.5 * plain.inputs)
    np.testing.assert_array_equal(loud.targets, plain.targets)


def test_same_key_same_trial_other_key_other_trial(key):
    one, two = Copy(3).sample(key, 50), Copy(3).sample(key, 50)
    np.testing.assert_array_equal(one.inputs, two.inputs)
    assert not jnp.array_equal(one.inputs, Copy(3).sample(jax.random.key(1), 50).inputs)
