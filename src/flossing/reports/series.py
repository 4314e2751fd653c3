"""Numbers made small enough for a page, and medians with quartiles that leave out what is missing."""

from typing import Any, NamedTuple

import numpy as np


class Averaged(NamedTuple):
    """A long series in bins of ``width`` epochs."""

    epoch: np.ndarray
    """Mean epoch of each bin, shape (bins,)."""
    values: np.ndarray
    """Mean of the finite values of each bin, shape (bins, networks); NaN where there are none."""
    width: int
    """Epochs per bin; the last one may hold fewer."""


def average(values: np.ndarray, epoch: np.ndarray, most: int = 600) -> Averaged:
    """Means over equal bins, so that at most ``most`` points remain; short series stay as they are.

    Args:
        values: shape (epochs, networks).
        epoch: shape (epochs,).
        most: largest number of points, at least 1.
    """
    values, epoch = np.asarray(values, dtype=float), np.asarray(epoch, dtype=float)
    width = max(1, -(-len(values) // most))
    values = np.where(np.isfinite(values), values, np.nan)
    if width == 1:
        return Averaged(epoch, values, 1)
    starts = np.arange(0, len(values), width)
    known = np.isfinite(values)
    counts = np.add.reduceat(known.astype(int), starts, axis=0)
    sums = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    sizes = np.diff(np.append(starts, len(values)))
    return Averaged(np.add.reduceat(epoch, starts) / sizes, means, width)


def quartiles(values: np.ndarray) -> np.ndarray:
    """Lower quartile, median and upper quartile of the finite values along the last axis.

    Args:
        values: shape (..., networks).

    Returns:
        Shape (3, ...); NaN where no value is finite.
    """
    values = np.asarray(values, dtype=float)
    if not values.shape[-1]:
        return np.full((3, *values.shape[:-1]), np.nan)
    known = np.isfinite(values)
    some = np.asarray(known.any(axis=-1))
    filled = np.where(known, values, np.nan)
    filled = np.where(some[..., None], filled, 0.0)
    return np.where(some, np.nanpercentile(filled, [25, 50, 75], axis=-1), np.nan)


def quartiles_with_never(values: np.ndarray) -> np.ndarray:
    """Quartiles of epochs until something happened, where NaN means that it never did.

    Networks that never get there count as later than all others, so the median is NaN (never) when
    half of the networks or more do not get there.

    Args:
        values: shape (..., networks).

    Returns:
        Shape (3, ...).
    """
    late = np.where(np.isnan(values), np.inf, np.asarray(values, dtype=float))
    if not late.shape[-1]:
        return np.full((3, *late.shape[:-1]), np.nan)
    found = np.percentile(late, [25, 50, 75], axis=-1, method="higher")
    return np.where(np.isfinite(found), found, np.nan)


def rounded(values: Any, digits: int = 4) -> Any:
    """Nested lists of numbers with so many significant digits; ``None`` where not finite."""
    array = np.asarray(values, dtype=float)
    if array.ndim:
        return [rounded(part, digits) for part in array]
    if not np.isfinite(array):
        return None
    number = float(f"{float(array):.{digits}g}")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
