"""Medians, rank correlations and other statistics with confidence intervals."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
    """A statistic and its 95 % interval."""

    value: float
    low: float
    high: float


def median_over(values: np.ndarray) -> Estimate:
    """Median of independent values with its 95 % interval, from their order; NaN if one of them is NaN."""
    values = np.sort(np.asarray(values, float))
    if np.isnan(values).any():
        return Estimate(np.nan, np.nan, np.nan)
    # The number of values below the median is binomial with probability one half.
    spread = 0.98 * np.sqrt(len(values))
    low = max(int(np.floor(len(values) / 2 - spread)), 0)
    return Estimate(float(np.median(values)), float(values[low]), float(values[-1 - low]))


def rank_correlation(x: np.ndarray, y: np.ndarray, groups: int = 0) -> float:
    """Spearman's coefficient of all entries; NaN where one of them does not vary, or is NaN.

    Args:
        x, y: of the same shape.
        groups: with it, entries are ranked within each index of this many of the axes behind the first, and
            the ranks of all groups correlated: what is left when the groups themselves are held fixed.
    """
    from scipy.stats import rankdata

    first = np.stack([x, y])
    moved = np.moveaxis(first, 1, -1)  # seeds last
    count = int(np.prod(moved.shape[1 : 1 + groups]))
    rows = moved.reshape(2, count, -1)
    ranks = rankdata(rows, axis=-1)
    ranks = ranks - ranks.mean(-1, keepdims=True)
    a, b = ranks.reshape(2, -1)
    size = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / size) if size > 0 else np.nan


def over_seeds(
    statistic: Callable[..., float],
    arrays: Sequence[np.ndarray],
    draws: int = 2000,
    seed: int = 0,
) -> Estimate:
    """A statistic of arrays whose leading axis is that of seeds, with its interval by bootstrap.

    Whole seeds are drawn with replacement, because numbers from the same seed are not independent. With
    few seeds such an interval is too short rather than too long.

    Args:
        statistic: of such arrays; must not depend on the order of the seeds.
        arrays: whose leading axis has the same length.
        draws: how often seeds are drawn.
        seed: of these draws.
    """
    random = np.random.default_rng(seed)
    count = len(arrays[0])
    known: dict[tuple[int, ...], float] = {}  # few seeds are drawn alike many times
    resampled = []
    for _ in range(draws):
        chosen = tuple(sorted(random.integers(0, count, count).tolist()))
        if chosen not in known:
            known[chosen] = statistic(*(array[list(chosen)] for array in arrays))
        resampled.append(known[chosen])
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Estimate(statistic(*arrays), float(low), float(high))
