"""Publication figures of one run: training curves and spectra."""

from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..runs.plots import COLOURS, style
from ..runs.summary import headline
from .series import average, quartiles

_CURVES = (
    ("loss", "loss (nats)", 1, "log"),
    ("gradient_norm", "gradient norm $|\\partial L / \\partial h_0|$", 1, "log"),
)
_MOMENTS = (("start", "start"), ("before training", "before training"), ("end", "after training"))
_THIN = {"linewidth": 0.5, "alpha": 0.4}


def run_figures(data: xr.Dataset, title: str) -> dict[str, Figure]:
    """The figures that the data allow, by file name without its ending.

    Args:
        data: metrics of a run; may lack any variable.
        title: of each figure.
    """
    found = {}
    if "loss" in data:
        found["report-training"] = training_figure(data, title)
    if "exponents" in data:
        found["report-spectrum"] = spectrum_figure(data, title)
    return found


def training_figure(data: xr.Dataset, title: str) -> Figure:
    """Headline metric, loss and gradient norm: single networks thin, median thick, quartiles shaded."""
    with style():
        figure = Figure(figsize=(10.5, 3.3), layout="constrained")
        width, main = 1, headline(data)
        shown = [(main.name, main.label, main.factor, "linear"), *_CURVES]
        shown = shown[main.name == "loss" :]
        axes = np.atleast_1d(figure.subplots(1, len(shown)))
        for axis, (name, label, factor, scale) in zip(axes, shown, strict=True):
            series = average(factor * data[name].values, data["epoch"].values, 300)
            width = series.width
            draw(axis, series.epoch, series.values, COLOURS[0])
            axis.set(xlabel="training epoch", ylabel=label)
            positive = series.values[np.isfinite(series.values) & (series.values > 0)]
            if scale == "log" and positive.size:
                axis.set_yscale("log")
            if name == main.name and main.is_fraction:
                chance = 0 if main.chance is None else 100 * main.chance
                axis.axhline(chance, color="0.5", linewidth=0.8, linestyle=":")
                axis.set_ylim(min(0.9 * chance, _lowest(series.values) - 2), 102)
        averaged = "" if width == 1 else f"; means of {width} epochs"
        count = data.sizes["realisation"]
        figure.suptitle(f"{title}\n{legend_text(count)}{averaged}", fontsize=9)
    return figure


def legend_text(count: int) -> str:
    """What lines and shades are."""
    if count == 1:
        return "one network"
    return f"thin: {count} single networks, thick: median, shaded: quartiles"


def _lowest(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(known.min()) if known.size else 50.0


def draw(axis: Any, x: np.ndarray, values: np.ndarray, colour: str, label: str = "") -> None:
    """Single networks, median and quartiles of ``values`` with shape (points, networks)."""
    low, median, high = quartiles(values)
    marker = "." if len(x) == 1 else ""
    if values.shape[1] > 1:
        axis.plot(x, values, color=colour, marker=marker, **_THIN)
        axis.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(x, median, color=colour, marker=marker, label=label)


def spectrum_figure(data: xr.Dataset, title: str) -> Figure:
    """The spectrum at start, before and after training, and the largest exponent over training."""
    labels = data["measurement_label"].values.tolist()
    values = data["exponents"].values
    with style():
        figure = Figure(figsize=(7.5, 3.3), layout="constrained")
        spectrum, leading = figure.subplots(1, 2)
        index = np.arange(1, values.shape[-1] + 1)
        moments = [(m, word) for m, word in _MOMENTS if m in labels] or [(labels[-1], labels[-1])]
        for (moment, word), colour in zip(moments, COLOURS, strict=False):
            at = values[labels.index(moment)]
            draw(spectrum, index, np.where(np.isfinite(at), at, np.nan).T, colour, word)
        spectrum.set(xlabel="index $i$", ylabel="Lyapunov exponent $\\lambda_i$ (nats per step)")
        spectrum.xaxis.set_major_locator(MaxNLocator(integer=True))
        spectrum.legend(loc="lower left")
        first = np.where(np.isfinite(values[..., 0]), values[..., 0], np.nan)
        draw(leading, data["measurement_epoch"].values, first, COLOURS[0])
        leading.set(
            xlabel="training epoch",
            ylabel="largest exponent $\\lambda_1$ (nats per step)",
        )
        for axis in (spectrum, leading):
            axis.axhline(0, color="0.5", linewidth=0.8, linestyle=":")
        figure.suptitle(f"{title}\n{legend_text(data.sizes['realisation'])}", fontsize=9)
    return figure
