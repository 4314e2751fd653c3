"""The protocol: a few lines make a task, and what it does not say has a default that fits."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flossing as fl
from flossing.tasks import Metric, Trial
from flossing.tasks.task import as_metrics, refuse_other_length


class RunningSum(fl.tasks.Task):
    """The sum of all numbers so far."""

    input_size = 1
    output_size = 1

    def sample(self, key, *, num_steps=None):
        numbers = jax.random.normal(key, (num_steps or 10, 1))
        return Trial(numbers, numbers.cumsum(0))

    def loss(self, outputs, trial):
        return jnp.mean((outputs - trial.targets) ** 2)


@dataclasses.dataclass(frozen=True)
class Sized(RunningSum):
    """Sizes and horizon as fields."""

    input_size: int
    output_size: int = 1
    horizon: int | None = 7


def test_four_lines_are_a_task(key):
    task = RunningSum()
    trial = eqx.filter_jit(lambda task: task.batch(key, 3, 4))(task)
    np.testing.assert_allclose(trial.targets, np.cumsum(trial.inputs, 1), rtol=1e-5)
    assert task.loss(trial.targets + 2, trial) == pytest.approx(4, rel=1e-5)
    assert task.metrics(trial.targets, trial) == {}
    assert (task.horizon, task.chance_loss, task.describe()) == (None, None, "RunningSum")
    assert task.loaded() is task
    assert "RunningSum" not in str(fl.tasks.Task.members)


def test_sizes_may_be_fields(key):
    task = Sized(3)
    assert (task.input_size, task.output_size, task.horizon) == (3, 1, 7)


def test_a_name_makes_a_task_known():
    class Mine(RunningSum, name="mine-for-a-test"):
        pass

    assert fl.tasks.Task.members.pop("mine-for-a-test") is Mine
    assert fl.tasks.Task.members["xor"] is fl.tasks.DelayedXOR


def test_inputs_of_any_length_are_trials_one_after_the_other(key):
    task = RunningSum()
    keys = jax.random.split(key, 3)
    expected = np.concatenate([task.sample(k).inputs for k in keys])[:25]
    np.testing.assert_array_equal(task.sample_inputs(key, 25), expected)
    assert task.sample_inputs(key, 1).shape == (1, 1)


def test_updates_and_test_trials_are_functions_of_the_key(key):
    task = RunningSum()
    np.testing.assert_array_equal(task.batch(key, 2, 3).inputs, task.batch(key, 2, 3).inputs)
    np.testing.assert_array_equal(task.held_out(key, 3).inputs, task.held_out(key, 3).inputs)
    other = jax.random.key(1)
    for trials in (task.batch(key, 3, 3), task.batch(other, 2, 3), task.held_out(key, 3)):
        assert not np.isin(trials.inputs, task.batch(key, 2, 3).inputs).any()


def test_a_task_without_a_loss_is_none():
    class Lossless(fl.tasks.Task):
        def sample(self, key, *, num_steps=None):
            return Trial(jnp.zeros((1, 1)), jnp.zeros(()))

    with pytest.raises(TypeError, match="loss"):
        Lossless()


def test_plain_numbers_become_metrics():
    error = Metric(jnp.asarray(0.5), higher_is_better=False, chance=1.0, unit="ms")
    found = as_metrics({"share": 0.25, "error": error})
    assert found["error"] is error
    assert (float(found["share"].value), found["share"].chance) == (0.25, None)
    assert found["share"].higher_is_better


def test_the_first_metric_is_first_in_compiled_code_too():
    metrics = {"worst": 2.0, "accuracy": 0.5}
    assert list(jax.jit(lambda: as_metrics(metrics))()) == list(metrics)


def test_another_length_is_refused_where_there_is_none_to_choose():
    refuse_other_length(None, 10)
    refuse_other_length(10, 10)
    with pytest.raises(ValueError, match="num_steps: the trials of this task have 10 steps, got 9"):
        refuse_other_length(9, 10)
