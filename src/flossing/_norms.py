"""Euclidean norms over the whole range of a dtype.

The square of a number below 1e-19 is 0 in float32, and that of one above 1.8e19 is infinite. So numbers are
divided by a power of two near the largest of them first, which rounds nothing: where squares would have
had room, results are the same to the last digit.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


def power_of_two(size: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """A power of two within a factor of 8 of each of these sizes; 1 for 0, NaN and infinity. No gradient."""
    info = jnp.finfo(size.dtype)
    size = jax.lax.stop_gradient(size)
    usual = jnp.isfinite(size) & (size > 0)
    _, exponent = jnp.frexp(jnp.where(usual, size, 1))
    # The reciprocal has to be a normal number as well.
    exponent = jnp.clip(exponent, info.minexp + 2, info.maxexp - 3)
    return jnp.where(usual, jnp.ldexp(jnp.ones_like(size), exponent), 1)


def _scaled_norm(x: Float[Array, "..."], axis: int | None) -> tuple[Array, Array]:
    """A scale, and the norm divided by it; the gradient of the norm of zeros is 0."""
    scale = power_of_two(jnp.max(jnp.abs(x), axis=axis, keepdims=True, initial=0))
    square = jnp.sum(jnp.square(x / scale), axis=axis)
    norm = jnp.where(square == 0, 0, jnp.sqrt(jnp.where(square == 0, 1, square)))
    return scale.reshape(norm.shape), norm


def norm(x: Float[Array, "..."], axis: int | None = None) -> Float[Array, "..."]:
    """Euclidean norm along an axis, or of all entries."""
    scale, rest = _scaled_norm(x, axis)
    return rest * scale


def log_norm(x: Float[Array, "..."], axis: int | None = None) -> Float[Array, "..."]:
    """Natural logarithm of ``norm``; minus infinity for zeros, and finite where the norm overflows."""
    scale, rest = _scaled_norm(x, axis)
    return jnp.log(rest) + jnp.log(scale)


def tree_norm(tree: PyTree) -> Float[Array, ""]:
    """Euclidean norm of all floating-point numbers of a tree together."""
    norms = [norm(x) for x in jax.tree.leaves(tree)]
    return norm(jnp.stack(norms)) if norms else jnp.asarray(0.0)


def with_norm(
    x: Float[Array, "..."], old: Float[Array, ""], new: Float[Array, ""] | float
) -> Float[Array, "..."]:
    """``x * (new / old)``, also where that quotient has no room; ``x`` itself where ``old`` is 0."""
    scale = power_of_two(old)
    factor = jnp.where(old > 0, new / (jnp.where(old > 0, old, 1) / scale), 1)
    return (x / scale) * factor.astype(x.dtype)
