"""The figure of spike-train matching: curves, rasters and statistics."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...runs.plots import COLOURS, style
from ...spike_statistics import fano_factors, firing_rates, interspike_intervals, interval_variation


def make(
    settings: Any, target: Any, runs: dict[str, list[dict]], published: dict[str, float]
) -> Figure:
    """One colour per method; thin lines are seeds."""
    with style():
        figure = Figure(figsize=(11, 8.2), layout="constrained")
        parts: Any = figure.subfigures(3, 1, height_ratios=(1, 1.15, 1))
        top, middle, bottom = parts
        _loss_panels(top, settings, runs, published)
        _raster_panels(middle, target, runs)
        _statistics_panels(bottom, settings, runs)
    return figure


def _loss_panels(
    figure: Any, settings: Any, runs: dict[str, list[dict]], published: dict[str, float]
) -> None:
    distance, squared, rates = figure.subplots(1, 3)
    for (method, records), colour in zip(runs.items(), COLOURS, strict=False):
        for record in records:
            distance.plot(record["distance"], color=colour, linewidth=0.4, alpha=0.35)
        mean = np.mean([r["distance"] for r in records], 0)
        distance.plot(mean, color=colour, label=method)
        other = np.mean([r["validation"] for r in records], 0)
        where = np.arange(len(other)) * (settings.epochs // len(other))
        distance.plot(where, other, ":", color=colour, linewidth=1.2)
        squared.plot(np.mean([r["squared"] for r in records], 0), color=colour)
        rates.plot(np.mean([r["hidden_rate"] for r in records], 0), color=colour, label=method)
        if method in published:
            distance.plot(settings.epochs, published[method], "D", color=colour, clip_on=False)
    distance.set(
        yscale="log",
        xlabel="epoch",
        ylabel="van Rossum distance",
        title="dotted: other dynamics, diamonds: published",
    )
    distance.legend(loc="upper right")
    squared.set(yscale="log", xlabel="epoch", ylabel="L2 distance", title="mean of seeds")
    rates.set(xlabel="epoch", ylabel="hidden rate (Hz)", title="mean of seeds", ylim=(0, None))


def _raster_panels(figure: Any, target: Any, runs: dict[str, list[dict]]) -> None:
    methods = list(runs)
    panels = [("target", np.asarray(target), "0.2")]
    panels.append(("deterministic, before", runs[methods[0]][0]["before"][1], COLOURS[0]))
    for method, colour in zip(methods, COLOURS, strict=False):
        panels.append((f"{method}, after", runs[method][0]["output"][0], colour))
    for axis, (title, raster, colour) in zip(
        figure.subplots(1, 5, sharey=True), panels, strict=True
    ):
        steps, neurons = np.nonzero(raster)
        axis.plot(steps, neurons, ",", color=colour, rasterized=True)
        axis.set(title=title, xlabel="time (ms)", xlim=(0, len(raster)), ylim=(0, raster.shape[1]))
    figure.axes[0].set_ylabel("output neuron")


def _statistics_panels(figure: Any, settings: Any, runs: dict[str, list[dict]]) -> None:
    rates, intervals, variation, fano = figure.subplots(1, 4)
    for (method, records), colour in zip(runs.items(), COLOURS, strict=False):
        hidden = [r["hidden"] for r in records]
        common = {"histtype": "step", "color": colour, "linewidth": 1.4, "density": True}
        values = np.concatenate([firing_rates(h) for h in hidden])
        rates.hist(values, np.linspace(0, 300, 31), label=method, **common)
        gaps = [interspike_intervals(train) for h in hidden for train in h[0].T]
        intervals.hist(np.concatenate(gaps), np.arange(0.5, 80, 3), **common)
        values = np.concatenate([interval_variation(h[:10], min_intervals=10) for h in hidden])
        variation.hist(values[np.isfinite(values)], np.linspace(0, 2.5, 31), **common)
        if method != next(iter(runs)):
            values = np.concatenate(
                [fano_factors(h, window=settings.window).ravel() for h in hidden]
            )
            fano.hist(values[np.isfinite(values)], np.linspace(0, 1.6, 33), **common)
    rates.set(xlabel="hidden rate (Hz)", ylabel="density")
    intervals.set(xlabel="hidden interspike interval (ms)", yscale="log")
    variation.set(xlabel="hidden $\\mathrm{CV}_\\mathrm{ISI}$")
    fano.set(xlabel=f"hidden Fano factor ({settings.window} ms)", title="deterministic: 0")
    rates.legend(loc="upper right")
