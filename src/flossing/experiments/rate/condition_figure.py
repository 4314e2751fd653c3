"""The figure of the experiment condition-number."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, condition_numbers, style
from .flossed_tanh import Flossed
from .tangent_modes import effective_rank, log_condition


def figure(
    data: Mapping[Flossed, xr.Dataset],
    slopes: Mapping[Flossed, Mapping[int, Any]],
    *,
    directions: int,
    slope_from: int,
    delay: int,
) -> Figure:
    """Six panels; a colour for each number k of flossed exponents.

    Args:
        data: what was measured.
        slopes: predicted and measured growth by number of directions.
        directions: of the condition number in the first panel.
        slope_from: shortest horizon that counts for its growth.
        delay: of the task, in steps.
    """
    with style():
        whole = Figure(figsize=(10.5, 6.2), layout="constrained")
        (condition, slope, gradient), (rank, modes, angle) = whole.subplots(2, 3)
        for (case, part), colour in zip(data.items(), ("0.4", *COLOURS), strict=False):
            k = case.num_exponents
            label = "not flossed" if k == 0 else f"k = {k}"
            _condition(condition, part, directions, slope_from, colour, label)
            points = np.array([each[:2] for each in slopes[case].values()])
            slope.plot(*points.T, "o", color=colour, markersize=4)
            norms = part["log_gradient_norms"].values / np.log(10)
            gradient.plot(norms.T, color=colour, linewidth=0.4, alpha=0.6)
            gradient.plot(norms.mean(0), color=colour)
            ranks = effective_rank(part["log_singular_values"].values)
            rank.plot(part["horizon"], ranks.mean(0), "o-", color=colour, markersize=3)
            constants = -1 / np.minimum(np.median(part["exponents"], 0), -1e-4)
            modes.plot(np.arange(1, len(constants) + 1), constants, color=colour)
            alignment = part["alignment"].values.mean(0)
            angle.plot(np.arange(1, len(alignment) + 1), alignment, color=colour)
        ends = np.array([0.005, 5.0])
        slope.plot(ends, ends, color="k", linewidth=0.8)
        slope.fill_between(ends, 0.9 * ends, 1.1 * ends, color="0.85", linewidth=0)
        condition.set(
            xlabel="horizon t (steps)",
            ylabel=f"log$_{{10}}$ condition number, {directions} directions",
            title=f"points: measured; lines: exp(($\\lambda_1-\\lambda_{{{directions}}}$) t)",
        )
        condition.legend(loc="upper left")
        slope.set(
            xscale="log",
            yscale="log",
            xlabel="predicted $\\lambda_1-\\lambda_m$ (nats per step)",
            ylabel="measured slope (nats per step)",
            title=f"m = {', '.join(map(str, slopes[Flossed(0)]))}; band: 10 %",
        )
        gradient.set(
            xlabel="steps back in time",
            ylabel="log$_{10}$ gradient norm",
            title="a random error signal, sent back",
        )
        rank.set(
            xlabel="horizon t (steps)",
            ylabel="effective rank of the Jacobian",
            title="directions in which errors arrive",
            yscale="log",
        )
        modes.axhline(delay, color="0.6", linewidth=0.8, linestyle=":")
        modes.set(
            xlabel="index i",
            ylabel="time constant $-1/\\lambda_i$ (steps)",
            title=f"slow tangent modes; dotted: delay {delay}",
            yscale="log",
            ylim=(0.2, 2e3),
        )
        units = data[Flossed(0)].sizes["index"]
        angle.axhline(np.sqrt(2 / np.pi / units), color="0.6", linewidth=0.8, linestyle=":")
        angle.set(
            xlabel="index i",
            ylabel="mean |cos| to the other modes",
            title="covariant vectors; dotted: random",
            ylim=(0, 1),
        )
    return whole


def _condition(
    axis: Any, part: xr.Dataset, m: int, slope_from: int, colour: str, label: str
) -> None:
    """Measured condition numbers, and lines of the predicted slope through the long horizons."""
    exponents = part["exponents"].values
    condition_numbers(
        axis,
        part["horizon"].values,
        log_condition(part["log_singular_values"].values, m),
        slope=(exponents[:, 0] - exponents[:, m - 1]).mean(),
        slope_from=slope_from,
        colour=colour,
        label=label,
    )
