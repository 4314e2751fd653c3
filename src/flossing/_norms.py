"""Euclidean norms over the whole range of the normal numbers of a dtype.

The square of a number below 1e-19 is 0 in float32, and that of one above 1.8e19 is infinite. So numbers are
divided by a power of two near the largest of them first, which rounds nothing: where squares would have
had room, results are the same to the last digit. Half precision is computed in float32.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Inexact, PyTree


def power_of_two(size: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """A power of two within a factor of 8 of each of these sizes; 1 for 0, NaN and infinity. No gradient."""
    info = jnp.finfo(size.dtype)
    size = jax.lax.stop_gradient(size)
    usual = jnp.isfinite(size) & (size > 0)
    nearest = jax.lax.reduce_precision(size, info.nexp, 0)  # no digits behind the first
    # The reciprocal has to be a normal number as well.
    nearest = jnp.clip(nearest, 2.0 ** (info.minexp + 2), 2.0 ** (info.maxexp - 3))
    return jnp.where(usual, nearest, 1)


class _Norm(NamedTuple):
    """A norm as ``scale * rest``, which has room where the product has none."""

    scale: Float[Array, "..."]
    rest: Float[Array, "..."]


def _norm(x: Inexact[Array, "..."], axis: int | None = None) -> _Norm:
    size = jnp.abs(x)
    size = size.astype(jnp.promote_types(size.dtype, jnp.float32))
    scale = power_of_two(jnp.max(size, axis=axis, keepdims=True, initial=0))
    square = jnp.sum(jnp.square(size / scale), axis=axis)
    rest = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
    return _Norm(scale.reshape(rest.shape), rest)


def _together(tree: PyTree) -> _Norm:
    """Of all arrays of a tree."""
    if not jax.tree.leaves(tree):
        return _Norm(jnp.asarray(1.0), jnp.asarray(0.0))
    norms = [_norm(x) for x in jax.tree.leaves(tree)]
    largest = jnp.max(jnp.stack([jnp.where(n.rest == 0, 0, n.scale) for n in norms]))
    scale = jnp.where(largest == 0, 1, largest)
    return _Norm(scale, norm(jnp.stack([n.rest * (n.scale / scale) for n in norms])))


def norm(x: Inexact[Array, "..."], axis: int | None = None) -> Float[Array, "..."]:
    """Euclidean norm along an axis, or of all entries; its gradient at zeros is 0."""
    scale, rest = _norm(x, axis)
    return rest * scale


def log_norm(x: Inexact[Array, "..."], axis: int | None = None) -> Float[Array, "..."]:
    """Natural logarithm of ``norm``; minus infinity for zeros, and finite where the norm overflows."""
    scale, rest = _norm(x, axis)
    return jnp.log(rest) + jnp.log(scale)


def tree_norm(tree: PyTree) -> Float[Array, ""]:
    """Euclidean norm of all numbers of a tree of arrays together."""
    scale, rest = _together(tree)
    return rest * scale


def with_norm(tree: PyTree, new: Float[Array, ""] | float) -> PyTree:
    """An array, or a tree of them, stretched to a norm; zeros stay zeros."""
    scale, rest = _together(tree)
    factor = new / jnp.where(rest > 0, rest, 1)
    return jax.tree.map(lambda x: (x / scale * factor).astype(x.dtype), tree)


def clipped(tree: PyTree, most: Float[Array, ""] | float) -> PyTree:
    """An array, or a tree of them, shrunk to a norm of ``most`` if it is longer; else as it is."""
    scale, rest = _together(tree)
    factor = jnp.where(rest > most / scale, most / jnp.where(rest > 0, rest, 1), scale)
    return jax.tree.map(lambda x: (x / scale * factor).astype(x.dtype), tree)
