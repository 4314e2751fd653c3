"""The figure of the experiment baselines."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, style
from .methods import METHODS

_FLOSSED = {"before": "--", "adaptive": "-"}
_LINES = ("-", "--", ":")


def _looks(methods: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Colour and line of each method: flossing thick, others thin."""
    colours, looks = COLOURS[:1] + COLOURS[2:], {}
    for method in methods:
        if method in _FLOSSED:
            looks[method] = {"color": COLOURS[1], "linestyle": _FLOSSED[method], "linewidth": 2.4}
        else:
            i = len(looks.keys() - _FLOSSED.keys())
            line = _LINES[i // len(colours) % len(_LINES)]
            looks[method] = {
                "color": colours[i % len(colours)],
                "linestyle": line,
                "linewidth": 1.2,
            }
    return looks


def figure(
    parts: Mapping[str, xr.Dataset],
    medians: Mapping[str, Mapping[str, float]],
    better: Mapping[str, list[str]],
    *,
    budget: float,
    averaged: int,
    setting: str,
) -> Figure:
    """Accuracy against epochs and against seconds, accuracies at the end, and where flossing loses.

    Args:
        parts: what is kept of each method.
        medians: accuracy by measure and method.
        better: names of the methods that do better than adaptive flossing, by measure in words.
        budget: seconds that all methods get.
        averaged: epochs over which accuracies on fresh batches are averaged.
        setting: of the experiment, in words.
    """
    looks = _looks(parts)
    with style():
        result = Figure(figsize=(12.5, 6.2), layout="constrained")
        grid = result.add_gridspec(2, 2, width_ratios=(1.25, 1))
        by_epoch, by_time = (result.add_subplot(grid[i, 0]) for i in range(2))
        bars = result.add_subplot(grid[:, 1])
        for name, line in looks.items():
            part = parts[name]
            median = 100 * part["median_accuracy"]
            by_epoch.plot(part["epoch"], median, **line)
            by_time.plot(part["wall_seconds"], median, **line, label=METHODS[name].label)
        by_time.axvline(budget, color="0.6", linewidth=0.8)
        by_epoch.set(
            xlabel="training epoch",
            ylabel="accuracy (%)",
            ylim=(45, 102),
            title=f"fresh batches, mean of {averaged} epochs; median of networks",
        )
        by_time.set(
            xlabel="wall time (s), flossing included, compilation not; line: time of clipping",
            ylabel="accuracy (%)",
            ylim=(45, 102),
            xscale="log",
            xlim=(budget / 100, None),
        )
        for axis in (by_epoch, by_time):
            axis.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
        _bars(bars, parts, medians, looks)
        handles, labels = by_time.get_legend_handles_labels()
        result.legend(handles, labels, loc="outside lower center", ncols=5, handlelength=3)
        result.suptitle(f"{setting}. {in_words(better)}", fontsize=9)
    return result


def in_words(better: Mapping[str, list[str]]) -> str:
    """Who is better than adaptive flossing, in a sentence for each measure."""
    lines = []
    for measure, methods in better.items():
        names = ", ".join(METHODS[m].label for m in methods) or "no other method"
        lines.append(f"{measure}: {names}")
    return "Better than adaptive flossing at\n" + "; ".join(lines)


_BARS = {
    "last": ("equal epochs, last (held-out trials)", 1.0),
    "best": ("equal epochs, best (fresh batches)", 0.55),
    "equal_time": ("equal wall time (fresh batches)", 0.25),
}


def _bars(
    axis: Any,
    parts: Mapping[str, xr.Dataset],
    medians: Mapping[str, Mapping[str, float]],
    looks: Mapping[str, Mapping[str, Any]],
) -> None:
    """Medians of all measures as bars; networks as dots, where they are known."""
    names = sorted(looks, key=lambda name: medians["equal_time"][name])
    where, height = np.arange(len(names)), 0.27
    for i, (measure, (label, strength)) in enumerate(_BARS.items()):
        values = 100 * np.array([medians[measure][name] for name in names])
        colours = [looks[name]["color"] for name in names]
        places = where + (1 - i) * height
        axis.barh(places, values - 45, height, left=45, color=colours, alpha=strength)
        axis.barh(0, 0, color="0.3", alpha=strength, label=label)
        for place, name in zip(places, names, strict=True):
            if measure in parts[name]:
                single = 100 * parts[name][measure].values
                axis.plot(single, np.full(len(single), place), "k.", markersize=2.5)
    axis.axvline(50, color="0.6", linewidth=0.8, linestyle=":")
    axis.set_yticks(where, [METHODS[name].label for name in names])
    for tick, name in zip(axis.get_yticklabels(), names, strict=True):
        tick.set_fontweight("bold" if name in _FLOSSED else "normal")
    axis.set(xlabel="accuracy (%); bars: median, dots: networks", xlim=(45, 102))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=7, columnspacing=1)
