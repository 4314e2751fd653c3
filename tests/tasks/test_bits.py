"""Tasks: every scored answer can be computed from what was shown, and nothing else is scored."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from flossing.tasks import Copy, DelayedXOR, Parity

TASKS = [Copy(1), Copy(7), DelayedXOR(2), DelayedXOR(20), Parity(8, order=2), Parity(24, order=3)]


def drawn(task, key, num_steps):
    return jax.jit(task.sample, static_argnames="num_steps")(key, num_steps=num_steps)


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
    inputs, targets, mask = drawn(task, key, 60)
    answers = perfect_memory(task, np.asarray(inputs[:, 0]))
    scored = [t for t in range(60) if mask[t]]
    assert scored == [t for t in range(60) if answers[t] is not None]
    assert [int(targets[t, 0]) for t in scored] == [answers[t] for t in scored]


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_every_lag_matters(task, key):
    """Flipping the bit at one lag flips the answer: none of them is redundant."""
    inputs, targets, _ = drawn(task, key, 60)
    bits = np.asarray(inputs[:, 0]).copy()
    for lag in task.lags:
        flipped = bits.copy()
        flipped[50 - lag] = 1 - flipped[50 - lag]
        assert perfect_memory(task, flipped)[50] != int(targets[50, 0])


def test_lags_of_each_task():
    assert Copy(5).lags == (5,)
    assert DelayedXOR(10).lags == (5, 10)
    assert Parity(16, order=2).lags == (4, 8, 12, 16)


@given(order=st.integers(0, 4), spacing=st.integers(1, 6), extra=st.integers(1, 30))
@settings(max_examples=8, deadline=None)
def test_number_of_scored_steps(order, spacing, extra):
    delay = spacing * 2**order
    sample = drawn(Parity(delay, order=order), jax.random.key(3), delay + extra)
    assert int(sample.mask.sum()) == extra


def test_answers_are_balanced_and_inputs_say_nothing_at_once(key):
    """Chance is 50 % and the answer is independent of the current bit (4 standard errors)."""
    sample = jax.vmap(lambda key: DelayedXOR(4).sample(key, num_steps=104))
    samples = jax.jit(sample)(jax.random.split(key, 200))
    answers, bits = (np.asarray(x)[:, 4:, 0] for x in (samples.targets, samples.inputs))
    agreement = (answers == bits).mean()
    margin = 4 * 0.5 / np.sqrt(answers.size)
    assert abs(float(answers.mean()) - 0.5) < margin
    assert abs(float(agreement) - 0.5) < margin


def test_amplitude_scales_inputs_only(key):
    plain, loud = (
        Copy(3).sample(key, num_steps=20),
        Copy(3, amplitude=2.5).sample(key, num_steps=20),
    )
    np.testing.assert_allclose(loud.inputs, 2.5 * plain.inputs)
    np.testing.assert_array_equal(loud.targets, plain.targets)


def test_same_key_same_trial_other_key_other_trial(key):
    one, two = Copy(3).sample(key, num_steps=50), Copy(3).sample(key, num_steps=50)
    np.testing.assert_array_equal(one.inputs, two.inputs)
    assert not jnp.array_equal(one.inputs, Copy(3).sample(jax.random.key(1), num_steps=50).inputs)


def test_the_loss_of_no_opinion_is_that_of_chance(key):
    task = DelayedXOR(6, num_steps=40)
    trial = task.batch(key, 0, 3)
    np.testing.assert_allclose(task.loss(jnp.zeros((3, 40, 1)), trial), np.log(2), rtol=1e-6)
    assert task.chance_loss == np.log(2)


def test_loss_and_accuracy_count_scored_steps_only(key):
    task = Copy(3, num_steps=12)
    trial = task.batch(key, 0, 4)
    outputs = np.random.default_rng(0).normal(size=(4, 12, 1))
    scored, answers = outputs[:, 3:], np.asarray(trial.targets)[:, 3:]
    expected = (np.log1p(np.exp(scored)) - scored * answers).mean()
    np.testing.assert_allclose(task.loss(jnp.asarray(outputs), trial), expected, rtol=1e-5)
    metric = task.metrics(jnp.asarray(outputs), trial)["accuracy"]
    np.testing.assert_allclose(metric.value, ((scored > 0) == answers).mean(), rtol=1e-6)
    assert (metric.chance, metric.higher_is_better, metric.unit) == (0.5, True, "1")


def test_a_batch_depends_on_key_and_number_alone_and_held_out_trials_are_others(key):
    task = DelayedXOR(4, num_steps=30)
    batches = np.asarray(jax.jit(jax.vmap(lambda n: task.batch(key, n, 5).inputs))(jnp.arange(6)))
    np.testing.assert_array_equal(task.batch(key, 3, 5).inputs, batches[3])
    trials = [*batches.reshape(30, 30), *np.asarray(task.held_out(key, 20).inputs)[..., 0]]
    assert len({tuple(np.asarray(trial)) for trial in trials}) == 50


def test_titles_name_task_and_delay():
    assert Copy(3).describe() == "copy task, d = 3"
    assert DelayedXOR(20).describe() == "delayed XOR, d = 20"
    assert Parity(8, order=3).describe() == "parity of 8 bits, d = 8"


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int64"])
def test_small_integers_of_numpy_do_not_wrap(dtype, untyped, key):
    one = np.dtype(dtype).type
    task = Parity(one(96), order=one(5))
    assert task == Parity(96, order=5)
    assert task.lags == Parity(96, order=5).lags
    np.testing.assert_array_equal(
        task.sample(key, num_steps=one(100)).targets,
        Parity(96, order=5).sample(key, num_steps=100).targets,
    )
    with pytest.raises(ValueError, match=r"delay: expected a multiple of 1024 "):
        Parity(one(96), order=one(10))


def test_the_ends_of_the_ranges(key):
    """One bit and one scored step; and the most bits: 1024, each counted once."""
    inputs, targets, mask = Copy(1).sample(key, num_steps=2)
    np.testing.assert_array_equal(mask, [False, True])
    assert targets[1] == inputs[0]
    inputs, targets, mask = Parity(1024, order=10).sample(key, num_steps=1025)
    np.testing.assert_array_equal(np.flatnonzero(mask), [1024])
    assert int(targets[1024, 0]) == int(inputs[:1024].sum()) % 2
    assert Copy(3).sample_inputs(key, 1).shape == (1, 1)
    np.testing.assert_allclose(
        Copy(1, amplitude=-1e30).sample(key, num_steps=9).inputs,
        -1e30 * Copy(1).sample(key, num_steps=9).inputs,
    )
