"""The figure of the experiments on classification."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, style
from ..lab.classifier import METHODS

SWAPPED: dict[str, str] = dict(
    zip(METHODS, ("stochastic", "deterministic", "deterministic"), strict=True)
)
"""The other kind of spikes that weights of each method are run with."""


def classification_figure(records: Mapping[str, Sequence[xr.Dataset]], settings: Any) -> Figure:
    """Accuracy in training, own and swapped spikes, variability, and one sample for each method.

    Args:
        records: what was measured, by method, for each seed; the first has what is shown of one network.
        settings: the experiment.
    """
    with style():
        figure = Figure(figsize=(10.5, 6.4), layout="constrained")
        grid = figure.add_gridspec(2, 3, height_ratios=(1, 1.25))
        _curves(figure.add_subplot(grid[0, 0]), records)
        _bars(figure.add_subplot(grid[0, 1]), records)
        _variability(figure.add_subplot(grid[0, 2]), records[METHODS[1]][0], settings)
        for column, (method, colour) in enumerate(zip(METHODS, COLOURS, strict=False)):
            axis = figure.add_subplot(grid[1, column])
            _snapshot(axis, records[method][0], settings.architecture.time_step, colour)
            axis.set_title(f"{method}: one test sample")
    return figure


def _curves(axis: Any, records: Mapping[str, Sequence[xr.Dataset]]) -> None:
    for (method, parts), colour in zip(records.items(), COLOURS, strict=False):
        values = 100 * np.array([part["validation"].values for part in parts])
        epochs = np.arange(1, values.shape[1] + 1)
        axis.plot(epochs, values.T, color=colour, linewidth=0.7, alpha=0.5)
        axis.plot(epochs, values.mean(0), color=colour, label=method)
    axis.set(
        xlabel="epoch", ylabel="validation accuracy (%)", title="thin: seeds, thick: mean",
        ylim=(0, 102),
    )  # fmt: skip
    axis.legend(loc="lower right")


def _bars(axis: Any, records: Mapping[str, Sequence[xr.Dataset]]) -> None:
    names: list[str] = []
    for (method, parts), colour in zip(records.items(), COLOURS, strict=False):
        for what, name in (("test", method), ("swapped", f"run as {SWAPPED[method]}")):
            values = np.array([100 * part[what].item() for part in parts])
            mean, row = values.mean(), len(names)
            axis.barh(row, mean, color=colour, alpha=1 if what == "test" else 0.4, height=0.75)
            axis.plot(values, [row] * len(values), "k.", markersize=3)
            place, shade = (2, "w" if what == "test" else "k") if mean > 50 else (mean + 2, "k")
            axis.text(place, row, f"{mean:.1f}", va="center", fontsize=8, color=shade)
            names.append(name)
    axis.set_yticks(range(len(names)), names)
    axis.invert_yaxis()
    axis.set(xlabel="test accuracy (%), dots: seeds", xlim=(0, 100), title="own and swapped spikes")


def _variability(axis: Any, part: xr.Dataset, settings: Any) -> None:
    if "fano" in part:
        bins = np.linspace(0, 1.5, 31)
        for layer, (values, colour) in enumerate(
            zip(part["fano"].values, COLOURS[2:], strict=False)
        ):
            common = {"histtype": "step", "color": colour, "linewidth": 1.4}
            axis.hist(values[np.isfinite(values)], bins, label=f"layer {layer + 1}", **common)
        axis.legend(loc="upper right")
    axis.axvline(1, color="0.6", linewidth=0.8, linestyle=":")
    window = settings.window * settings.architecture.time_step
    axis.set(
        xlabel=f"Fano factor of counts in {window:g} ms", ylabel="neurons",
        title=f"stochastic network, {settings.repeats} repeats",
    )  # fmt: skip


def _snapshot(axis: Any, part: xr.Dataset, time_step: float, colour: str) -> None:
    """Spikes of one sample: input below, layers above it."""
    rasters = [part[name].values for name in sorted(map(str, part)) if name.startswith("raster_")]
    start, ticks, names = 0, [], []
    for index, raster in enumerate(rasters):
        steps, neurons = np.nonzero(raster)
        dots = "0.3" if index == 0 else colour
        axis.plot(
            steps * time_step, neurons + start, ".", color=dots, markersize=1.5, rasterized=True
        )
        ticks.append(start + raster.shape[1] / 2)
        names.append("input" if index == 0 else f"layer {index}")
        start += raster.shape[1] + 30
        axis.axhline(start - 15, color="0.85", linewidth=0.6)
    axis.set_xlabel("time (ms)")
    if rasters:
        axis.set(xlim=(0, len(rasters[0]) * time_step), ylim=(-15, start - 15))
    axis.set_yticks(ticks, names)
