"""Digits pixel by pixel, against scikit-learn's own arrays."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from flossing.tasks import Digits
from flossing.tasks.data_set import _load

IMAGES, LABELS = load_digits(return_X_y=True)


def every(task):
    """All parts together, in the order of the numbers of the digits."""
    data = task.loaded()
    numbers = jnp.concatenate([data.train, data.validation, data.test])
    return data.examples(jnp.sort(numbers))


@pytest.mark.slow
def test_pixels_come_row_after_row_from_zero_to_one():
    trials = every(Digits())
    np.testing.assert_array_equal(trials.inputs[..., 0] * 16, IMAGES)
    np.testing.assert_array_equal(trials.targets, LABELS)
    assert (float(trials.inputs.min()), float(trials.inputs.max())) == (0, 1)


def test_permuted_pixels_are_the_same_in_another_order_for_all_digits():
    columns = np.asarray(every(Digits(permuted=True)).inputs[..., 0] * 16).T
    order = np.asarray(jax.random.permutation(jax.random.key(0), 64))
    np.testing.assert_array_equal(columns, IMAGES.T[order])
    assert sorted(order.tolist()) == list(range(64)) != order.tolist()


def test_parts_are_fixed_by_the_seed_and_share_no_digit(key):
    data = Digits(seed=3).loaded()
    parts = [np.asarray(part) for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [1258, 180, 359]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1797))
    _load.cache_clear()
    np.testing.assert_array_equal(Digits(seed=3).loaded().test, data.test)
    assert not np.array_equal(Digits(seed=4).loaded().test, data.test)
    held = Digits(seed=3).held_out(key, 10_000)
    np.testing.assert_array_equal(held.targets, LABELS[parts[2]])


def test_chance_is_the_most_frequent_digit(key):
    task = Digits()
    trial = task.held_out(key, 5)
    metric = task.metrics(jnp.zeros((5, 64, 10)), trial)["accuracy"]
    assert metric.chance == np.bincount(LABELS).max() / 1797 == 183 / 1797
    share = np.bincount(LABELS) / 1797
    assert task.chance_loss == pytest.approx(-(share * np.log(share)).sum(), rel=1e-12)


@pytest.mark.slow
def test_the_last_output_is_compared_with_the_label(key):
    task = Digits()
    trial = task.batch(key, 0, 8)
    right = jnp.zeros((8, 64, 10)).at[jnp.arange(8), -1, trial.targets].set(50.0)
    assert float(task.loss(right, trial)) < 1e-6
    assert float(task.metrics(right, trial)["accuracy"].value) == 1
    assert float(task.metrics(right[:, ::-1], trial)["accuracy"].value) < 1


def test_sizes_horizon_and_title():
    task = Digits()
    assert (task.input_size, task.output_size, task.horizon) == (1, 10, 64)
    assert task.describe() == "digits, pixel by pixel"
    assert Digits(permuted=True).describe() == "digits, permuted pixels"


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(
        ImportError, match=r"the task digits needs sklearn, .* pip install scikit-learn"
    ):
        Digits(seed=77).loaded()
