"""Optimisers of our own against their equations in plain Python."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flossing.training import normalised_descent, polyak_descent, smorms3


def by_hand(gradients, learning_rate, epsilon=1e-16):
    memory, mean, square, steps = 1.0, 0.0, 0.0, []
    for g in gradients:
        r = 1 / (memory + 1)
        mean = (1 - r) * mean + r * g
        square = (1 - r) * square + r * g * g
        x = mean**2 / (square + epsilon)
        steps.append(-g * min(learning_rate, x) / (square**0.5 + epsilon))
        memory = 1 + memory * (1 - x)
    return steps


def test_steps_are_those_of_the_equations(x64):
    gradients = np.random.default_rng(0).normal(0.3, 1.0, (30, 2))
    optimiser = smorms3(0.05)
    update = jax.jit(optimiser.update)
    state = optimiser.init({"a": jnp.zeros(()), "b": jnp.zeros(1)})
    found = []
    for a, b in gradients:
        steps, state = update({"a": jnp.asarray(a), "b": jnp.asarray([b])}, state)
        found.append([float(steps["a"]), float(steps["b"][0])])
    expected = np.transpose([by_hand(gradients[:, i], 0.05) for i in range(2)])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert (np.abs(expected).max(0) > 0.02).all()


def test_it_finds_the_bottom_of_a_bowl_and_chains(x64):
    optimiser = optax.chain(optax.clip(10.0), smorms3(0.1))
    scale = jnp.asarray([1.0, 100.0])

    def step(carry, _):
        x, state = carry
        updates, state = optimiser.update(jax.grad(lambda x: (scale * x**2).sum())(x), state)
        return (optax.apply_updates(x, updates), state), None

    start = jnp.asarray([3.0, -2.0])
    (x, _), _ = jax.lax.scan(step, (start, optimiser.init(start)), length=400)
    np.testing.assert_allclose(x, 0, atol=1e-3)


def test_a_gradient_of_zero_does_nothing():
    optimiser = smorms3()
    steps, _ = optimiser.update(jnp.zeros(3), optimiser.init(jnp.zeros(3)))
    np.testing.assert_array_equal(steps, np.zeros(3))


def test_wrong_learning_rate(untyped):
    with pytest.raises(ValueError, match="learning_rate: expected a finite positive number"):
        smorms3(0.0)


def test_normalised_steps_are_as_long_as_asked_whatever_the_gradient(x64):
    """Constant gradients: every array moves by the rate, in root mean square; zeros stay."""
    optimiser = normalised_descent(0.01, 0.9)
    gradients = {
        "large": jnp.array([3e6, -4e6]),
        "small": jnp.full((2, 3), 1e-20),
        "none": jnp.zeros(4),
    }
    state = optimiser.init(gradients)
    for _ in range(3):
        steps, state = jax.jit(optimiser.update)(gradients, state)
        np.testing.assert_allclose(steps["large"], [-0.01 * 3 / 12.5**0.5, 0.01 * 4 / 12.5**0.5])
        np.testing.assert_allclose(steps["small"], -0.01)
        np.testing.assert_array_equal(steps["none"], 0)


def test_normalised_steps_are_running_means(x64):
    gradients = np.random.default_rng(1).normal(size=(20, 5))
    rates = optax.linear_schedule(0.1, 0.05, 20)
    optimiser = normalised_descent(rates, 0.8)
    state, mean = optimiser.init(jnp.zeros(5)), np.zeros(5)
    for i, gradient in enumerate(gradients):
        step, state = optimiser.update(jnp.asarray(gradient), state)
        mean = 0.8 * mean + 0.2 * gradient / np.sqrt(np.mean(gradient**2))
        np.testing.assert_allclose(step, -rates(i) * mean / (1 - 0.8 ** (i + 1)), rtol=1e-6)


def test_noise_moves_an_array_less(x64):
    gradients = np.random.default_rng(2).normal(size=(400, 50))
    optimiser = normalised_descent(1.0, 0.9)
    state, steps = optimiser.init(jnp.zeros(50)), []
    for gradient in gradients:
        step, state = optimiser.update(jnp.asarray(gradient), state)
        steps.append(step)
    found = np.sqrt(np.mean(np.square(steps[50:])))
    assert found == pytest.approx((0.1 / 1.9) ** 0.5, rel=0.05)


def test_a_polyak_step_takes_one_residual_to_zero_by_the_shortest_way(x64):
    """Newton's method for a linear residual: one step, along the gradient, over all arrays together."""
    weights = {"a": jnp.array([1.0, -2.0]), "b": jnp.array([[3.0]])}

    def loss(p):
        return (2 * p["a"][0] - p["a"][1] + 5 * p["b"][0, 0] - 7.0) ** 2

    optimiser = polyak_descent(100.0)
    value, gradient = jax.value_and_grad(loss)(weights)
    step, _ = jax.jit(optimiser.update)(gradient, optimiser.init(weights), value=value)
    shortest = -12.0 * np.array([2.0, -1.0, 5.0]) / 30.0
    np.testing.assert_allclose([*step["a"], step["b"][0, 0]], shortest)
    assert loss(optax.apply_updates(weights, step)) == pytest.approx(0, abs=1e-20)


def test_a_polyak_step_is_the_best_along_the_gradient_of_a_quadratic(x64):
    """No other length of the step ends nearer to the solution."""
    scale, start = jnp.array([1.0, 4.0, 0.3]), jnp.array([1.0, 0.5, -2.0])
    value, gradient = jax.value_and_grad(lambda x: (scale * x**2).sum())(start)
    optimiser = polyak_descent(100.0)
    step, _ = optimiser.update(gradient, optimiser.init(start), value=value)
    distances = [float(jnp.linalg.norm(start + factor * step)) for factor in (0.9, 1.0, 1.1)]
    assert distances[1] < min(distances[0], distances[2])


def test_polyak_steps_are_bounded_by_a_schedule_and_zero_without_a_gradient():
    optimiser = polyak_descent(optax.linear_schedule(1.0, 0.5, 1))
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}
    state = optimiser.init(gradient)
    for longest in (1.0, 0.5):
        step, state = optimiser.update(gradient, state, value=jnp.asarray(1e3))
        assert float(optax.tree.norm(step)) == pytest.approx(longest)
    step, _ = optimiser.update(
        jax.tree.map(jnp.zeros_like, gradient), state, value=jnp.asarray(1.0)
    )
    np.testing.assert_array_equal(jax.tree.leaves(step)[0], [0, 0])
