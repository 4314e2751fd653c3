"""Panels of Lyapunov exponents."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .lines import networks_and_median
from .style import COLOURS, mpl, plain_log, whole_numbers, zero_line


def spectrum(
    axis: Any,
    exponents: Any,
    errors: Any = None,
    *,
    unit: str = "nats per step",
    colour: str = COLOURS[0],
    label: str = "",
    line: str = "-",
    shaded: bool = False,
) -> None:
    """Exponents against their index, with a dotted line at zero; lost directions are left out, and counted.

    Args:
        axis: where to draw.
        exponents: shape (k,), as points; or (networks, k), as a thin line each and a thick median.
        errors: standard errors, shape (k,); bars where they are finite.
        unit: of the exponents.
        colour, label, line, shaded: of the curve; see ``networks_and_median``.
    """
    values = np.asarray(exponents, dtype=float)
    index = np.arange(1, values.shape[-1] + 1)
    if values.ndim > 1:
        networks_and_median(axis, index, values, colour, label, line, shaded=shaded)
    else:
        finite = np.isfinite(values)
        axis.plot(index[finite], values[finite], ".", color=colour, markersize=5, label=label)
        bars = np.broadcast_to(np.inf if errors is None else errors, values.shape)
        known = finite & np.isfinite(bars)
        if known.any():
            axis.errorbar(
                index[known], values[known], bars[known], fmt="none", ecolor=colour,
                elinewidth=1, alpha=0.5, label="standard errors",
            )  # fmt: skip
        if lost := int((~finite).sum()):
            axis.plot([], [], " ", label=f"lost directions, not shown: {lost}")
        if known.any() or not finite.all():
            axis.legend()
    zero_line(axis)
    axis.set(xlabel="index $i$", ylabel=f"exponent $\\lambda_i$ ({unit})")
    whole_numbers(axis.xaxis)


def spectra(
    axis: Any, by_label: Mapping[str, Any], *, unit: str = "nats per step", colours: Any = COLOURS
) -> None:
    """Several spectra in one panel.

    Args:
        axis: where to draw.
        by_label: shape (networks, exponents).
        unit: of the exponents.
        colours: one for each label.
    """
    for (label, values), colour in zip(by_label.items(), colours, strict=False):
        spectrum(axis, values, unit=unit, label=label, colour=colour)


def time_constants(
    axis: Any,
    exponents: Any,
    *,
    unit: str = "steps",
    colour: str = COLOURS[0],
    label: str = "",
    line: str = ".-",
) -> None:
    """Time constants ``1 / |exponent|`` of tangent modes against their index.

    Args:
        axis: where to draw.
        exponents: shape (k,) or (networks, k); those that are zero or infinite are left out.
        unit: of time.
        colour, label, line: of the curve.
    """
    values = np.atleast_2d(np.asarray(exponents, dtype=float))
    known = np.isfinite(values) & (values != 0)
    constants = np.where(known, 1 / np.abs(np.where(known, values, 1)), np.nan)
    index = np.arange(1, values.shape[1] + 1)
    networks_and_median(axis, index, constants, colour, label, line)
    axis.set(xlabel="index $i$", ylabel=f"time constant $1/|\\lambda_i|$ ({unit})")
    whole_numbers(axis.xaxis)
    plain_log(axis.yaxis)


def local_exponents(
    axis: Any,
    exponents: Any,
    *,
    window_steps: Any = None,
    unit: str = "nats per step",
    time_step: float | None = None,
) -> None:
    """Finite-time exponents against time, from the first (dark) to the last (light), level over each window.

    Args:
        axis: where to draw.
        exponents: shape (windows, k); lost directions are left out.
        window_steps: steps of each window, shape (windows,), or one number for all of them; default 1.
        unit: of the exponents.
        time_step: of a step; time is in its unit then, else in steps.
    """
    values = np.asarray(exponents, dtype=float)
    values = np.where(np.isfinite(values), values, np.nan)
    steps = np.broadcast_to(1 if window_steps is None else window_steps, len(values))
    edges = np.concatenate([[0], np.cumsum(steps)]) * (1 if time_step is None else time_step)
    count = values.shape[1]
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, count))
    for i in reversed(range(count)):
        named = {"label": f"$\\lambda_{{{i + 1}}}$"} if i in (0, count - 1) else {}
        axis.stairs(values[:, i], edges, baseline=None, color=shades[i], linewidth=1.2, **named)
    zero_line(axis)
    axis.set(
        xlabel="time (steps)" if time_step is None else "time",
        ylabel=f"local exponent ({unit})",
    )
    handles, labels = axis.get_legend_handles_labels()
    axis.legend(handles[::-1], labels[::-1], ncols=2, loc="best")
