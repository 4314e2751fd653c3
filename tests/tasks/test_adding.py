"""The adding problem: what is marked, what is asked for, and what chance is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flossing.tasks import AddingProblem


@pytest.mark.parametrize("steps", [2, 7, 100])
def test_the_target_is_the_sum_of_one_marked_number_of_each_half(steps, key):
    task = AddingProblem(steps)
    trials = jax.jit(jax.vmap(task.sample))(jax.random.split(key, 50))
    numbers, markers = np.moveaxis(np.asarray(trials.inputs, float), -1, 0)
    assert numbers.shape == (50, steps)
    assert ((numbers >= 0) & (numbers < 1)).all()
    assert set(np.unique(markers)) <= {0.0, 1.0}
    np.testing.assert_array_equal(markers[:, : steps // 2].sum(1), np.ones(50))
    np.testing.assert_array_equal(markers[:, steps // 2 :].sum(1), np.ones(50))
    expected = [n[m > 0].sum() for n, m in zip(numbers, markers, strict=True)]
    np.testing.assert_allclose(trials.targets[:, 0], expected, rtol=1e-6)


@pytest.mark.slow
def test_every_step_is_marked_with_the_same_probability(key):
    """Ten steps, each marked in a fifth of 4000 trials; four standard errors."""
    markers = AddingProblem(10).held_out(key, 4000).inputs[..., 1]
    np.testing.assert_allclose(markers.mean(0), 0.2, atol=4 * np.sqrt(0.16 / 4000))


@pytest.mark.slow
def test_chance_is_the_error_of_one_whatever_the_inputs(key):
    """The variance of the squared deviation of such a sum is 1/15 - 1/36; four standard errors."""
    task = AddingProblem(20)
    trial = task.held_out(key, 20_000)
    margin = 4 * np.sqrt((1 / 15 - 1 / 36) / 20_000)
    found = task.metrics(jnp.ones((20_000, 20, 1)), trial)["error"]
    assert abs(float(found.value) - 1 / 6) < margin
    assert task.chance_loss == found.chance == 1 / 6
    assert not found.higher_is_better
    for other in (0.9, 1.1):
        assert task.loss(jnp.full((20_000, 20, 1), other), trial) > found.value


@pytest.mark.slow
def test_only_the_last_output_counts(key):
    task = AddingProblem(12)
    trial = task.batch(key, 0, 3)
    outputs = (
        jnp.full((3, 12, 1), jnp.nan).at[:, -1].set(trial.targets + jnp.array([[0], [1], [2]]))
    )
    assert task.loss(outputs, trial) == pytest.approx(5 / 3, rel=1e-6)


def test_length_horizon_and_title(key):
    task = AddingProblem(30)
    assert (task.horizon, task.input_size, task.output_size) == (30, 2, 1)
    assert task.sample(key, num_steps=9).inputs.shape == (9, 2)
    assert task.sample_inputs(key, 70).shape == (70, 2)
    assert task.describe() == "adding problem, 30 steps"
    with pytest.raises(ValueError, match="num_steps: expected at least 2, got 1"):
        AddingProblem(1)
    with pytest.raises(ValueError, match="num_steps: expected at least 2, got 1"):
        task.sample(key, num_steps=1)
