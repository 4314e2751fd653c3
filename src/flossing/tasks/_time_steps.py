"""From times to time steps: which step a spike falls into, and whether times can be in seconds."""

import numpy as np
from numpy.typing import DTypeLike

_LONGEST = 10.0
"""Recordings of digits and words that end later, in seconds, are questioned; they last up to 1.5."""
_UNITS = (("milliseconds", 1e3), ("microseconds", 1e6), ("nanoseconds", 1e9))


def steps_of(times: np.ndarray, time_step: float, dtype: DTypeLike) -> np.ndarray:
    """The steps of ``time_step`` ms into which times in seconds fall; an edge belongs to the step it opens.

    A time is on an edge if it is the edge rounded to ``dtype``, the floating-point format in which times
    were stored. It also is if it differs by a few units in the last place, as sums and products do: by at
    most a thousandth of a step.
    """
    position = times * 1e3 / float(time_step)
    nearest = np.rint(position)
    with np.errstate(over="ignore"):
        edge = (nearest * float(time_step) / 1e3).astype(dtype).astype(float)
    slack = np.minimum(4 * float(np.finfo(dtype).eps) * nearest, 1e-3)
    at_edge = (edge == times) | (np.abs(position - nearest) <= slack)
    return np.where(at_edge, nearest, np.floor(position))


def doubt_about(latest: float, window: float, visible: bool) -> str | None:
    """What is strange about spikes up to ``latest`` seconds in a window of ms; ``None`` if nothing is."""
    if latest > _LONGEST:
        unit, scale = next((pair for pair in _UNITS if latest / pair[1] <= _LONGEST), _UNITS[-1])
        hint = f"if these are {unit}, divide them by {scale:.0f}."
        return f"expected seconds, got times up to {latest:g}; {hint}"
    if latest and not visible:
        return (
            f"expected seconds, got times up to {latest:g}, and none within the {window:g} ms of a raster; "
            "if these are milliseconds, divide them by 1000, else take more steps."
        )
    return None
