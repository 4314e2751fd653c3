"""First exponents driven to targets, small, and the published curves that they are compared with."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flossing.experiments.lab.data import Data
from flossing.experiments.lab.published import Published
from flossing.experiments.rate.target_exponents import Driven, TargetExponents, polyak_descent

TABLE = TargetExponents.tables[0]


def published(target):
    """Curves of the published networks."""
    columns = ("target", "realisation", "epoch", "first_exponent_per_step")
    return [*Published((TABLE,)).curves(TABLE, *columns)[target].values()]


def test_published_curves_have_the_published_medians():
    """Median |error| at epoch 40: .017, .013, .003 for the targets -1, -0.5, 0."""
    for target, expected in ((-1.0, 0.017), (-0.5, 0.013), (0.0, 0.003)):
        errors = [abs(np.interp(40, *c.T) - target) for c in published(target)]
        assert len(errors) == 10
        assert np.median(errors) == pytest.approx(expected, abs=5e-4)


SMALL = TargetExponents(
    targets=(-1.0, 0.0), hidden_size=24, epochs=60, num_starts=8, state_warmup=100, window=120, warmup=60,
    measured_steps=1000, repeats=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def small():
    return Data({case: work(print) for case, work in SMALL.cases().items()})


@pytest.mark.slow
def test_networks_start_where_the_published_ones_do(small):
    """Bisection over 1000 steps, measured over 2000 others: they agree within the scatter of both."""
    starts = [curve[0, 1] for curve in published(0.0)]
    for part in small.values():
        np.testing.assert_allclose(part["measured"].sel(moment=0), starts, atol=0.05)


@pytest.mark.slow
def test_first_exponents_reach_their_targets(small):
    """Fewer trajectories scatter more than in the full run, whose limits are the published errors."""
    for target in SMALL.targets:
        errors = np.abs(small[Driven(target)]["measured"].sel(moment=[20, 40, 60]) - target)
        assert np.median(errors, 1).max() < 0.05


@pytest.mark.slow
def test_every_published_median_is_a_limit(small):
    moments = [(target, epoch) for target in SMALL.targets for epoch in (20, 40, 60)]
    for claim, (target, epoch) in zip(SMALL.verdict(small), moments, strict=True):
        errors = [abs(np.interp(epoch, *c.T) - target) for c in published(target)]
        assert claim.published == claim.high == pytest.approx(np.median(errors))
        ours = np.abs(small[Driven(target)]["measured"].sel(moment=epoch) - target)
        assert claim.measured == pytest.approx(float(np.median(ours)))


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_polyak_step_is_the_best_along_the_gradient_of_a_quadratic(x64):
    """No other length of the step ends nearer to the solution."""
    scale, start = jnp.array([1.0, 4.0, 0.3]), jnp.array([1.0, 0.5, -2.0])
    value, gradient = jax.value_and_grad(lambda x: (scale * x**2).sum())(start)
    optimiser = polyak_descent(100.0)
    step, _ = optimiser.update(gradient, optimiser.init(start), value=value)
    distances = [float(jnp.linalg.norm(start + factor * step)) for factor in (0.9, 1.0, 1.1)]
    assert distances[1] < min(distances[0], distances[2])


def test_polyak_steps_are_bounded_and_zero_without_a_gradient():
    optimiser = polyak_descent(0.5)
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([4.0])}
    state = optimiser.init(gradient)
    step, state = optimiser.update(gradient, state, value=jnp.asarray(1e3))
    assert float(optax.tree.norm(step)) == pytest.approx(0.5)
    zeros = jax.tree.map(jnp.zeros_like, gradient)
    step, _ = optimiser.update(zeros, state, value=jnp.asarray(1.0))
    np.testing.assert_array_equal(jax.tree.leaves(step)[0], [0, 0])
