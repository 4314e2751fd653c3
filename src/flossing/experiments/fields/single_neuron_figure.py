"""The panels of ``single-neuron``."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from ...plots import COLOURS
from ..lab.statistics import median_over

_SHOWN = ("sigmoid, 10", "exponential, hidden", "exponential hazard", "Triangular")
_LINES = {
    "score function": (COLOURS[0], "-"),
    "score function, baseline": (COLOURS[0], "--"),
    "stochastic derivative, right": (COLOURS[2], ":"),
    "stochastic derivative": (COLOURS[2], "-"),
    "stochastic derivative, pruned": (COLOURS[2], "--"),
    "surrogate": (COLOURS[1], "-"),
    "straight through": (COLOURS[3], "-"),
    "finite differences": (COLOURS[4], "-"),
}


def neuron(axis: Any, part: xr.Dataset) -> None:
    """Exact and surrogate derivative of the expected output of one neuron, for some escape noises."""
    x = part["x"]
    for name, colour in zip(_SHOWN, COLOURS, strict=False):
        curve = part.sel(noise=name)
        axis.plot(x, curve["exact"], color=colour, label=name)
        circles = {"color": colour, "markersize": 3.5, "markerfacecolor": "w"}
        axis.plot(x[::16], curve["surrogate"][::16], "o", **circles)
    axis.set(
        xlabel="distance to threshold",
        ylabel="derivative of the expected output",
        title="one neuron: exact (lines), surrogate (circles)",
        xlim=(-1, 1),
    )
    axis.legend(loc="upper left", fontsize=7)


def depth(axis: Any, biases: Mapping[float, xr.DataArray]) -> None:
    """Bias of the surrogate gradient against layers, by steepness."""
    for i, (steepness, bias) in enumerate(biases.items()):
        x, values = bias["layers"].values, bias.sel(estimator="surrogate")
        label = f"surrogate, steepness {steepness:g}"
        _bars(axis, x + 0.06 * (i - 1), values, color=COLOURS[i], label=label)
        axis.set_xticks(x)
    axis.set(
        xlabel="layers",
        ylabel="|bias| / |gradient|",
        title="bias with depth, exact (median, 95 %)",
        ylim=(0, None),
    )
    axis.legend(loc="best", fontsize=7)


def width(axis: Any, bias: xr.DataArray) -> None:
    """Bias of some estimators against the width of the hidden layer."""
    shown = {"surrogate": COLOURS[1], "smoothed, right": COLOURS[0], "smoothed, left": COLOURS[2]}
    x = bias["width"].values
    for i, (name, colour) in enumerate(shown.items()):
        _bars(axis, x + 0.15 * (i - 1), bias.sel(estimator=name), color=colour, label=name)
    axis.set(
        xlabel="neurons of the hidden layer", ylabel="|bias| / |gradient|", xticks=x, ylim=(0, None)
    )
    axis.legend(loc="best", fontsize=7)


def _bars(axis: Any, x: Any, biases: xr.DataArray, **line: Any) -> None:
    """Medians over networks, with their intervals."""
    middle, low, high = np.array([median_over(row.values) for row in biases]).T
    ends = [middle - low, high - middle]
    axis.errorbar(x, middle, ends, marker="o", markersize=3, capsize=2, **line)


def samples(axis: Any, values: xr.DataArray) -> None:
    """A number of every estimator against layers."""
    x = values["layers"].values
    for name, (colour, line) in _LINES.items():
        # A variance of zero has no place on a logarithmic axis.
        curve = values.sel(estimator=name).values
        curve = np.where(np.abs(curve) < 1e-12, np.nan, curve)
        axis.plot(x, curve, line, color=colour, marker="o", markersize=3, label=name)
    axis.set(xlabel="layers", xticks=x)


def scores(axis: Any, z: np.ndarray) -> None:
    """The distribution of z-scores, beside that of normal numbers."""
    z = z[z != 0]
    axis.hist(z, np.linspace(-4.5, 4.5, 37), density=True, color=COLOURS[5])
    x = np.linspace(-4.5, 4.5, 200)
    axis.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="k", linewidth=1, label="N(0, 1)")
    axis.set(xlabel="z-score", ylabel="density", title=f"unbiased estimators: {len(z)} z-scores")
    axis.legend(loc="upper right")
