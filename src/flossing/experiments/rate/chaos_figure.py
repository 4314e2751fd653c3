"""The figure of the experiment chaos, and the published values in it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, letter_panels, style
from ..lab import mean_field

PUBLISHED = {
    2.0: (0.15425, 0.13257, 0.010608, 0.25659),
    3.0: (0.30958, 0.15259, 0.025106, 0.28717),
}
"""First exponent, fraction of positive exponents, entropy rate and dimension per unit, N = 4096, by g."""
MEASURES = ("fraction of positive exponents", "entropy rate / N", "dimension / N")
"""Columns of what is measured."""
WAYS = {"at once": "o:", "clipped": "s--", "stepwise": "^-"}
"""Ways of flossing, with their lines."""

Spectra = Mapping[float, Mapping[int, xr.Dataset]]
"""By gain and number of units."""
Flossed = Mapping[float, Mapping[int, xr.Dataset]]
"""By gain and window."""


def figure(
    spectra: Spectra,
    before: Mapping[float, xr.Dataset],
    flossed: Flossed,
    recommended: tuple[str, int],
) -> Figure:
    """Four panels of spectra and what follows from them, and four of flossing.

    Args:
        spectra: of networks that are not flossed.
        before: networks by gain before they are flossed.
        flossed: the same after it.
        recommended: way and window whose course is shown.
    """
    with style():
        whole = Figure(figsize=(13.5, 6.4), layout="constrained")
        axes = whole.subplots(2, 4)
        _by_gain(axes[0], spectra)
        _by_size(axes[0, 3], spectra)
        _shapes(axes[1, 0], spectra)
        _growth(axes[1, 1], before)
        _tracks(axes[1, 2], flossed, *recommended)
        _outcomes(axes[1, 3], flossed)
        letter_panels(axes.flat)
    return whole


def _sizes(spectra: Spectra) -> list[int]:
    return sorted({units for by_size in spectra.values() for units in by_size})


def _by_gain(axes: Any, spectra: Spectra) -> None:
    gains = np.concatenate([np.linspace(0.45, 1, 12), np.linspace(1.02, 3.1, 40)])
    theory = np.array([[mean_field.first_exponent(g), *mean_field.densities(g)] for g in gains])
    names = {
        0: "first exponent (nats per step)",
        3: "dimension / N",
        2: "entropy rate / N (nats per step)",
    }
    for axis, (column, name) in zip(axes, names.items(), strict=False):
        axis.plot(gains, theory[:, column], color="k", linewidth=1, label="mean field")
        for size, colour in zip(_sizes(spectra), COLOURS, strict=False):
            points = [
                (g, _column(by_size[size], column).mean(), _column(by_size[size], column).std())
                for g, by_size in spectra.items()
                if size in by_size
            ]
            axis.errorbar(
                *np.array(points).T, fmt="o", color=colour, markersize=3.5, linewidth=1,
                label=f"N = {size}",
            )  # fmt: skip
        known = [(g, values[column]) for g, values in PUBLISHED.items()]
        axis.plot(*np.array(known).T, "k*", markersize=8, mfc="none", label="published, N = 4096")
        axis.set(xlabel="gain g", ylabel=name)
    axes[0].axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axes[0].set_title("below and above the transition")
    axes[1].set_title("attractor dimension")
    axes[2].set_title("sum of positive exponents")
    axes[0].legend(loc="lower right", fontsize=7)


def _column(part: xr.Dataset, column: int) -> np.ndarray:
    """The first exponents of the networks (column 0), or one of ``MEASURES`` (1 to 3)."""
    if column == 0:
        return part["exponents"].values[:, 0]
    return part["measures"].values[:, column - 1]


def _by_size(axis: Any, spectra: Spectra) -> None:
    for (gain, values), colour in zip(PUBLISHED.items(), COLOURS, strict=False):
        if gain not in spectra:
            continue
        for column, line in ((3, "o-"), (2, "s--")):
            points = [
                (units, _column(part, column).mean() / values[column])
                for units, part in sorted(spectra[gain].items())
            ]
            name = "dimension" if column == 3 else "entropy rate"
            axis.plot(
                *np.array(points).T, line, color=colour, markersize=3.5, linewidth=1.2,
                label=f"{name}, g = {gain:g}",
            )  # fmt: skip
    axis.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xscale="log",
        xlabel="units N",
        ylabel="value / N over that at N = 4096",
        title="extensive chaos",
    )
    sizes = _sizes(spectra)
    axis.set_xticks(sizes, [str(n) for n in sizes])
    axis.minorticks_off()
    axis.legend(loc="lower right", fontsize=7)


def _shapes(axis: Any, spectra: Spectra) -> None:
    gains = [g for g in spectra if g in (0.5, 0.8, 1.5, 2.0, 3.0)]
    fractions = np.linspace(0.001, 0.9, 200)
    for gain, colour in zip(gains, COLOURS, strict=False):
        units = max(spectra[gain])
        exponents = spectra[gain][units]["exponents"].values.mean(0)
        fraction = (np.arange(len(exponents)) + 0.5) / units
        shown = fraction < 0.85
        axis.plot(
            fraction[shown], exponents[shown], color=colour, linewidth=2.4, alpha=0.6,
            label=f"g = {gain:g}",
        )  # fmt: skip
        axis.plot(fractions, mean_field.spectrum(gain, fractions), "k", linewidth=0.8)
    axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="index i / N",
        ylabel="exponent $\\lambda_i$ (nats per step)",
        ylim=(-2, 0.45),
        title="spectra; black: mean field",
    )
    axis.legend(loc="lower left", fontsize=7)


def _growth(axis: Any, before: Mapping[float, xr.Dataset]) -> None:
    for (gain, part), colour in zip(before.items(), COLOURS, strict=False):
        windows = part["window"].values
        logs = part["log_gradient_norms"].values.reshape(-1, len(windows))
        medians = np.median(logs, 0) + np.log(windows)
        axis.plot(windows, medians / np.log(10), "o", color=colour, label=f"g = {gain:g}")
        line = medians[-1] + float(part["first_exponent"].mean()) * (windows - windows[-1])
        axis.plot(windows, line / np.log(10), color=colour, linewidth=1)
    axis.set(
        xlabel="window T (steps)",
        ylabel="log$_{10}$ norm of $T\\, d\\lambda_1(T)/dJ$",
        title="points: median; lines: exp($\\lambda_1$ T)",
    )
    axis.legend(loc="upper left")


def _tracks(axis: Any, flossed: Flossed, way: str, window: int) -> None:
    for (gain, by_window), colour in zip(flossed.items(), COLOURS, strict=False):
        rows = by_window[window]["in_window"].values
        axis.plot(rows.T, color=colour, linewidth=0.5, alpha=0.6)
        axis.plot(rows.mean(0), color=colour, label=f"g = {gain:g}")
        after = by_window[window]["after"].sel(way=way).values
        axis.plot(np.full(len(after), rows.shape[1] + 5), after, ".", color=colour, markersize=5)
    axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="flossing step",
        ylabel="first exponent (nats per step)",
        title=f"{way}, window {window}",
    )
    axis.legend(loc="upper right")


def _outcomes(axis: Any, flossed: Flossed) -> None:
    for (gain, by_window), colour in zip(flossed.items(), COLOURS, strict=False):
        for way, line in WAYS.items():
            errors = [float(np.abs(p["after"].sel(way=way)).mean()) for p in by_window.values()]
            axis.plot(
                [*by_window], errors, line, color=colour, markersize=4, linewidth=1.1,
                label=f"g = {gain:g}, {way}",
            )  # fmt: skip
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="window (steps)",
        ylabel="mean |first exponent| (nats per step)",
        title="after flossing, on new trajectories",
    )
    axis.set_ylim(None, 100 * axis.get_ylim()[1])
    axis.legend(fontsize=6, ncols=2, loc="upper left")
