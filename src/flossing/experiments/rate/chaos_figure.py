"""The figure of the experiment ``chaos``."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...runs.plots import COLOURS, style
from ..lab import mean_field as _mean_field

_LINES = {"at once": "o:", "clipped": "s--", "stepwise": "^-"}


def figure(
    measured: dict[float, dict[int, dict[str, np.ndarray]]],
    gradients: dict[float, np.ndarray],
    flossed: dict[float, dict[str, dict[str, np.ndarray]]],
    settings: Any,
    published: dict[float, tuple[float, ...]],
) -> Figure:
    """Four panels of spectra and what follows from them; three of flossing."""
    with style():
        whole = Figure(figsize=(13.5, 6.4), layout="constrained")
        axes = whole.subplots(2, 4)
        _by_gain(axes[0], measured, published)
        _by_size(axes[0, 3], measured, published)
        _shapes(axes[1, 0], measured)
        _growth(axes[1, 1], gradients, flossed, settings)
        _tracks(axes[1, 2], flossed, settings.recommended)
        _outcomes(axes[1, 3], flossed, settings)
        for axis, letter in zip(axes.flat, "abcdefgh", strict=True):
            axis.text(-0.2, 1.04, letter, transform=axis.transAxes, fontweight="bold", fontsize=11)
    return whole


def _by_gain(axes: Any, measured: dict, published: dict) -> None:
    gains = np.concatenate([np.linspace(0.45, 1, 12), np.linspace(1.02, 3.1, 40)])
    theory = np.array([[_mean_field.first_exponent(g), *_mean_field.densities(g)] for g in gains])
    names = {
        0: "first exponent (nats per step)",
        3: "dimension / N",
        2: "entropy rate / N (nats per step)",
    }
    for axis, (column, name) in zip(axes, names.items(), strict=False):
        axis.plot(gains, theory[:, column], color="k", linewidth=1, label="mean field")
        sizes = sorted({n for found in measured.values() for n in found})
        for size, colour in zip(sizes, COLOURS, strict=False):
            points = [
                (g, _column(found[size], column).mean(), _column(found[size], column).std())
                for g, found in measured.items()
                if size in found
            ]
            axis.errorbar(
                *np.array(points).T, fmt="o", color=colour, markersize=3.5, linewidth=1,
                label=f"N = {size}",
            )  # fmt: skip
        known = [(g, values[column]) for g, values in published.items()]
        axis.plot(*np.array(known).T, "k*", markersize=8, mfc="none", label="published, N = 4096")
        axis.set(xlabel="gain g", ylabel=name)
    axes[0].axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axes[0].set_title("below and above the transition")
    axes[1].set_title("attractor dimension")
    axes[2].set_title("sum of positive exponents")
    axes[0].legend(loc="lower right", fontsize=7)


def _column(found: dict[str, np.ndarray], column: int) -> np.ndarray:
    return found["exponents"][:, 0] if column == 0 else found["measures"][:, column - 1]


def _by_size(axis: Any, measured: dict, published: dict) -> None:
    for (gain, values), colour in zip(published.items(), COLOURS, strict=False):
        if gain not in measured:
            continue
        for column, line in ((3, "o-"), (2, "s--")):
            points = [
                (n, _column(found, column).mean() / values[column])
                for n, found in sorted(measured[gain].items())
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
    sizes = sorted({n for found in measured.values() for n in found})
    axis.set_xticks(sizes, [str(n) for n in sizes])
    axis.minorticks_off()
    axis.legend(loc="lower right", fontsize=7)


def _shapes(axis: Any, measured: dict) -> None:
    gains = [g for g in measured if g in (0.5, 0.8, 1.5, 2.0, 3.0)]
    fractions = np.linspace(0.001, 0.9, 200)
    for gain, colour in zip(gains, COLOURS, strict=False):
        size, found = max(measured[gain].items())
        exponents = found["exponents"].mean(0)
        fraction = (np.arange(len(exponents)) + 0.5) / size
        shown = fraction < 0.85
        axis.plot(
            fraction[shown], exponents[shown], color=colour, linewidth=2.4, alpha=0.6,
            label=f"g = {gain:g}",
        )  # fmt: skip
        axis.plot(fractions, _mean_field.spectrum(gain, fractions), "k", linewidth=0.8)
    axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="index i / N",
        ylabel="exponent $\\lambda_i$ (nats per step)",
        ylim=(-2, 0.45),
        title="spectra; black: mean field",
    )
    axis.legend(loc="lower left", fontsize=7)


def _growth(axis: Any, gradients: dict, flossed: dict, settings: Any) -> None:
    windows = np.array(settings.windows)
    for (gain, logs), colour in zip(gradients.items(), COLOURS, strict=False):
        medians = np.median(logs.reshape(-1, len(windows)), 0) + np.log(windows)
        exponent = next(iter(flossed[gain].values()))["before"].mean()
        axis.plot(windows, medians / np.log(10), "o", color=colour, label=f"g = {gain:g}")
        line = medians[-1] + exponent * (windows - windows[-1])
        axis.plot(windows, line / np.log(10), color=colour, linewidth=1)
    axis.set(
        xlabel="window T (steps)",
        ylabel="log$_{10}$ norm of $T\\, d\\lambda_1(T)/dJ$",
        title="points: median; lines: exp($\\lambda_1$ T)",
    )
    axis.legend(loc="upper left")


def _tracks(axis: Any, flossed: dict, way: str) -> None:
    for (gain, ways), colour in zip(flossed.items(), COLOURS, strict=False):
        rows = ways[way]["in_window"]
        axis.plot(rows.T, color=colour, linewidth=0.5, alpha=0.6)
        axis.plot(rows.mean(0), color=colour, label=f"g = {gain:g}")
        after = ways[way]["after"]
        axis.plot(np.full(len(after), rows.shape[1] + 5), after, ".", color=colour, markersize=5)
    axis.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="flossing step",
        ylabel="first exponent (nats per step)",
        title=way,
    )
    axis.legend(loc="upper right")


def _outcomes(axis: Any, flossed: dict, settings: Any) -> None:
    for (gain, ways), colour in zip(flossed.items(), COLOURS, strict=False):
        for way, line in _LINES.items():
            errors = [np.abs(ways[f"{way}, window {w}"]["after"]).mean() for w in settings.windows]
            axis.plot(
                settings.windows, errors, line, color=colour, markersize=4, linewidth=1.1,
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
