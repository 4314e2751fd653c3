"""Optimiser parts that Optax does not have."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, PyTree

from .._checks import check_positive


def clip_by_array_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales each array of the gradient down to a Euclidean norm of at most ``max_norm``.

    This is the clipping of the published gradient-flossing code: each parameter array has a norm of its
    own, unlike ``optax.clip_by_global_norm``.
    """
    check_positive("max_norm", max_norm)

    def update(updates: PyTree, state: PyTree, params: PyTree = None) -> tuple[PyTree, PyTree]:
        del params

        def clip(x: Array) -> Array:
            norm = jnp.sqrt(jnp.sum(jnp.square(x)))
            return x * jnp.where(norm > max_norm, max_norm / norm, 1)

        return jax.tree.map(clip, updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def tree_norm(tree: PyTree) -> Float[Array, ""]:
    """Euclidean norm of all numbers of a tree together."""
    return jnp.sqrt(sum((jnp.sum(jnp.square(x)) for x in jax.tree.leaves(tree)), jnp.asarray(0.0)))


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every floating-point number of a tree is finite."""
    leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.asarray(True)


def apply_if(condition: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    """``new`` where the condition holds, else ``old``, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
