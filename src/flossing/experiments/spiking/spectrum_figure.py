"""The figure of the experiment on surrogate spectra."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, networks_and_median, style
from .panels import MEMBRANE, time_scales


def spectrum_figure(
    numbers: xr.Dataset, by_reset: Mapping[str, np.ndarray], by_rate: xr.DataArray, settings: Any
) -> Figure:
    """Six panels: spectra, flossing, time scales, resets, sharpness, rate.

    Args:
        numbers: of the networks at the usual rate.
        by_reset: exponents of networks with other resets, shape (networks, exponents).
        by_rate: leading exponents of networks at other rates.
        settings: the experiment.
    """
    k, few = settings.flossed, settings.flossed_exactly
    with style():
        figure = Figure(figsize=(10.5, 6.4), layout="constrained")
        (spectrum, during, slow), (resets, sharpness, rate) = figure.subplots(2, 3)
        _spectra(spectrum, numbers, k)
        _during(during, numbers["without_reset_factor"], k)
        start, end = numbers["without_reset_factor"].values[[0, -1], :, :k]
        exact = numbers["exact_flossed_exactly"].values[:, :few]
        shown = {"before": start, "after": end, "exact flossing": exact}
        time_scales(slow, shown, ("0.4", *COLOURS[:2]))
        for (kind, values), colour in zip(by_reset.items(), COLOURS, strict=False):
            line = "--" if "ignored" in kind or kind == "no reset" else "-"
            _mean(resets, values, colour, kind, line)
        _label(resets, f"resets, all at {settings.rate:g} Hz, not flossed")
        _scan(sharpness, numbers["by_sharpness"], settings.sharpnesses)
        _scan(rate, by_rate, settings.rates)
        sharpness.set(xlabel="surrogate sharpness", title=f"same spikes, {settings.rate:g} Hz")
        rate.set(xlabel="firing rate (Hz)", title=f"sharpness {settings.sharpness:g}")
    return figure


def mean_of_networks(values: np.ndarray) -> np.ndarray:
    """Mean over the networks in which a direction is not lost; NaN where it is lost in all."""
    lost = np.isneginf(values)
    count = np.where(lost.all(0), np.nan, (~lost).sum(0))
    return np.where(lost, 0, values).sum(0) / count


def _spectra(axis: Any, numbers: xr.Dataset, k: int) -> None:
    """Before and after flossing, with the exact derivatives (solid) and without the reset factor (dashed)."""
    names = {"before": "before", "after": "after", "flossed_exactly": "exact flossing"}
    shades = dict(zip(names, ("0.4", *COLOURS[:2]), strict=True))
    for when, name in names.items():
        values = numbers[f"exact_{when}"].values
        finite = np.where(np.isfinite(values), values, np.nan)
        axis.plot(range(1, values.shape[1] + 1), finite.T, color=shades[when], lw=0.4, alpha=0.4)
        _mean(axis, values, shades[when], f"{name}, exact")
    for when, step in (("before", 0), ("after", -1)):
        values = numbers["without_reset_factor"].values[step]
        _mean(axis, values, shades[when], f"{when}, reset factor left out", "--")
    axis.axvline(k + 0.5, color="k", linewidth=0.6, linestyle=":")
    _label(axis, f"k = {k} of {numbers.sizes['index']} flossed")


def _mean(axis: Any, values: np.ndarray, colour: str, label: str, line: str = "-") -> None:
    index = np.arange(1, values.shape[1] + 1)
    axis.plot(index, mean_of_networks(values), line, color=colour, linewidth=1.4, label=label)


def _label(axis: Any, title: str) -> None:
    axis.set(
        xlabel="index i", ylabel="surrogate exponent $\\lambda_i$ (per ms)", ylim=(-1.0, 0.15),
        title=title,
    )  # fmt: skip
    axis.legend(loc="lower left", fontsize=7)


def _during(axis: Any, track: xr.DataArray, k: int) -> None:
    """Some exponents against the flossing step; grey is not flossed."""
    for number, shade in ((1, 1.0), (k // 2, 0.75), (k, 0.5), (k + 1, 0.3)):
        values = [mean_of_networks(spectra)[number - 1] for spectra in track.values]
        axis.plot(
            track["step"], values, ".-", color=COLOURS[0] if number <= k else "0.5", alpha=shade,
            markersize=3, linewidth=1.2, label=f"$\\lambda_{{{number}}}$",
        )  # fmt: skip
    axis.axhline(0, color="k", linewidth=0.6, linestyle=":")
    axis.set(xlabel="flossing step", ylabel="exponent (per ms)", title="reset factor left out")
    axis.legend(ncols=2)


def _scan(axis: Any, exponents: xr.DataArray, x: tuple[float, ...]) -> None:
    """The first and the last of the leading exponents against what is varied."""
    values = exponents.values
    networks_and_median(axis, x, values[:, :, 0].T, COLOURS[0], "$\\lambda_1$", ".-")
    last = f"$\\lambda_{{{values.shape[2]}}}$"
    networks_and_median(axis, x, values[:, :, -1].T, COLOURS[1], last, ".--")
    axis.axhline(
        -1 / MEMBRANE, color="0.6", linewidth=0.8, linestyle="--", label="$-1/\\tau_{mem}$"
    )
    axis.axhline(0, color="k", linewidth=0.6, linestyle=":")
    axis.set(ylabel="exponent (per ms)", xscale="log")
    axis.set_xticks(x, [f"{value:g}" for value in x])
    axis.minorticks_off()
    axis.legend(loc="best")
