"""Optimiser parts that Optax does not have."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, PyTree

from .._checks import check_fraction, check_positive
from .._norms import clipped, tree_norm, with_norm


def clip_by_array_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales each array of the gradient down to a Euclidean norm of at most ``max_norm``.

    This is the clipping of the published gradient-flossing code: each parameter array has a norm of its
    own, unlike ``clip_by_global_norm``.
    """
    check_positive("max_norm", max_norm)
    return _stateless(lambda updates: jax.tree.map(lambda x: clipped(x, max_norm), updates))


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales a gradient down to a Euclidean norm of at most ``max_norm``, over all arrays together.

    Like ``optax.clip_by_global_norm``, which makes zeros of gradients whose squares overflow.
    """
    check_positive("max_norm", max_norm)
    return _stateless(lambda updates: clipped(updates, max_norm))


def _stateless(change: Callable[[PyTree], PyTree]) -> optax.GradientTransformation:
    return optax.stateless(lambda updates, params: change(updates))


def normalised_descent(
    learning_rate: optax.ScalarOrSchedule, beta1: float = 0.9
) -> optax.GradientTransformation:
    """Gradient descent with momentum in which every array moves by the same length.

    The gradient of each array is divided by the root mean square of its entries; the running mean of that
    (decay ``beta1``, without the bias of its start) times ``learning_rate`` is the step. Where gradients
    agree from step to step, an array's entries so move by ``learning_rate`` (root mean square); where they
    are noise, by ``sqrt((1 - beta1) / (1 + beta1))`` of it. Adam, in contrast, lets every entry move by
    its own noise.

    Source of normalised steps with momentum: Cutkosky & Mehta 2020 (there for all arrays together).

    Raises:
        ValueError: ``beta1`` is not a fraction.
    """
    check_fraction("beta1", beta1)

    def normalise(updates: PyTree) -> PyTree:
        return jax.tree.map(lambda x: with_norm(x, math.sqrt(x.size)), updates)

    return optax.chain(
        _stateless(normalise),
        optax.ema(beta1),
        optax.scale_by_learning_rate(learning_rate),
    )


def polyak_descent(longest: optax.ScalarOrSchedule) -> optax.GradientTransformationExtraArgs:
    """Gradient descent for a mean of squares that can become zero; its steps follow from its value.

    The step is ``-2 loss / |gradient|^2 * gradient``, and at most ``longest`` long (Euclidean norm over all
    arrays). That is twice Polyak's step size for a lowest loss of 0, and along the gradient of a quadratic
    loss it ends nearest to the solution. With a single residual it is Newton's method: the shortest change
    that takes the residual to zero, to first order. Nothing is remembered between steps. ``update`` needs
    the loss as ``value``.

    Args:
        longest: bound on the length of steps, a number or a schedule.

    Source: B. Polyak, Introduction to Optimization, 1987, section 5.3; with a bound: Loizou et al. 2021.
    """

    def init(params: PyTree) -> optax.ScaleByScheduleState:
        del params
        return optax.ScaleByScheduleState(jnp.zeros([], jnp.int32))

    def update(
        updates: PyTree, state: PyTree, params: PyTree = None, **more: Any
    ) -> tuple[PyTree, PyTree]:
        del params
        value: Array = more["value"]
        slope = tree_norm(updates)
        bound = longest(state.count) if callable(longest) else longest
        length = jnp.minimum(bound, 2 * value / jnp.where(slope > 0, slope, 1))
        step = with_norm(updates, -length)
        return step, optax.ScaleByScheduleState(optax.safe_increment(state.count))

    return optax.GradientTransformationExtraArgs(init, update)


class Smorms3State(NamedTuple):
    """Memory length, mean gradient and root of the mean squared gradient, each like the parameters."""

    memory: PyTree
    mean: PyTree
    root: PyTree


def without_row_means(update: Array) -> Array:
    """A change of a matrix that leaves the means of its rows; anything else, and one column, as it is."""
    if update.ndim != 2 or update.shape[1] == 1:
        return update
    return update - update.mean(1, keepdims=True)


def without_new_connections(updates: PyTree, parameters: PyTree) -> PyTree:
    """Changes of parameters, without those of recurrent weights that are zero."""

    def one(path: tuple, update: Array, parameter: Array) -> Array:
        recurrent = any(getattr(part, "name", None) == "recurrent_weight" for part in path)
        return jnp.where(parameter == 0, 0, update) if recurrent else update

    return jax.tree_util.tree_map_with_path(one, updates, parameters)


def smorms3(learning_rate: float = 1e-3, *, epsilon: float = 1e-16) -> optax.GradientTransformation:
    """SMORMS3: each parameter takes steps as large as its gradients agree, at most ``learning_rate``.

    With running means ``g`` and ``s`` of gradient and squared gradient over the last ``m`` steps::

        step = -gradient / (sqrt(s) + epsilon) * min(learning_rate, x),   x = g^2 / (s + epsilon)
        m' = 1 + m (1 - x)

    Args:
        learning_rate: largest step.
        epsilon: keeps divisions finite.

    Source: S. Funk, "RMSprop loses to SMORMS3", 2015.
    """
    check_positive("learning_rate", learning_rate)
    check_positive("epsilon", epsilon)

    def init(params: PyTree) -> Smorms3State:
        zeros = jax.tree.map(jnp.zeros_like, params)
        return Smorms3State(jax.tree.map(jnp.ones_like, params), zeros, zeros)

    def one(gradient: Array, memory: Array, mean: Array, root: Array) -> tuple:
        rate = 1 / (memory + 1)
        mean = (1 - rate) * mean + rate * gradient
        root = jnp.hypot(jnp.sqrt(1 - rate) * root, jnp.sqrt(rate) * gradient)
        agreement = jnp.square(mean / jnp.hypot(root, math.sqrt(epsilon)))
        size = jnp.minimum(learning_rate, agreement)
        step = -gradient / (root + epsilon) * size
        return step, 1 + memory * (1 - agreement), mean, root

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple:
        del params
        leaves, structure = jax.tree.flatten(updates)
        columns = [leaves, *(jax.tree.leaves(x) for x in state)]
        results = [one(*row) for row in zip(*columns, strict=True)]
        trees = [structure.unflatten(column) for column in zip(*results, strict=True)] or [
            updates
        ] * 4
        return trees[0], Smorms3State(*trees[1:])

    return optax.GradientTransformation(init, update)


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every floating-point number of a tree is finite."""
    leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.asarray(True)


def apply_if(condition: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    """``new`` where the condition holds, else ``old``, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
