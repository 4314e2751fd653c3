"""The figure of ``single-neuron``."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...runs.plots import COLOURS

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


def draw(figure: Figure, curves: dict, tables: dict, sampled: dict, settings: Any) -> None:
    """Fills the figure with its six panels."""
    top, bottom = figure.subplots(2, 3)
    _neuron(top[0], curves)
    _depth(top[1], tables["depth"], settings)
    _width(top[2], tables["width"], settings)
    _sampled(bottom[0], sampled, settings, "variance", "variance / |gradient|$^2$")
    bottom[0].set_title(f"variance of one sample, steepness {settings.steepness:g}")
    _sampled(bottom[1], sampled, settings, "sample_cosine", "cosine with the gradient", log=False)
    bottom[1].set_title("direction of one sample")
    handles, labels = bottom[1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
    _z_scores(bottom[2], sampled)


def _neuron(axis: Any, curves: dict) -> None:
    for name, colour in zip(_SHOWN, COLOURS, strict=False):
        curve = curves[name]
        axis.plot(curve["x"], curve["exact"], color=colour, label=name)
        axis.plot(
            curve["x"][::16], curve["surrogate"][::16], "o", color=colour, markersize=3.5,
            markerfacecolor="w",
        )  # fmt: skip
    axis.set(
        xlabel="distance to threshold",
        ylabel="derivative of the expected output",
        title="one neuron: exact (lines), surrogate (circles)",
        xlim=(-1, 1),
    )
    axis.legend(loc="upper left", fontsize=7)


def _depth(axis: Any, table: dict, settings: Any) -> None:
    for i, (steepness, colour) in enumerate(zip(settings.steepnesses, COLOURS, strict=False)):
        found = [table[d, steepness]["surrogate"] for d in settings.depths]
        x = np.array(settings.depths) + 0.06 * (i - 1)
        _bars(axis, x, found, color=colour, label=f"surrogate, steepness {steepness:g}")
    axis.set(
        xlabel="layers",
        ylabel="|bias| / |gradient|",
        title="bias with depth, exact (median, 95 %)",
        xticks=settings.depths,
        ylim=(0, None),
    )
    axis.legend(loc="best", fontsize=7)


def _width(axis: Any, table: dict, settings: Any) -> None:
    shown = {"surrogate": COLOURS[1], "smoothed, right": COLOURS[0], "smoothed, left": COLOURS[2]}
    for i, (name, colour) in enumerate(shown.items()):
        x = np.array(settings.widths) + 0.15 * (i - 1)
        _bars(axis, x, [table[w][name] for w in settings.widths], color=colour, label=name)
    axis.set(
        xlabel="neurons of the hidden layer",
        ylabel="|bias| / |gradient|",
        title=f"two layers, steepness {settings.steepness:g}",
        xticks=settings.widths,
        ylim=(0, None),
    )
    axis.legend(loc="best", fontsize=7)


def _bars(axis: Any, x: Any, found: list, **line: Any) -> None:
    middle = np.array([f["median"] for f in found])
    ends = [middle - [f["low"] for f in found], np.array([f["high"] for f in found]) - middle]
    axis.errorbar(x, middle, ends, marker="o", markersize=3, capsize=2, **line)


def _sampled(
    axis: Any, sampled: dict, settings: Any, what: str, label: str, log: bool = True
) -> None:
    for name, (colour, line) in _LINES.items():
        values = [
            sampled[d, settings.steepness]["estimators"][name][what]
            for d in settings.sampled_depths
        ]
        # A variance of zero has no place on a logarithmic axis.
        values = [np.nan if log and v < 1e-12 else v for v in values]
        axis.plot(
            settings.sampled_depths,
            values,
            line,
            color=colour,
            marker="o",
            markersize=3,
            label=name,
        )
    axis.set(xlabel="layers", ylabel=label, xticks=settings.sampled_depths)
    if log:
        axis.set_yscale("log")


def _z_scores(axis: Any, sampled: dict) -> None:
    scores = np.array([z for v in sampled.values() for zs in v["z_scores"].values() for z in zs])
    scores = scores[scores != 0]
    bins = np.linspace(-4.5, 4.5, 37)
    axis.hist(scores, bins, density=True, color=COLOURS[5])
    x = np.linspace(-4.5, 4.5, 200)
    axis.plot(x, np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi), color="k", linewidth=1, label="N(0, 1)")
    axis.set(
        xlabel="z-score",
        ylabel="density",
        title=f"unbiased estimators: {len(scores)} z-scores",
    )
    axis.legend(loc="upper right")
