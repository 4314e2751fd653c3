"""The figure of the experiment on baselines."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...runs.plots import COLOURS, style
from .methods import METHODS, Settings

_FLOSSED = ("before", "adaptive")
_LINES = ("-", "--", ":")


def _look(settings: Settings) -> dict[str, dict[str, Any]]:
    """Colour and line of each method: flossing thick, others thin."""
    looks, others = {}, [m for m in settings.methods if m not in _FLOSSED]
    for i, method in enumerate(others):
        colours = COLOURS[:1] + COLOURS[2:]
        line = _LINES[i // len(colours) % len(_LINES)]
        looks[method] = {"color": colours[i % len(colours)], "linestyle": line, "linewidth": 1.2}
    for method, line in zip(_FLOSSED, ("--", "-"), strict=True):
        looks[method] = {"color": COLOURS[1], "linestyle": line, "linewidth": 2.4}
    return {method: looks[method] for method in settings.methods}


def figure(
    numbers: dict[str, Any],
    curves: dict[str, dict[str, np.ndarray]],
    budget: float,
    better: dict[str, list[str]],
    settings: Settings,
) -> Figure:
    """Accuracy against epochs and against seconds, accuracies at the end, and where flossing loses.

    Args:
        numbers: summaries by method.
        curves: learning curves by method.
        budget: seconds that all methods get.
        better: names of the methods that do better than adaptive flossing, by measure.
        settings: of the experiment.
    """
    looks = _look(settings)
    with style():
        result = Figure(figsize=(12.5, 6.2), layout="constrained")
        grid = result.add_gridspec(2, 2, width_ratios=(1.25, 1))
        by_epoch, by_time = (result.add_subplot(grid[i, 0]) for i in range(2))
        bars = result.add_subplot(grid[:, 1])
        for name, look in looks.items():
            median = 100 * np.median(curves[name]["accuracy"], 1)
            by_epoch.plot(np.arange(1, len(median) + 1), median, **look)
            by_time.plot(curves[name]["wall"], median, **look, label=METHODS[name].label)
        by_time.axvline(budget, color="0.6", linewidth=0.8)
        by_epoch.set(
            xlabel="training epoch",
            ylabel="accuracy (%)",
            ylim=(45, 102),
            title=f"fresh batches, mean of {settings.averaged} epochs; median of {settings.networks}",
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
        _bars(bars, numbers, looks)
        handles, labels = by_time.get_legend_handles_labels()
        result.legend(handles, labels, loc="outside lower center", ncols=5, handlelength=3)
        result.suptitle(
            f"{settings.task}, d = {settings.delay}, N = {settings.hidden_size}. " + _words(better),
            fontsize=9,
        )
    return result


def _words(better: dict[str, list[str]]) -> str:
    """Who is better than adaptive flossing, in a sentence for each measure."""
    if not better:
        return ""
    lines = []
    for measure, methods in better.items():
        names = ", ".join(METHODS[m].label for m in methods) or "no other method"
        lines.append(f"{measure}: {names}")
    return "Better than adaptive flossing at\n" + "; ".join(lines)


_MEASURES = {
    "last_accuracy": ("equal epochs, last (held-out trials)", 1.0),
    "best_accuracy": ("equal epochs, best (fresh batches)", 0.55),
    "accuracy_at_equal_wall_time": ("equal wall time (fresh batches)", 0.25),
}


def _bars(axis: Any, numbers: dict[str, Any], looks: dict[str, dict[str, Any]]) -> None:
    names = sorted(looks, key=lambda name: numbers[name]["median_accuracy_at_equal_wall_time"])
    where, height = np.arange(len(names)), 0.27
    for i, (measure, (label, strength)) in enumerate(_MEASURES.items()):
        values = 100 * np.array([numbers[name][f"median_{measure}"] for name in names])
        colours = [looks[name]["color"] for name in names]
        places = where + (1 - i) * height
        axis.barh(places, values - 45, height, left=45, color=colours, alpha=strength)
        axis.barh(0, 0, color="0.3", alpha=strength, label=label)
        for place, name in zip(places, names, strict=True):
            single = 100 * np.array(numbers[name][measure])
            axis.plot(single, np.full(len(single), place), "k.", markersize=2.5)
    axis.axvline(50, color="0.6", linewidth=0.8, linestyle=":")
    axis.set_yticks(where, [METHODS[name].label for name in names])
    for tick, name in zip(axis.get_yticklabels(), names, strict=True):
        tick.set_fontweight("bold" if name in _FLOSSED else "normal")
    axis.set(xlabel="accuracy (%); bars: median, dots: networks", xlim=(45, 102))
    axis.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=7, columnspacing=1)
