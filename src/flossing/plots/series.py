"""Long series made short, and medians with quartiles that leave out what is missing."""

from typing import NamedTuple

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


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Running mean over ``width`` rows (fewer at the start), along the leading axis."""
    sums = np.cumsum(np.concatenate([np.zeros((1, *values.shape[1:])), values]), axis=0)
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - width, 0)
    return (sums[stop] - sums[start]) / (stop - start)[:, None]


def smooth_nan(logs: np.ndarray, width: int = 10) -> np.ndarray:
    """``smooth``, with missing values replaced by the last one before them."""
    filled = logs.copy()
    for i in range(1, len(filled)):
        filled[i] = np.where(np.isnan(filled[i]), filled[i - 1], filled[i])
    return smooth(np.nan_to_num(filled, nan=float(np.nanmin(filled, initial=0))), width)
