"""Panels of what happens to directions over a horizon: gradients, singular values, covariant vectors."""

from typing import Any

import numpy as np

from .lines import networks_and_median
from .style import COLOURS, whole_numbers

_LN10 = float(np.log(10))


def gradient_norms(
    axis: Any,
    norms: Any,
    *,
    log: bool = False,
    first_exponent: float | None = None,
    colour: str = COLOURS[0],
    label: str = "",
) -> None:
    """The norm of an error signal against steps back in time, and what the first exponent predicts.

    Args:
        axis: where to draw.
        norms: of ``fl.gradient_norms``, shape (T + 1,), the last of which is at the end of the trajectory; or
            (networks, T + 1). Zeros are left out.
        log: they are natural logarithms, as ``fl.gradient_norms(..., log=True)`` gives.
        first_exponent: nats per step; draws ``exp(lambda_1 * steps)`` through the norm (the median of
            networks) at the end.
        colour, label: of the curve.
    """
    values = np.atleast_2d(np.asarray(norms, dtype=float))[:, ::-1]
    with np.errstate(divide="ignore"):
        logs = values / _LN10 if log else np.log10(values)
    lag = np.arange(logs.shape[1])
    networks_and_median(axis, lag, logs, colour, label or "measured")
    if first_exponent is not None:
        start = np.nanmedian(np.where(np.isfinite(logs[:, 0]), logs[:, 0], np.nan))
        line = start + float(first_exponent) / _LN10 * lag
        axis.plot(lag, line, "--", color="0.4", linewidth=1.2, label="$\\exp(\\lambda_1 t)$")
    if label or first_exponent is not None:
        axis.legend()
    axis.set(xlabel="steps back in time", ylabel="log$_{10}$ gradient norm")
    whole_numbers(axis.xaxis)


def singular_values(
    axis: Any, logs: Any, *, colour: str = COLOURS[0], label: str = "", title: bool = True
) -> None:
    """Singular values of a long-term Jacobian, with its condition number as title.

    Args:
        axis: where to draw.
        logs: natural logarithms, of ``fl.log_singular_values``, shape (m,); minus infinity is left out.
        colour, label: of the points.
        title: whether there is one.
    """
    values = np.asarray(logs, dtype=float) / _LN10
    finite = np.isfinite(values)
    index = np.arange(1, values.size + 1)
    axis.plot(index[finite], values[finite], ".", color=colour, markersize=5, label=label)
    axis.set(xlabel="index $i$", ylabel="log$_{10}$ singular value $\\sigma_i$")
    whole_numbers(axis.xaxis)
    if title:
        ratio = values[0] - values[-1]
        shown = f"$10^{{{ratio:.3g}}}$" if np.isfinite(ratio) else "infinite"
        axis.set_title(f"condition number of {values.size} directions: {shown}")


def condition_numbers(
    axis: Any,
    horizons: Any,
    logs: Any,
    *,
    slope: float | None = None,
    slope_from: float = 0,
    colour: str = COLOURS[0],
    label: str = "",
) -> None:
    """Condition numbers against the horizon, and a line of the slope that exponents predict.

    Args:
        axis: where to draw.
        horizons: in steps, shape (horizons,).
        logs: natural logarithms, of ``fl.condition_number(..., log=True)``, shape (horizons,) or (networks,
            horizons).
        slope: ``lambda_1 - lambda_m`` in nats per step; the line goes through the mean of what it covers.
        slope_from: shortest horizon of those that set the height of the line.
        colour, label: of the points, which are means over networks.
    """
    times = np.asarray(horizons)
    values = np.atleast_2d(np.asarray(logs, dtype=float)) / _LN10
    mean = values.mean(0)
    if len(values) > 1:
        axis.plot(times, values.T, color=colour, linewidth=0.4, alpha=0.6)
    axis.plot(times, mean, "o", color=colour, markersize=3.5, label=label)
    if slope is not None:
        rise = slope / _LN10 * times
        offset = (mean - rise)[times >= slope_from].mean()
        axis.plot(times, offset + rise, color=colour, linewidth=1.2)
    axis.set(xlabel="horizon $t$ (steps)", ylabel="log$_{10}$ condition number")


def alignments(axis: Any, cosines: Any) -> None:
    """How nearly parallel tangent modes are, each with each.

    Args:
        axis: where to draw; gets a colour bar beside it.
        cosines: mean absolute cosines of the angles, shape (k, k).
    """
    values = np.asarray(cosines, dtype=float)
    index = np.arange(1, len(values) + 1)
    image = axis.pcolormesh(index, index, values, cmap="Blues", vmin=0, vmax=1, rasterized=True)
    axis.set(xlabel="covariant vector $i$", ylabel="covariant vector $j$", aspect="equal")
    axis.invert_yaxis()
    for side in (axis.xaxis, axis.yaxis):
        whole_numbers(side)
    axis.figure.colorbar(image, ax=axis, shrink=0.85, label="mean $|\\cos|$ of their angle")
