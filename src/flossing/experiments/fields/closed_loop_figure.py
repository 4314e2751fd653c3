"""The figure of ``closed-loop``."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, path_integrals, style


def draw(
    circles: Mapping[float, xr.Dataset], loops: xr.Dataset, *, radius: float, weights: int
) -> Figure:
    """Curl in the plane, integrals along the circle, convergence, loops of the LIF network.

    Args:
        circles: what was found around the circle, by steepness of the derivative.
        loops: what was found around loops in the weights of the LIF network.
        radius: of the circle.
        weights: how many the LIF network has.
    """
    with style():
        figure = Figure(figsize=(10.5, 6.2), layout="constrained")
        top, (along, convergence, lif) = figure.subplots(2, 3)
        for axis, (beta, part) in zip(top, circles.items(), strict=True):
            _plane_panel(figure, axis, beta, part, radius)
        _circle_panels(along, convergence, circles)
        _loops_panel(lif, loops, weights)
    return figure


def _circle_panels(along: Any, convergence: Any, circles: Mapping[float, xr.Dataset]) -> None:
    shown = next(iter(circles.values()))
    curves = {f"$\\beta_{{SG}} = {beta:g}$": part for beta, part in circles.items()}
    start = shown["output"].values[0]
    integrated = {label: start + part["integrated"] for label, part in curves.items()}
    path_integrals(along, shown["turn"], shown["output"], integrated)
    for (label, part), colour in zip(curves.items(), COLOURS, strict=False):
        errors = np.abs(part["trapezoid"] - part["integral"])
        convergence.loglog(part["intervals"], errors, "o-", color=colour, markersize=3, label=label)
    along.set(
        xlabel="position on the circle (turns)",
        title="integrated around the circle",
    )
    along.set_ylim(-0.2, 4.3)
    along.legend(loc="upper left", ncols=2, fontsize=7)
    points = shown["intervals"].values.astype(float)
    convergence.loglog(points, points[0] / points, ":", color="0.5", label="1 / intervals")
    convergence.set(
        xlabel="equally spaced intervals",
        ylabel="error of the trapezoidal rule",
        title="convergence: first order, because of jumps",
    )
    convergence.legend(loc="lower left")


def _loops_panel(axis: Any, loops: xr.Dataset, weights: int) -> None:
    curl = loops["curl"].item()
    for name, colour, label in (
        ("surrogate", COLOURS[1], "LIF, surrogate gradient"),
        ("true", COLOURS[2], "smooth LIF, true gradient"),
    ):
        values = loops[name] / abs(curl)
        axis.semilogx(loops["radius"], values, "o-", color=colour, markersize=3, label=label)
    axis.axhline(np.sign(curl), color="0.4", linestyle=":", label="curl at the centre")
    axis.set_yscale("symlog", linthresh=2)
    axis.set(
        xlabel="radius of the loop (units of the weights)",
        ylabel="integral / area, in units of |curl|",
        title=f"all {weights} weights of a recurrent LIF network",
    )
    axis.legend(loc="lower left", fontsize=6.5, handlelength=1.2)


def _plane_panel(figure: Figure, axis: Any, beta: float, part: xr.Dataset, radius: float) -> None:
    curls, grid = part["plane_curl"].values, part["first"].values
    limit = float(np.quantile(np.abs(curls), 0.98))
    image = axis.pcolormesh(
        grid, grid, curls, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True
    )
    levels = {"levels": [0.25, 0.75], "colors": "k", "linewidths": 0.7}
    axis.contour(grid, grid, part["plane_output"].values, **levels)
    angle = np.linspace(0, 2 * np.pi, 200)
    axis.plot(radius * np.cos(angle), radius * np.sin(angle), "--", color="0.2", linewidth=1.2)
    axis.set(
        xlabel="first direction",
        ylabel="second direction",
        aspect="equal",
        title=f"$\\beta_{{SG}} = {beta:g}$: $\\oint$ = {part['integral'].item():+.4f}",
    )
    figure.colorbar(image, ax=axis, label="curl in the plane", shrink=0.85)
