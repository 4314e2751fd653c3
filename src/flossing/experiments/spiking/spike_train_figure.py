"""The figure of spike-train matching: curves, rasters and statistics."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, networks_and_median, style

BINS = {
    "rate": np.linspace(0, 300, 31),
    "interval": np.arange(0.5, 80, 3),
    "variation": np.linspace(0, 2.5, 31),
    "fano": np.linspace(0, 1.6, 33),
}
"""Edges of histograms of hidden neurons: rates in Hz, intervals in ms, their variation, Fano factors."""

Records = Mapping[str, Sequence[xr.Dataset]]
"""What was measured, by method, for each seed; the first has rasters."""


def spike_train_figure(records: Records, published: Mapping[str, float], settings: Any) -> Figure:
    """One colour per method; thin lines are seeds.

    Args:
        records: what was measured.
        published: distances after training, by method.
        settings: the experiment.
    """
    with style():
        figure = Figure(figsize=(11, 8.2), layout="constrained")
        parts: Any = figure.subfigures(3, 1, height_ratios=(1, 1.15, 1))
        top, middle, bottom = parts
        _curves(top, records, published, settings)
        _rasters(middle, records)
        _statistics(bottom, records, settings)
    return figure


def _curves(figure: Any, records: Records, published: Mapping[str, float], settings: Any) -> None:
    distance, squared, rates = figure.subplots(1, 3)
    panels = {"distance": distance, "squared": squared, "hidden_rate": rates}
    for (method, parts), colour in zip(records.items(), COLOURS, strict=False):
        if method in published:
            distance.plot(settings.epochs, published[method], "D", color=colour, clip_on=False)
        if "distance_course" not in parts[0]:
            continue
        for name, axis in panels.items():
            values = np.array([part[f"{name}_course"].values for part in parts])
            networks_and_median(axis, parts[0]["epoch"], values, colour, method)
        other = np.mean([part["other_dynamics_course"].values for part in parts], 0)
        distance.plot(parts[0]["look"], other, ":", color=colour, linewidth=1.2)
    distance.set(
        yscale="log", xlabel="epoch", ylabel="van Rossum distance",
        title="dotted: other dynamics, diamonds: published",
    )  # fmt: skip
    if rates.lines:
        rates.legend(loc="upper right")
    title = "thin: seeds, thick: median"
    squared.set(yscale="log", xlabel="epoch", ylabel="L2 distance", title=title)
    rates.set(xlabel="epoch", ylabel="hidden rate (Hz)", title=title, ylim=(0, None))


def _rasters(figure: Any, records: Records) -> None:
    first = {method: parts[0] for method, parts in records.items()}
    methods = list(first)
    panels = [("target", methods[0], "target", "0.2")]
    panels.append((f"{methods[0]}, before", methods[0], "before", COLOURS[0]))
    for method, colour in zip(methods, COLOURS, strict=False):
        panels.append((f"{method}, after", method, "after", colour))
    axes = figure.subplots(1, 5, sharey=True)
    for axis, (title, method, name, colour) in zip(axes, panels, strict=True):
        axis.set(title=title, xlabel="time (ms)")
        if name in first[method]:
            raster = first[method][name].values
            steps, neurons = np.nonzero(raster)
            axis.plot(steps, neurons, ",", color=colour, rasterized=True)
            axis.set(xlim=(0, len(raster)), ylim=(0, raster.shape[1]))
    axes[0].set_ylabel("output neuron")


def _statistics(figure: Any, records: Records, settings: Any) -> None:
    """Histograms over neurons and trials of all seeds."""
    axes = dict(zip(BINS, figure.subplots(1, 4), strict=True))
    for (method, parts), colour in zip(records.items(), COLOURS, strict=False):
        for name, axis in axes.items():
            if f"{name}_count" not in parts[0] or (name, method) == ("fano", "deterministic"):
                continue
            counts = np.sum([part[f"{name}_count"].values for part in parts], 0)
            density = counts / np.maximum(counts.sum(), 1) / np.diff(BINS[name])
            axis.stairs(density, BINS[name], color=colour, linewidth=1.4, label=method)
    axes["rate"].set(xlabel="hidden rate (Hz)", ylabel="density")
    axes["interval"].set(xlabel="hidden interspike interval (ms)", yscale="log")
    axes["variation"].set(xlabel="hidden $\\mathrm{CV}_\\mathrm{ISI}$")
    axes["fano"].set(xlabel=f"hidden Fano factor ({settings.window} ms)", title="deterministic: 0")
