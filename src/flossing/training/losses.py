"""Losses and accuracies of a trial or a batch of them."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float


def binary_cross_entropy(
    outputs: Float[Array, "*batch time output"],
    targets: Float[Array, "*batch time output"],
    mask: Bool[Array, "*batch time"],
) -> Float[Array, ""]:
    """Mean logistic cross-entropy of the scored steps, in nats; ``outputs`` are logits."""
    losses = optax.sigmoid_binary_cross_entropy(outputs, targets)
    return _scored_mean(losses, mask)


def binary_accuracy(
    outputs: Float[Array, "*batch time output"],
    targets: Float[Array, "*batch time output"],
    mask: Bool[Array, "*batch time"],
) -> Float[Array, ""]:
    """Fraction of scored steps at which the sign of the output is right."""
    return _scored_mean(((outputs > 0) == (targets > 0.5)).astype(outputs.dtype), mask)


def _scored_mean(values: Array, mask: Array) -> Array:
    weights = jnp.broadcast_to(mask[..., None], values.shape).astype(values.dtype)
    return jnp.sum(values * weights) / jnp.sum(weights)
