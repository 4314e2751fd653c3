"""The figure of the experiment ``spiking-stack``."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...runs.plots import COLOURS, style

STYLES = ("-", "--", ":", "-.")
MARKERS = "osD^"


def stack_figure(
    found: dict[int, dict[str, np.ndarray]], names: tuple[str, ...], settings: Any
) -> Figure:
    """One row for each depth: accuracy, exponents, gradients by layer and lag, rates; a raster below."""
    colours = dict(zip(names, COLOURS, strict=False))
    with style():
        figure = Figure(figsize=(13, 2.9 * (len(found) + 1) + 0.5), layout="constrained")
        ratios = [*(1.0 for _ in found), 0.8]
        axes = figure.subplots(len(found) + 1, 4, squeeze=False, height_ratios=ratios)
        for row, (depth, values) in zip(axes[:-1], found.items(), strict=True):
            _accuracy(row[0], values, depth, colours, settings)
            _exponents(row[1], values, colours, settings)
            _gradients(row[2], values, colours, settings)
            _rates(row[3], values, colours)
        _raster(figure, axes[-1], found, names, settings)
        handles = [Line2D([], [], color=c, linewidth=2, label=n) for n, c in colours.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        for axis, letter in zip(figure.axes, "abcdefghijklmnop", strict=False):
            left = -0.07 if axis.get_xlabel() == "time (ms)" else -0.16
            axis.text(
                left, 1.05, letter, transform=axis.transAxes, fontweight="bold", fontsize=11
            )  # fmt: skip
    return figure


def _accuracy(axis: Any, values: dict, depth: int, colours: dict, settings: Any) -> None:
    for index, colour in enumerate(colours.values()):
        lines = 100 * values["accuracy"][:, index]
        epochs = np.arange(1, lines.shape[1] + 1)
        axis.plot(epochs, lines.mean(0), color=colour)
        axis.fill_between(epochs, lines.min(0), lines.max(0), color=colour, alpha=0.12, linewidth=0)
    axis.axhline(100 / settings.task.randman.classes, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="epoch", ylabel="held-out accuracy (%)", ylim=(0, 102),
        title=f"{depth} layers; band: all {len(lines)} seeds",
    )  # fmt: skip


def _exponents(axis: Any, values: dict, colours: dict, settings: Any) -> None:
    """First exponent of every layer, before (open) and after training (filled)."""
    depth = values["layers_start"].shape[2]
    for index, colour in enumerate(colours.values()):
        place = np.arange(1, depth + 1) + 0.13 * (index - (len(colours) - 1) / 2)
        for when, face, shift in (("start", "none", -0.025), ("end", colour, 0.025)):
            first = values[f"layers_{when}"][:, index, :, 0]
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


def _gradients(axis: Any, values: dict, colours: dict, settings: Any) -> None:
    """Against the lag, in ms, before training; a line style for each layer."""
    task, step = settings.task, settings.shape.time_step
    logs = values["gradients_start"]
    end = task.randman.num_steps + task.gap
    lags = step * (end - np.arange(end))
    for index, colour in enumerate(colours.values()):
        if index + 1 < len(colours):  # the last two start alike
            for layer in range(logs.shape[2]):
                line = 10.0 ** logs[:, index, layer, :end].mean(0)
                axis.plot(lags, line, STYLES[layer], color=colour, linewidth=1.4)
    handles = [
        Line2D([], [], color="0.3", linestyle=STYLES[n], label=f"layer {n + 1}")
        for n in range(logs.shape[2])
    ]
    axis.axvline(step * task.gap, color="0.6", linewidth=0.8, linestyle=":")
    axis.legend(handles=handles, loc="upper left", fontsize=7)
    axis.set(
        yscale="log", xlabel="lag before the answer (ms)",
        ylabel="$|\\partial L / \\partial$ state of a layer|",
        title="before training (dotted: end of sample)",
    )  # fmt: skip


def _rates(axis: Any, values: dict, colours: dict) -> None:
    rates = values["rates"]
    epochs = np.arange(1, rates.shape[2] + 1)
    for index, colour in enumerate(colours.values()):
        for layer in range(rates.shape[3]):
            line = rates[:, index, :, layer].mean(0)
            axis.plot(epochs, line, STYLES[layer], color=colour, linewidth=1.2)
    axis.set(
        xlabel="epoch",
        ylabel="firing rate (Hz)",
        ylim=(0, None),
        title="line styles: layers, as in the third panel",
    )


def _raster(figure: Figure, axes: Any, found: dict, names: tuple, settings: Any) -> None:
    """One held-out trial of the deepest stack after training, without and with flossing."""
    task, step = settings.task, settings.shape.time_step
    grid = axes[0].get_gridspec()
    row = axes[0].get_subplotspec().rowspan.start
    for axis in axes:
        axis.remove()
    depth = max(found)
    for part, name in ((slice(0, 2), names[1]), (slice(2, 4), names[-1])):
        axis = figure.add_subplot(grid[row, part])
        spikes = found[depth]["raster"][0, names.index(name)]
        layers, _, neurons = spikes.shape
        for layer in range(layers):
            time, neuron = np.nonzero(spikes[layer])
            axis.plot(
                step * time, neuron + layer * (neurons + 4), "|", markersize=3,
                markeredgewidth=0.7, color=("0.1", "0.4", "0.6")[layer % 3],
            )  # fmt: skip
        for edge in (task.randman.num_steps, task.randman.num_steps + task.gap):
            axis.axvline(step * edge, color=COLOURS[1], linewidth=0.8, linestyle=":")
        axis.set(
            xlabel="time (ms)", ylabel="layer", xlim=(0, step * task.num_steps),
            yticks=[neurons / 2 + n * (neurons + 4) for n in range(layers)],
            title=f"one held-out trial after training: {name}",
        )  # fmt: skip
        axis.set_yticklabels([str(n + 1) for n in range(layers)])
