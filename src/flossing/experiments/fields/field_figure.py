"""The figure of the experiment ``surrogate-fields``."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ...plots import COLOURS, style
from ..lab.statistics import Estimate

MARKERS = "os^Dvp"


def fields_figure(
    fields: xr.Dataset,
    correlations: Mapping[str, Estimate],
    *,
    epochs: int,
    classes: int,
    draws: int,
) -> Figure:
    """Curl, exponents, noise and accuracy by steepness; accuracy by curl and by exponent.

    Args:
        fields: numbers of all networks, with the seed as leading dimension.
        correlations: rank correlations by name.
        epochs: of training.
        classes: of the task.
        draws: of noise.
    """
    names = fields["condition"].values.tolist()
    colours = dict(zip(names, COLOURS, strict=False))
    steep = fields["steepness"].values
    with style():
        figure = Figure(figsize=(10.5, 6.8), layout="constrained")
        (curl, exponent, spread), (learned, by_curl, by_exponent) = figure.subplots(2, 3)
        for (name, colour), marker in zip(colours.items(), MARKERS, strict=False):
            part = fields.sel(condition=name)
            accuracy = 100 * part["accuracy"].values
            for axis, values in (
                (curl, part["curl_start"].values),
                (exponent, part["exponent_start"].values),
                (learned, accuracy),
            ):
                _line(axis, steep, values, colour, marker)
            for axis, key in ((by_curl, "curl_start"), (by_exponent, "exponent_start")):
                axis.scatter(
                    part[key], accuracy, s=9, color=colour, marker=marker, alpha=0.65, linewidths=0
                )
        _noise(spread, fields, draws)
        curl.set(
            ylabel="curl / symmetric part of the Jacobian", ylim=(0, None),
            title="surrogate gradient before training",
        )  # fmt: skip
        exponent.axhline(0, color="0.6", linewidth=0.8, linestyle=":")
        exponent.set(
            ylabel="first exponent $\\lambda_1$ (nats per step)",
            title="recurrent stack before training",
        )
        learned.set(
            ylabel="test accuracy (%)", ylim=(0, 102),
            title=f"deterministic, {epochs} epochs",
        )  # fmt: skip
        chance = 100 / classes
        for axis in (learned, by_curl, by_exponent):
            axis.axhline(chance, color="0.6", linewidth=0.8, linestyle=":")
        for axis in (curl, exponent, spread, learned):
            axis.set(xscale="log", xlabel="steepness $\\beta$ (1 / threshold)")
        for axis, key, label in (
            (by_curl, "curl, accuracy", "curl / symmetric part, before training"),
            (
                by_exponent,
                "|exponent|, accuracy",
                "first exponent, before training (nats per step)",
            ),
        ):
            value, low, high = correlations[key]
            x = "|$\\lambda_1$|" if axis is by_exponent else "curl"
            axis.set(
                xlabel=label, ylabel="test accuracy (%)", ylim=(0, 102),
                title=f"{x}: rank corr. {value:+.2f} ({low:+.2f}, {high:+.2f})",
            )  # fmt: skip
        handles = [
            Line2D([], [], color=c, marker=m, markersize=4, linewidth=1.4, label=n)
            for (n, c), m in zip(colours.items(), MARKERS, strict=False)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        for axis, letter in zip(figure.axes, "abcdef", strict=False):
            axis.text(-0.17, 1.04, letter, transform=axis.transAxes, fontweight="bold", fontsize=11)
    return figure


def _line(axis: Any, x: Any, values: np.ndarray, colour: str, marker: str, **options: Any) -> None:
    """Mean over seeds, and a band from the lowest to the highest."""
    axis.plot(
        x, values.mean(0), color=colour, marker=marker, markersize=3.5, linewidth=1.4, **options
    )
    axis.fill_between(x, values.min(0), values.max(0), color=colour, alpha=0.12, linewidth=0)


def _noise(axis: Any, fields: xr.Dataset, draws: int) -> None:
    steep = fields["steepness"].values
    for when, line in (("start", "-"), ("end", "--")):
        values = fields[f"variance_{when}"].values
        word = {"start": "before", "end": "after"}[when]
        axis.plot(
            steep, np.median(values, 0), line, color="0.25", marker="o", markersize=3.5,
            linewidth=1.4, label=f"variance, {word}",
        )  # fmt: skip
        axis.fill_between(steep, values.min(0), values.max(0), color="0.25", alpha=0.1, linewidth=0)
    axis.set(
        yscale="log", ylabel="variance / squared norm of the mean",
        title=f"{draws} draws of noise, before and after training",
    )  # fmt: skip
    other = axis.twinx()
    other.spines["right"].set_visible(True)
    for when, line in (("start", "-"), ("end", "--")):
        values = fields[f"cosine_{when}"].values
        other.plot(
            steep, np.median(values, 0), line, color="#8B5A2B", marker="x", markersize=4,
            linewidth=1.2, label="cosine" if when == "start" else None,
        )  # fmt: skip
    other.set_ylabel("cosine of two gradients", color="#8B5A2B")
    other.set(ylim=(-0.05, 1.05))
    lines = [*axis.get_lines(), other.get_lines()[0]]
    axis.legend(lines, [str(x.get_label()) for x in lines], loc="center left", fontsize=7)
