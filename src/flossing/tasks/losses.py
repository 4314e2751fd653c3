"""Losses and accuracies of a trial or a batch of them.

Outputs and targets are of any real dtype; all is computed in single precision at least.
"""

from typing import Any

import jax.numpy as jnp
import optax
from jaxtyping import Array, ArrayLike, Float, Shaped

from .._checks import as_floats, as_indices, check_choice, check_shape

READOUTS = ("last", "mean", "max")


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


def cross_entropy(
    logits: Shaped[ArrayLike, "*batch label"],
    labels: Shaped[ArrayLike, "*batch"],
    mask: Shaped[ArrayLike, "*batch"] | None = None,
) -> Float[Array, ""]:
    """Mean cross-entropy of integer labels, in nats, where ``mask`` is true; by default everywhere."""
    values, wanted = _labelled(logits, labels)
    losses = optax.softmax_cross_entropy_with_integer_labels(values, wanted)
    return _scored_mean(losses[..., None], mask)


def accuracy(
    logits: Shaped[ArrayLike, "*batch label"],
    labels: Shaped[ArrayLike, "*batch"],
    mask: Shaped[ArrayLike, "*batch"] | None = None,
) -> Float[Array, ""]:
    """Fraction of labels whose logit is the largest, where ``mask`` is true; by default everywhere."""
    values, wanted = _labelled(logits, labels)
    right = (values.argmax(-1) == wanted).astype(values.dtype)
    return _scored_mean(right[..., None], mask)


def mean_squared_error(
    outputs: Shaped[ArrayLike, "*batch output"],
    targets: Shaped[ArrayLike, "*batch output"],
    mask: Shaped[ArrayLike, "*batch"] | None = None,
) -> Float[Array, ""]:
    """Mean squared difference where ``mask`` is true; by default everywhere."""
    values, wanted = _pair(outputs, targets)
    return _scored_mean(jnp.square(values - wanted), mask)


def read_out(
    outputs: Shaped[ArrayLike, "*batch time output"],
    readout: str,
    mask: Shaped[ArrayLike, "*batch time"] | None = None,
) -> Float[Array, "*batch output"]:
    """One output per trial: that of the last step, or the mean or largest over time.

    Args:
        outputs: of every step.
        readout: ``"last"``, ``"mean"`` or ``"max"``.
        mask: true for steps that count, at least one per trial; by default all do.
    """
    check_choice("readout", readout, READOUTS)
    values = as_floats("outputs", outputs)
    if mask is None:
        last = values[..., -1, :]
        return {"last": last, "mean": values.mean(-2), "max": values.max(-2)}[readout]
    counts = as_floats("mask", mask) != 0
    check_shape("mask", counts, values.shape[:-1])
    if readout == "last":
        index = counts.shape[-1] - 1 - jnp.argmax(counts[..., ::-1], axis=-1)
        return jnp.take_along_axis(values, index[..., None, None], axis=-2)[..., 0, :]
    if readout == "max":
        return jnp.where(counts[..., None], values, -jnp.inf).max(-2)
    return jnp.where(counts[..., None], values, 0).sum(-2) / counts.sum(-1)[..., None]


def _labelled(logits: Any, labels: Any) -> tuple[Array, Array]:
    values = as_floats("logits", logits)
    wanted = as_indices("labels", labels, values.shape[-1])
    check_shape("labels", wanted, values.shape[:-1])
    return values, wanted


def _pair(outputs: Any, targets: Any) -> tuple[Array, Array]:
    values, wanted = as_floats("outputs", outputs), as_floats("targets", targets)
    check_shape("targets", wanted, values.shape)
    return values, wanted


def _scored_mean(values: Array, mask: Any) -> Array:
    if mask is None:
        return values.mean()
    selected = as_floats("mask", mask) != 0
    check_shape("mask", selected, values.shape[:-1])
    weights = jnp.broadcast_to(selected[..., None], values.shape).astype(values.dtype)
    return jnp.sum(values * weights) / jnp.sum(weights)
