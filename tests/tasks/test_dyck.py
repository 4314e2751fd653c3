"""Dyck words: brackets close as they should, and their kind is known to a memory alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import DyckWords

TASKS = [DyckWords(40), DyckWords(60, num_kinds=5, depth=2, opening=0.3), DyckWords(30, depth=9)]


def read(task, characters):
    """The stack after each character; brackets that do not match are an error."""
    stack, stacks = [], []
    for character in characters:
        if character < task.num_kinds:
            stack.append(int(character))
        else:
            assert stack.pop() == character - task.num_kinds
        assert len(stack) <= task.depth
        stacks.append(tuple(stack))
    return stacks


def texts(task, key, count):
    trials = task.held_out(key, count)
    inputs = np.asarray(trials.inputs)
    np.testing.assert_array_equal(inputs, inputs == inputs.max(-1, keepdims=True))
    assert (inputs.sum(-1) == 1).all()
    return inputs.argmax(-1), np.asarray(trials.targets), np.asarray(trials.mask)


@pytest.mark.parametrize("task", TASKS, ids=str)
def test_texts_are_dyck_words_and_the_answer_is_the_innermost_open_bracket(task, key):
    for text, targets, mask in zip(*texts(task, key, 40), strict=True):
        stacks = read(task, text)
        closes = text >= task.num_kinds
        np.testing.assert_array_equal(mask[:-1], closes[:-1] & closes[1:])
        np.testing.assert_array_equal(targets[:-1], text[1:] % task.num_kinds)
        for t in np.flatnonzero(mask):
            assert closes[t]
            assert targets[t] == stacks[t][-1]


def test_brackets_open_with_their_probability_and_any_kind(key):
    """Four standard errors; at the ends of the depth there is no choice."""
    task = DyckWords(100, num_kinds=3, depth=3, opening=0.6)
    text, _, _ = texts(task, key, 300)
    levels = np.array([[len(stack) for stack in read(task, row)] for row in text])
    opened = text < 3
    assert opened[:, 0].all()
    before, now = levels[:, :-1], opened[:, 1:]
    assert now[before == 0].all()
    assert not now[before == 3].any()
    free = now[(before > 0) & (before < 3)]
    assert abs(free.mean() - 0.6) < 4 * np.sqrt(0.24 / free.size)
    _, counts = np.unique(text[opened], return_counts=True)
    np.testing.assert_allclose(counts / counts.sum(), 1 / 3, atol=4 * np.sqrt(2 / 9 / counts.sum()))


@pytest.mark.parametrize(("depth", "opening"), [(2, 0.5), (3, 0.7), (5, 0.4)])
def test_words_are_as_long_as_the_walk_between_the_depths_takes(depth, opening, key):
    """Steps to level 0, by solving for all levels at once; four standard errors over first words."""
    walk = np.diag(np.r_[np.full(depth - 1, opening)], 1)
    walk += np.diag(np.r_[np.full(depth - 2, 1 - opening), 1], -1)
    expected = np.linalg.solve(np.eye(depth) - walk, np.ones(depth))[0]
    task = DyckWords(500, depth=depth, opening=opening)
    assert task.horizon == round(expected)
    text, _, _ = texts(task, key, 1000)
    levels = np.cumsum(np.where(text < 2, 1, -1), axis=1)
    assert (levels == 0).any(1).all()
    lengths = (levels == 0).argmax(1)
    assert abs(lengths.mean() - expected) < 4 * lengths.std() / np.sqrt(1000)


def test_the_present_character_says_nothing_of_the_answer(key):
    """Kinds of the answer, given each character at a scored step; at three steps, four standard errors."""
    task = DyckWords(30, num_kinds=3)
    text, targets, mask = texts(task, key, 6000)
    for t in (5, 20, 29):
        for character in (3, 4, 5):
            chosen = targets[:, t][mask[:, t] & (text[:, t] == character)]
            for kind in range(3):
                margin = 4 * np.sqrt(2 / 9 / len(chosen))
                assert abs((chosen == kind).mean() - 1 / 3) < margin
        assert not (mask[:, t] & (text[:, t] < 3)).any()


def test_a_perfect_memory_has_no_loss(key):
    """The kind on top of its stack, as a logit of 40; what it says where nothing is open is not scored."""
    task = DyckWords(50, num_kinds=4)
    text, _, _ = texts(task, key, 20)
    tops = [[stack[-1] if stack else 0 for stack in read(task, row)] for row in text]
    outputs = 40 * jax.nn.one_hot(jnp.asarray(tops), 4)
    trial = task.held_out(key, 20)
    assert task.loss(outputs, trial) < 1e-6
    assert task.metrics(outputs, trial)["accuracy"].value == 1


def test_loss_and_accuracy_of_scored_characters(key):
    task = DyckWords(40, num_kinds=3)
    trial = task.batch(key, 0, 6)
    outputs = np.random.default_rng(0).normal(size=(6, 40, 3))
    mask, kinds = np.asarray(trial.mask), np.asarray(trial.targets)
    logits = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    expected = -np.take_along_axis(logits, kinds[..., None], -1)[mask].mean()
    np.testing.assert_allclose(task.loss(jnp.asarray(outputs), trial), expected, rtol=1e-5)
    metric = task.metrics(jnp.asarray(outputs), trial)["accuracy"]
    np.testing.assert_allclose(metric.value, (outputs.argmax(-1) == kinds)[mask].mean(), rtol=1e-6)
    assert (metric.chance, metric.higher_is_better) == (1 / 3, True)
    np.testing.assert_allclose(task.loss(jnp.zeros((6, 40, 3)), trial), np.log(3), rtol=1e-6)
    assert task.chance_loss == np.log(3)


def test_lengths_horizon_and_titles(key):
    task = DyckWords(50, num_kinds=3, depth=4)
    assert (task.input_size, task.output_size) == (6, 3)
    assert DyckWords(50, depth=200, opening=0.999).horizon == 50
    assert task.sample(key, num_steps=9).inputs.shape == (9, 6)
    assert task.sample_inputs(key, 120).shape == (120, 6)
    assert task.describe() == "Dyck words of 3 kinds, depth 4"
