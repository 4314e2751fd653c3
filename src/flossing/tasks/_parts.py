"""Which examples of a data set are for training, which for validation and which for the test."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray
from numpy.typing import ArrayLike

from .._checks import as_numbers, check_fraction, check_single


def deal_out(
    count: int, validation: float | ArrayLike, test: float | ArrayLike, key: PRNGKeyArray
) -> dict[str, np.ndarray]:
    """Numbers of examples by part; see ``Arrays`` for the arguments."""
    order = np.asarray(jax.random.permutation(key, count))
    tested = _part("test", test, count, order)
    left = order[~np.isin(order, tested)]
    validated = _part("validation", validation, count, left)
    both = np.intersect1d(tested, validated)
    if both.size:
        raise ValueError(f"validation, test: example {both[0]} is in both.")
    train = left[~np.isin(left, validated)]
    if not train.size:
        raise ValueError(
            f"validation, test: {len(validated)} and {len(tested)} of {count} examples leave none for "
            "training."
        )
    return {"train": train, "validation": validated, "test": tested}


def _part(name: str, share: Any, count: int, order: np.ndarray) -> np.ndarray:
    """The first of ``order`` if ``share`` is a fraction of ``count``, else the examples that it lists."""
    if np.ndim(share) == 0:
        check_fraction(name, share)
        check_single(**{name: share})
        if isinstance(share, int | np.integer) and share != 0:
            raise ValueError(
                f"{name}: expected a fraction or an array of numbers of examples, got {share}."
            )
        return order[: round(float(share) * count)]
    listed = np.asarray(as_numbers(name, share))
    if listed.ndim != 1 or (listed.size and listed.dtype.kind not in "ui"):
        raise TypeError(
            f"{name}: expected a fraction, or integers along one axis that number examples, "
            f"got shape {listed.shape} and dtype {listed.dtype}."
        )
    listed = listed.astype(int)
    wrong = listed[(listed < 0) | (listed >= count)]
    if wrong.size:
        raise ValueError(f"{name}: expected examples 0 to {count - 1}, got {wrong[0]}.")
    values, times = np.unique(listed, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"{name}: example {values[times > 1][0]} is listed more than once.")
    return listed
