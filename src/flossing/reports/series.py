"""Numbers made small enough for a page, and quartiles of epochs until something happened."""

from typing import Any

import numpy as np


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
