"""What the targets of a data set are, and how outputs are compared with them."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._checks import as_numbers, check_choice
from .losses import READOUTS, accuracy, cross_entropy, mean_squared_error, read_out
from .task import Metric, Trial


@dataclasses.dataclass(frozen=True)
class Answers:
    """Labels or numbers, asked for once per trial or at every step."""

    labels: bool
    readout: str | None
    """How one answer per trial is read; ``None`` if there is one at every step."""
    chance: float
    """The metric of the best outputs that know nothing of the inputs."""
    chance_loss: float

    def _compared(self, outputs: Array, trial: Trial) -> tuple[Array, Any, Any]:
        if self.readout is None:
            return outputs, trial.targets, trial.mask
        return read_out(outputs, self.readout, trial.mask), trial.targets, None

    def loss(self, outputs: Array, trial: Trial) -> Float[Array, ""]:
        """Cross-entropy or mean squared error."""
        return (cross_entropy if self.labels else mean_squared_error)(
            *self._compared(outputs, trial)
        )

    def metrics(self, outputs: Array, trial: Trial) -> dict[str, Metric]:
        """Accuracy or mean squared error."""
        compared = self._compared(outputs, trial)
        if self.labels:
            return {"accuracy": Metric(accuracy(*compared), chance=self.chance)}
        error = mean_squared_error(*compared)
        return {"error": Metric(error, higher_is_better=False, chance=self.chance)}


def recognise(
    targets: Any,
    mask: np.ndarray | None,
    *,
    shape: tuple[int, int],
    readout: str | None,
    output_size: int | None,
) -> tuple[np.ndarray, Answers, int]:
    """Targets as an array, what they are, and how many outputs they need.

    Args:
        targets: see ``Arrays``.
        mask: true for steps that count, shape ``shape``.
        shape: numbers of examples and of steps.
        readout: how one answer per trial is read.
        output_size: the number of classes, if given.
    """
    array = np.asarray(as_numbers("targets", targets))
    if array.dtype == bool:
        raise TypeError(
            "targets: got booleans; make them integers for classes, or floats for numbers."
        )
    labels = array.dtype.kind in "ui"
    every_step = array.ndim == (2 if labels else 3)
    if array.ndim not in ((1, 2) if labels else (2, 3)) or array.shape[: 1 + every_step] != (
        shape if every_step else shape[:1]
    ):
        raise ValueError(_expected(labels, array.shape, shape))
    if readout is not None:
        check_choice("readout", readout, READOUTS)
        if every_step:
            raise ValueError(
                f"readout: {readout!r} is for one answer per trial, and these targets have one per step; "
                "leave it out."
            )
    weights = np.ones((shape[0], 1)) if mask is None or not every_step else mask.astype(float)
    weights = np.broadcast_to(weights, array.shape[:2] if every_step else (shape[0], 1))
    if labels:
        size = _classes(array, weights, output_size)
        chance, chance_loss = _label_chance(array.reshape(weights.shape), weights, size)
    else:
        size = array.shape[-1]
        if output_size not in (None, size):
            raise ValueError(f"output_size: targets have {size} numbers each, got {output_size}.")
        if not size or not np.isfinite(np.asarray(array, float)).all():
            raise ValueError("targets: expected finite numbers, got none, NaN or infinite ones.")
        chance = chance_loss = _spread(array.reshape(*weights.shape, size).astype(float), weights)
    how = None if every_step else readout or "last"
    return (
        array.astype(np.int32) if labels else array,
        Answers(labels, how, chance, chance_loss),
        size,
    )


def _expected(labels: bool, got: tuple[int, ...], shape: tuple[int, int]) -> str:
    examples, steps = shape
    if labels:
        return (
            f"targets: expected integer labels of shape ({examples},), or ({examples}, {steps}) for one at "
            f"every step, got {got}. Numbers that are no classes have to be floats."
        )
    more = " Write targets[:, None] for one number per example." if len(got) == 1 else ""
    return (
        f"targets: expected floats of shape ({examples}, outputs), or ({examples}, {steps}, outputs) for "
        f"answers at every step, got {got}.{more} Labels of classes have to be integers."
    )


def _classes(labels: np.ndarray, weights: np.ndarray, given: int | None) -> int:
    """How many classes there are; each has to have an example, unless their number is given."""
    scored = labels.reshape(weights.shape)[weights > 0]
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise ValueError(f"targets: expected labels from 0 on, got {low}; a mask leaves steps out.")
    if given is not None:
        if high >= given:
            raise ValueError(f"targets: expected labels 0 to {given - 1}, got {high}.")
        return given
    missing = np.setdiff1d(np.arange(high + 1), scored)
    if missing.size:
        raise ValueError(
            f"targets: class {missing[0]} has no example, and labels go up to {high}. Number classes from 0 "
            "on without gaps, or give output_size, the number of classes."
        )
    return high + 1


def _label_chance(labels: np.ndarray, weights: np.ndarray, size: int) -> tuple[float, float]:
    """Accuracy and loss of someone who knows how frequent each class is at each step."""
    counts = np.stack([((labels == label) * weights).sum(0) for label in range(size)])
    total = counts.sum(0)
    share = counts / np.where(total, total, 1)
    entropy = -(counts * np.log(np.where(share > 0, share, 1))).sum()
    return float(counts.max(0).sum() / total.sum()), float(entropy / total.sum())


def _spread(targets: np.ndarray, weights: np.ndarray) -> float:
    """Mean squared distance from the mean over examples at each step."""
    weights = weights[..., None]
    total = weights.sum(0)
    mean = (weights * targets).sum(0) / np.where(total, total, 1)
    return float((weights * np.square(targets - mean)).sum() / (weights.sum() * targets.shape[-1]))


def check_every_class(labels: np.ndarray, mask: np.ndarray | None, train: np.ndarray) -> None:
    """Raises unless the training part has an example of each class that there is."""
    counted = np.ones(labels.shape, bool) if mask is None or labels.ndim == 1 else mask
    missing = np.setdiff1d(labels[counted], labels[train][counted[train]])
    if missing.size:
        raise ValueError(
            f"validation, test: class {missing[0]} has no example left for training. Keep fewer apart, take "
            "another key, or list the examples of each part."
        )


def stored(array: np.ndarray) -> Array:
    """Numbers as they are kept: small integers and booleans as they are, all others as floats."""
    small = array.dtype == bool or (array.dtype.kind in "ui" and array.dtype.itemsize <= 2)
    if small or array.dtype == np.int32:
        return jnp.asarray(array)
    kept = jnp.asarray(array) if array.dtype.itemsize <= 4 else jnp.asarray(array.astype(float))
    return kept if jnp.issubdtype(kept.dtype, jnp.floating) else kept.astype(float)
