"""The figure of the experiment on stacks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...plots import COLOURS, style

STYLES = ("-", "--", ":", "-.")


def stack_figure(
    parts: Mapping[int, xr.Dataset], compared: tuple[str, str], settings: Any
) -> Figure:
    """One row for each depth: accuracy, exponents, gradients by layer and lag, rates; rasters below.

    Args:
        parts: by number of layers, with leading axes ``seed`` and ``condition``.
        compared: two conditions whose rasters are shown.
        settings: the experiment.
    """
    deepest = parts[max(parts)]
    colours = dict(zip(deepest["condition"].values.tolist(), COLOURS, strict=False))
    with style():
        figure = Figure(figsize=(13, 2.9 * (len(parts) + 1) + 0.5), layout="constrained")
        rows = figure.add_gridspec(len(parts) + 1, 4, height_ratios=[*(1.0 for _ in parts), 0.8])
        for row, (depth, part) in enumerate(parts.items()):
            accuracy, exponents, gradients, rates = (
                figure.add_subplot(rows[row, column]) for column in range(4)
            )
            _accuracy(accuracy, part, colours, settings)
            accuracy.set_title(f"{depth} layers; band: all {part.sizes['seed']} seeds")
            _exponents(exponents, part, colours, settings)
            _gradients(gradients, part, colours, settings)
            _rates(rates, part, colours)
        for columns, name in zip((slice(0, 2), slice(2, 4)), compared, strict=True):
            axis = figure.add_subplot(rows[len(parts), columns])
            axis.set_title(f"one held-out trial after training: {name}")
            if "raster" in deepest:
                _raster(axis, deepest["raster"][0].sel(condition=name).values, settings)
        handles = [Line2D([], [], color=c, linewidth=2, label=n) for n, c in colours.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _accuracy(axis: Any, part: xr.Dataset, colours: Mapping[str, str], settings: Any) -> None:
    for name, colour in colours.items():
        lines = 100 * part["accuracy"].sel(condition=name).values
        epochs = np.arange(1, lines.shape[1] + 1)
        axis.plot(epochs, lines.mean(0), color=colour)
        axis.fill_between(epochs, lines.min(0), lines.max(0), color=colour, alpha=0.12, linewidth=0)
    axis.axhline(100 / settings.task.randman.classes, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(xlabel="epoch", ylabel="held-out accuracy (%)", ylim=(0, 102))


def _exponents(axis: Any, part: xr.Dataset, colours: Mapping[str, str], settings: Any) -> None:
    """First exponent of every layer, before (open) and after training (filled)."""
    depth = part.sizes["layer"]
    for index, (name, colour) in enumerate(colours.items()):
        place = np.arange(1, depth + 1) + 0.13 * (index - (len(colours) - 1) / 2)
        for when, face, shift in (("start", "none", -0.025), ("end", colour, 0.025)):
            first = part[f"layers_{when}"].sel(condition=name).values[:, :, 0]
            for x, y in zip(place + shift, first.T, strict=True):
                axis.plot(
                    np.full(len(y), x), y, "o", markersize=3.5, markeredgecolor=colour,
                    markerfacecolor=face, markeredgewidth=0.8, alpha=0.85,
                )  # fmt: skip
    axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axis.axhline(settings.target, color="0.3", linewidth=0.8, linestyle="--")
    axis.set(
        xticks=range(1, depth + 1), xlabel="layer (1: bottom)",
        ylabel="first exponent (nats per step)",
        title="open: before, filled: after training",
    )  # fmt: skip


def _gradients(axis: Any, part: xr.Dataset, colours: Mapping[str, str], settings: Any) -> None:
    """Against the lag, in ms, before training; a line style for each layer."""
    task, step, depth = settings.task, settings.shape.time_step, part.sizes["layer"]
    end = task.randman.num_steps + task.gap
    lags = step * (end - np.arange(end))
    for name, colour in list(colours.items())[:-1]:  # the last two start alike
        logs = part["gradients_start"].sel(condition=name).values.mean(0)
        for line, layer in zip(logs[:, :end], STYLES, strict=False):
            axis.plot(lags, 10.0**line, layer, color=colour, linewidth=1.4)
    handles = [
        Line2D([], [], color="0.3", linestyle=STYLES[n], label=f"layer {n + 1}")
        for n in range(depth)
    ]
    axis.axvline(step * task.gap, color="0.6", linewidth=0.8, linestyle=":")
    axis.legend(handles=handles, loc="upper left", fontsize=7)
    axis.set(
        yscale="log", xlabel="lag before the answer (ms)",
        ylabel="$|\\partial L / \\partial$ state of a layer|",
        title="before training (dotted: end of sample)",
    )  # fmt: skip


def _rates(axis: Any, part: xr.Dataset, colours: Mapping[str, str]) -> None:
    for name, colour in colours.items():
        rates = part["rates"].sel(condition=name).values.mean(0)
        for line, layer in zip(rates.T, STYLES, strict=False):
            axis.plot(range(1, len(line) + 1), line, layer, color=colour, linewidth=1.2)
    axis.set(
        xlabel="epoch", ylabel="firing rate (Hz)", ylim=(0, None),
        title="line styles: layers, as in the third panel",
    )  # fmt: skip


def _raster(axis: Any, raster: np.ndarray, settings: Any) -> None:
    """Spikes of all layers, shape (layers, steps, neurons), the bottom layer lowest."""
    task, step = settings.task, settings.shape.time_step
    layers, _, neurons = raster.shape
    for layer, spikes in enumerate(raster):
        time, neuron = np.nonzero(spikes)
        axis.plot(
            step * time, neuron + layer * (neurons + 4), "|", markersize=3, markeredgewidth=0.7,
            color=("0.1", "0.4", "0.6")[layer % 3],
        )  # fmt: skip
    for edge in (task.randman.num_steps, task.randman.num_steps + task.gap):
        axis.axvline(step * edge, color=COLOURS[1], linewidth=0.8, linestyle=":")
    axis.set(xlabel="time (ms)", ylabel="layer", xlim=(0, step * task.num_steps))
    ticks = [neurons / 2 + n * (neurons + 4) for n in range(layers)]
    axis.set_yticks(ticks, [str(n + 1) for n in range(layers)])
