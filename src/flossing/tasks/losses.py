"""Losses and accuracies of a trial or a batch of them.

Outputs and targets are of any real dtype; all is computed in single precision at least.
"""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float, Shaped

from .._checks import as_floats, check_shape


def binary_cross_entropy(
    outputs: Shaped[ArrayLike, "*batch time output"],
    targets: Shaped[ArrayLike, "*batch time output"],
    mask: Shaped[ArrayLike, "*batch time"],
) -> Float[Array, ""]:
    """Mean logistic cross-entropy of the scored steps, in nats; ``outputs`` are logits.

    Steps are scored where ``mask`` is true or not zero; NaN if none is.
    """
    values, wanted = _pair(outputs, targets)
    return _scored_mean(optax.sigmoid_binary_cross_entropy(values, wanted), mask)


def binary_accuracy(
    outputs: Shaped[ArrayLike, "*batch time output"],
    targets: Shaped[ArrayLike, "*batch time output"],
    mask: Shaped[ArrayLike, "*batch time"],
) -> Float[Array, ""]:
    """Fraction of scored steps at which the sign of the output is right; NaN if none is scored."""
    values, wanted = _pair(outputs, targets)
    return _scored_mean(((values > 0) == (wanted > 0.5)).astype(values.dtype), mask)


def _pair(outputs: Any, targets: Any) -> tuple[Array, Array]:
    values, wanted = as_floats("outputs", outputs), as_floats("targets", targets)
    check_shape("targets", wanted, values.shape)
    return values, wanted


def _scored_mean(values: Array, mask: Any) -> Array:
    selected = as_floats("mask", mask) != 0
    check_shape("mask", selected, values.shape[:-1])
    weights = jnp.broadcast_to(selected[..., None], values.shape).astype(values.dtype)
    return jnp.sum(values * weights) / jnp.sum(weights)
