"""Figures of runs: labelled with units, readable in print, safe for colour-blind readers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .directory import write_atomically
from .summary import headline

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito's colours, in the order of use."""

_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, within a context."""
    with mpl.rc_context(_STYLE):
        yield


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes ``name.png`` and ``name.pdf`` into ``folder``; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    FigureCanvasAgg(figure)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf")]
    for path in paths:
        write_atomically(path, lambda p: figure.savefig(p, bbox_inches="tight"))
    return paths


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Running mean over ``width`` rows (fewer at the start), along the leading axis."""
    sums = np.cumsum(np.concatenate([np.zeros((1, *values.shape[1:])), values]), axis=0)
    stop = np.arange(1, len(values) + 1)
    start = np.maximum(stop - width, 0)
    return (sums[stop] - sums[start]) / (stop - start)[:, None]


def networks_and_median(
    axis: Any, x: Any, values: Any, colour: str, label: str = "", line: str = "-"
) -> None:
    """A thin line for each network and a thick one for their median.

    Args:
        axis: where to draw.
        x: shape (points,).
        values: shape (networks, points); what is not finite is left out.
        colour, label, line: of the curve; the label is that of the median.
    """
    values = np.where(np.isfinite(values), values, np.nan)
    axis.plot(x, values.T, line, color=colour, linewidth=0.4, alpha=0.5)
    axis.plot(x, np.median(values, 0), line, color=colour, linewidth=1.6, label=label)


def spectrum_panel(
    axis: Any, spectra: Mapping[str, Any], unit: str = "nats per step", colours: Any = COLOURS
) -> None:
    """Exponents against their index: thin lines for networks, thick ones for their median, dotted zero.

    Args:
        axis: where to draw.
        spectra: by label, shape (networks, exponents).
        unit: of the exponents.
        colours: one for each label.
    """
    for (label, values), colour in zip(spectra.items(), colours, strict=False):
        index = np.arange(1, np.shape(values)[1] + 1)
        networks_and_median(axis, index, values, colour, label)
    axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(xlabel="index i", ylabel=f"exponent $\\lambda_i$ ({unit})")


def letter_panels(axes: Any) -> None:
    """Letters a, b, c, ... at the upper left of panels."""
    for axis, letter in zip(axes, "abcdefghijklmnop", strict=False):
        axis.text(-0.17, 1.03, letter, transform=axis.transAxes, fontweight="bold", fontsize=11)


def run_figure(runs: Mapping[str, xr.Dataset], title: str) -> Figure:
    """Headline metric and gradient norm against epoch, and spectra, of one run or several to compare.

    Args:
        runs: label and dataset of each run; each gets a colour.
        title: of the whole figure.
    """
    with style():
        figure = Figure(figsize=(10.5, 3.3), layout="constrained")
        metric, gradient, spectra = figure.subplots(1, 3)
        for (label, data), colour in zip(runs.items(), COLOURS, strict=False):
            _metric(metric, data, label, colour)
            _gradient(gradient, data, label, colour)
        _spectra(spectra, runs)
        metric.legend(loc="center right")
        letter_panels((metric, gradient, spectra))
        figure.suptitle(title, fontsize=10)
    return figure


def _metric(axis: Any, data: xr.Dataset, label: str, colour: str) -> None:
    """The number that says most about the run, as in its table."""
    main = headline(data)
    values = main.factor * smooth(data[main.name].values, 10)
    axis.plot(values, color=colour, alpha=0.35, linewidth=0.7)
    axis.plot(np.median(values, 1), color=colour, label=label)
    if main.chance is not None:
        axis.axhline(main.factor * main.chance, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="training epoch",
        ylabel=f"{main.label}, mean of 10 epochs",
        title="thin: single networks, thick: median",
    )
    if main.is_fraction:
        low = 90 * main.chance if main.chance is not None else 0
        axis.set_ylim(low, 102)
    else:
        axis.set_yscale("log" if (values > 0).all() else "linear")


def _gradient(axis: Any, data: xr.Dataset, label: str, colour: str) -> None:
    values = data["gradient_norm"].values
    with np.errstate(divide="ignore"):
        logs = np.log10(np.where(np.isfinite(values), values, np.nan))
    logs = np.where(np.isfinite(logs), logs, np.nan)
    axis.plot(10 ** smooth_nan(logs), color=colour, alpha=0.35, linewidth=0.7)
    axis.plot(10 ** np.nanmedian(smooth_nan(logs), 1), color=colour, label=label)
    axis.set(
        yscale="log",
        xlabel="training epoch",
        ylabel="gradient norm $|\\partial L / \\partial h_0|$",
        title="error signal at the start of a trial",
    )


def smooth_nan(logs: np.ndarray, width: int = 10) -> np.ndarray:
    """``smooth``, with missing values replaced by the last one before them."""
    filled = logs.copy()
    for i in range(1, len(filled)):
        filled[i] = np.where(np.isnan(filled[i]), filled[i - 1], filled[i])
    return smooth(np.nan_to_num(filled, nan=float(np.nanmin(filled, initial=0))), width)


_MARKERS = {"start": ":", "before training": "--", "end": "-"}
_WORDS = {"start": "start", "before training": "before training", "end": "after training"}


def _spectra(axis: Any, runs: Mapping[str, xr.Dataset]) -> None:
    for (label, data), colour in zip(runs.items(), COLOURS, strict=False):
        labels = data["measurement_label"].values.tolist()
        for moment, line in _MARKERS.items():
            if moment not in labels or (
                moment == "start" and colour != COLOURS[0] and len(runs) > 1
            ):
                continue
            values = np.median(data["exponents"].values[labels.index(moment)], axis=0)
            shared = moment == "start" and len(runs) > 1
            axis.plot(
                np.arange(1, len(values) + 1),
                np.where(np.isfinite(values), values, np.nan),
                line,
                color="0.45" if shared else colour,
                linewidth=1.4,
                label="start (both)" if shared else f"{label}, {_WORDS[moment]}",
            )
    axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="index i",
        ylabel="Lyapunov exponent $\\lambda_i$ (nats per step)",
        title="spectra (median of networks)",
    )
    axis.legend(loc="lower left")
