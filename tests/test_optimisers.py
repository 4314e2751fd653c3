"""Optimisers of our own, and those that specifications build, against their equations in plain Python."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from flossing.optimisers import (
    SGD,
    Adam,
    OptimiserSpec,
    all_finite,
    apply_if,
    as_optimiser,
    clip_by_array_norm,
    clip_by_global_norm,
    keep_row_means,
)

GRADIENTS = [
    {"a": np.array([3.0, -4.0]) * scale, "b": np.array([[0.01, 0.02]]) / scale}
    for scale in (1.0, 1e-3, 0.2, 5.0)
]


def clipped(gradient, clip, norm):
    sizes = {name: np.linalg.norm(x) for name, x in gradient.items()}
    if clip is None:
        return gradient
    if clip == "global":
        sizes = dict.fromkeys(gradient, np.hypot(*sizes.values()))
    return {name: x * min(1.0, norm / sizes[name]) for name, x in gradient.items()}


def rate_at(i, first, last, epochs):
    """Along a cosine, to the last rate at the last update and from there on."""
    if last is None:
        return first
    return last + (first - last) * (1 + np.cos(np.pi * min(i, epochs) / epochs)) / 2


def changes(spec, epochs):
    optimiser = spec.build(epochs)
    state, found = optimiser.init(jax.tree.map(jnp.asarray, GRADIENTS[0])), []
    for gradient in GRADIENTS:
        change, state = optimiser.update(jax.tree.map(jnp.asarray, gradient), state)
        found.append(change)
    return found


@pytest.mark.parametrize("clip", ["array", "global", None])
@pytest.mark.parametrize("last", [None, 0.0, 0.01])
def test_adam_is_that_of_its_equations(clip, last, x64):
    spec = Adam(learning_rate=0.05, final_learning_rate=last, clip=clip, clip_norm=0.3)
    mean, square = ({name: 0.0 for name in GRADIENTS[0]} for _ in range(2))
    for i, found in enumerate(changes(spec, 3)):
        for name, g in clipped(GRADIENTS[i], clip, 0.3).items():
            mean[name] = 0.9 * mean[name] + 0.1 * g
            square[name] = 0.999 * square[name] + 0.001 * g**2
            m, s = mean[name] / (1 - 0.9 ** (i + 1)), square[name] / (1 - 0.999 ** (i + 1))
            step = -rate_at(i, 0.05, last, 3) * m / (np.sqrt(s) + 1e-8)
            np.testing.assert_allclose(found[name], step, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_gradient_descent_is_that_of_its_equations(momentum, x64):
    spec = SGD(learning_rate=0.05, final_learning_rate=0.02, clip=None, momentum=momentum)
    trace = {name: 0.0 for name in GRADIENTS[0]}
    for i, found in enumerate(changes(spec, 3)):
        for name, g in GRADIENTS[i].items():
            trace[name] = momentum * trace[name] + g
            np.testing.assert_allclose(
                found[name], -rate_at(i, 0.05, 0.02, 3) * trace[name], rtol=1e-9
            )


def test_a_rate_of_zero_changes_nothing(x64):
    for spec in (Adam(learning_rate=0.0, final_learning_rate=0.0), SGD(learning_rate=0.0)):
        assert all((x == 0).all() for x in jax.tree.leaves(changes(spec, 3)))


def test_specifications_are_found_by_name():
    assert OptimiserSpec.members == {"adam": Adam, "sgd": SGD}


def test_a_plain_transformation_is_taken_as_it_is():
    optimiser = as_optimiser(optax.sgd(0.5), 3)
    change, _ = optimiser.update(jnp.ones(2), optimiser.init(jnp.ones(2)), value=jnp.ones(()))
    np.testing.assert_array_equal(change, [-0.5, -0.5])


def test_kept_row_means_are_those_of_matrices_with_columns():
    rng = np.random.default_rng(4)
    shapes = {"matrix": (3, 4), "column": (3, 1), "vector": (5,), "filters": (2, 3, 4)}
    gradient = {name: jnp.asarray(rng.normal(size=shape)) for name, shape in shapes.items()}
    change, _ = keep_row_means().update(gradient, keep_row_means().init(gradient))
    for name, given in gradient.items():
        expected = given - given.mean(1, keepdims=True) if name == "matrix" else given
        np.testing.assert_allclose(change[name], expected, atol=1e-6)


def test_clipping_by_arrays_and_by_all_of_them():
    gradient = {
        "large": jnp.array([3.0, 4.0]),
        "small": jnp.array([0.1, 0.2]),
        "zero": jnp.zeros(2),
    }
    found, _ = clip_by_array_norm(0.5).update(gradient, optax.EmptyState())
    np.testing.assert_allclose(found["large"], [0.3, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(found["small"], gradient["small"])
    np.testing.assert_array_equal(found["zero"], jnp.zeros(2))
    found, _ = clip_by_global_norm(0.5).update(gradient, optax.EmptyState())
    for name, given in gradient.items():
        np.testing.assert_allclose(found[name], given * 0.5 / np.sqrt(25.05), rtol=1e-6)


def test_gradients_whose_squares_overflow_keep_their_direction():
    for clip in (clip_by_array_norm, clip_by_global_norm):
        found, _ = clip(0.5).update(jnp.array([3e30, 4e30]), optax.EmptyState())
        np.testing.assert_allclose(found, [0.3, 0.4], rtol=1e-6)


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf, -jnp.inf])
def test_non_finite_gradients_are_seen_anywhere_in_a_tree(bad):
    assert bool(all_finite({"a": jnp.ones(3), "b": (jnp.zeros(2), None)}))
    assert not bool(all_finite({"a": jnp.ones(3), "b": (jnp.zeros(2).at[1].set(bad), None)}))
    assert bool(all_finite({}))


def test_apply_if_picks_a_whole_tree():
    new, old = {"a": jnp.ones(2)}, {"a": jnp.zeros(2)}
    assert eqx.tree_equal(apply_if(jnp.asarray(True), new, old), new)
    assert eqx.tree_equal(apply_if(jnp.asarray(False), new, old), old)
