"""Many networks in one panel: a thin line for each, a thick one for their median."""

from typing import Any

import numpy as np

from .series import quartiles


def networks_and_median(
    axis: Any,
    x: Any,
    values: Any,
    colour: str,
    label: str = "",
    line: str = "-",
    *,
    shaded: bool = False,
) -> None:
    """A thin line for each network and a thick one for their median.

    Args:
        axis: where to draw.
        x: shape (points,).
        values: shape (networks, points); what is not finite is left out.
        colour, label, line: of the curve; the label is that of the median.
        shaded: between the quartiles, with the median of what is finite; else a median has a gap where a
            network has.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    low, median, high = quartiles(values.T)
    if not shaded:
        median = np.median(values, 0)
    if len(values) > 1:
        axis.plot(x, values.T, line, color=colour, linewidth=0.4, alpha=0.5)
        if shaded:
            axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    marker = {"marker": "."} if np.size(x) == 1 else {}
    axis.plot(x, median, line, color=colour, linewidth=1.6, label=label, **marker)
