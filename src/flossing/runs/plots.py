"""Figures of runs: one of them, or several beside each other, from their datasets."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..plots import COLOURS, letter_panels, networks_and_median, spectrum, style, zero_line
from ..plots.series import average
from .directory import write_atomically
from .summary import headline

Runs = Mapping[str, xr.Dataset]
"""Datasets of runs by label; each gets a colour."""

_POINTS = 200
"""Of a curve, at most; longer ones are means of several epochs."""


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes ``name.png`` and ``name.pdf`` into ``folder``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        write_atomically(path, lambda p: figure.savefig(p, bbox_inches="tight"))
    return paths


def metric(axis: Any, runs: Runs) -> None:
    """The number that says most about the runs against the epoch, and chance as a dotted line."""
    main = headline(next(iter(runs.values())))
    _curves(axis, runs, main.name, main.factor, log=main.name == "loss")
    axis.set_ylabel(main.label)
    if main.chance is not None:
        zero_line(axis, main.factor * main.chance)
    if main.is_fraction:
        drawn = np.concatenate([np.ravel(line.get_ydata()) for line in axis.get_lines()])
        axis.set_ylim(min(np.nanmin(drawn) - 2, 90 * (main.chance or 0)), 102)
    if len(runs) > 1:
        axis.legend()


def loss(axis: Any, runs: Runs) -> None:
    """The loss on batches against the epoch."""
    _curves(axis, runs, "loss", log=True)
    axis.set_ylabel("loss (nats)")


def gradient(axis: Any, runs: Runs) -> None:
    """The norm of the gradient at the start of a trial against the epoch."""
    _curves(axis, runs, "gradient_norm", log=True)
    axis.set_ylabel("gradient norm $|\\partial L / \\partial h_0|$")


def _curves(axis: Any, runs: Runs, name: str, factor: float = 1, log: bool = False) -> None:
    width = 1
    for (label, data), colour in zip(runs.items(), COLOURS, strict=False):
        series = average(factor * data[name].values, data["epoch"].values, _POINTS)
        width = max(width, series.width)
        networks_and_median(axis, series.epoch, series.values.T, colour, label, shaded=True)
        if log and np.nanmax(series.values, initial=-np.inf) > 0:
            axis.set_yscale("log")
    axis.set_xlabel("training epoch" if width == 1 else f"training epoch (means of {width})")


_MOMENTS = {
    "start": (":", "start"),
    "before training": ("--", "before training"),
    "end": ("-", "after training"),
}


def spectra(axis: Any, runs: Runs) -> None:
    """Spectra at the start, after flossing and after training; those of several runs share their start."""
    for (label, data), colour in zip(runs.items(), COLOURS, strict=False):
        labels = data["measurement_label"].values.tolist()
        moments = [moment for moment in _MOMENTS if moment in labels] or labels[-1:]
        for moment, own in zip(moments, COLOURS, strict=False):
            line, word = _MOMENTS.get(moment, ("-", moment))
            values = data["exponents"].values[labels.index(moment)]
            options: dict[str, Any] = {"colour": own, "label": word, "shaded": True}
            if len(runs) > 1:
                if moment == "start" and colour != COLOURS[0]:
                    continue
                shared = moment == "start"
                options = {
                    "colour": "0.45" if shared else colour,
                    "label": "start (all)" if shared else f"{label}, {word}",
                    "line": line,
                }
                values = np.median(values, axis=0, keepdims=True)
            spectrum(axis, values, **options)
    axis.legend(loc="lower left")


def leading(axis: Any, runs: Runs) -> None:
    """The first exponent against the epoch."""
    for (label, data), colour in zip(runs.items(), COLOURS, strict=False):
        epochs, first = data["measurement_epoch"].values, data["exponents"].values[..., 0]
        networks_and_median(axis, epochs, first.T, colour, label, ".-", shaded=True)
    zero_line(axis)
    axis.set(xlabel="training epoch", ylabel="first exponent $\\lambda_1$ (nats per step)")


Panel = Callable[[Any, Runs], None]


def panels_of(runs: Runs) -> list[Panel]:
    """The panels that say most about runs: metric, gradient norm, spectra, as far as all runs have them."""
    needed: dict[Panel, str] = {metric: "loss", gradient: "gradient_norm", spectra: "exponents"}
    return [panel for panel, name in needed.items() if all(name in data for data in runs.values())]


def draw(axes: Sequence[Any], panels: Sequence[Panel], runs: Runs) -> None:
    """Draws panels on as many Axes."""
    with style():
        for axis, panel in zip(axes, panels, strict=True):
            panel(axis, runs)


def run_figure(
    runs: Runs,
    title: str,
    panels: Sequence[Panel] | None = None,
    *,
    make: Callable[..., Figure] = Figure,
) -> Figure:
    """One run, or several to compare.

    Args:
        runs: by label.
        title: of the whole figure; what lines are is said below it.
        panels: default those that say most.
        make: makes the figure.
    """
    panels = panels_of(runs) if panels is None else panels
    with style():
        figure = make(figsize=(3.5 * len(panels), 3.4), layout="constrained")
        axes = figure.subplots(1, len(panels), squeeze=False)[0]
        draw(axes, panels, runs)
        if len(panels) > 2:
            letter_panels(axes)
        figure.suptitle(f"{title}\n{legend_text(runs)}", fontsize=9)
    return figure


def legend_text(runs: Runs) -> str:
    """What lines and shades are."""
    counts = [data.sizes["realisation"] for data in runs.values()]
    if max(counts) == 1:
        return "one network" if len(counts) == 1 else "one network each"
    return f"thin: {max(counts)} single networks, thick: median, shaded: quartiles"
