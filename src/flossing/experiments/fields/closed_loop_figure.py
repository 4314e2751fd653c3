"""The figure of ``closed-loop``."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...runs.plots import COLOURS, style


def draw(settings: Any, small: dict, loops: dict) -> Figure:
    """Curl in the plane, integrals along the circle, convergence, loops of the LIF network."""
    with style():
        figure = Figure(figsize=(10.5, 6.2), layout="constrained")
        top, bottom = figure.subplots(2, 3)
        for axis, (beta, found) in zip(top, small.items(), strict=True):
            _plane_panel(figure, axis, beta, found, settings.radius)
        along, convergence, lif = bottom
        shown = small[1.0]
        along.plot(shown["s"], shown["output"], color="0.4", label="output y")
        for (beta, found), colour in zip(small.items(), COLOURS, strict=False):
            label = f"$\\beta_{{SG}} = {beta:g}$"
            start = found["output"][0]
            along.plot(found["s"], start + found["integrated"], color=colour, label=label)
            errors = np.abs(np.array(found["trapezoid"]) - found["integral"])
            convergence.loglog(
                settings.points, errors, "o-", color=colour, markersize=3, label=label
            )
        along.set(
            xlabel="position on the circle (turns)",
            ylabel="integral of the surrogate gradient",
            title="integrated around the circle",
        )
        along.set_ylim(-0.2, 4.3)
        along.legend(loc="upper left", ncols=2, fontsize=7)
        points = np.array(settings.points, float)
        convergence.loglog(points, points[0] / points, ":", color="0.5", label="1 / intervals")
        convergence.set(
            xlabel="equally spaced intervals",
            ylabel="error of the trapezoidal rule",
            title="convergence: first order, because of jumps",
        )
        convergence.legend(loc="lower left")
        for name, colour, label in (
            ("surrogate", COLOURS[1], "LIF, surrogate gradient"),
            ("true", COLOURS[2], "smooth LIF, true gradient"),
        ):
            lif.semilogx(
                loops["radii"], np.array(loops[name]["density"]) / abs(loops["curl"]), "o-",
                color=colour, markersize=3, label=label,
            )  # fmt: skip
        lif.axhline(np.sign(loops["curl"]), color="0.4", linestyle=":", label="curl at the centre")
        lif.set_yscale("symlog", linthresh=2)
        lif.set(
            xlabel="radius of the loop (units of the weights)",
            ylabel="integral / area, in units of |curl|",
            title=f"all {settings.neurons * (settings.neurons + 5)} weights of a recurrent LIF network",
        )
        lif.legend(loc="lower left", fontsize=6.5, handlelength=1.2)
    return figure


def _plane_panel(figure: Figure, axis: Any, beta: float, found: dict, radius: float) -> None:
    curls = found["curls"]
    limit = float(np.quantile(np.abs(curls), 0.98))
    grid = found["axis"]
    image = axis.pcolormesh(
        grid, grid, curls, cmap="RdBu_r", vmin=-limit, vmax=limit, rasterized=True
    )
    axis.contour(grid, grid, found["outputs"], levels=[0.25, 0.75], colors="k", linewidths=0.7)
    angle = np.linspace(0, 2 * np.pi, 200)
    axis.plot(radius * np.cos(angle), radius * np.sin(angle), "--", color="0.2", linewidth=1.2)
    axis.set(
        xlabel="first direction",
        ylabel="second direction",
        aspect="equal",
        title=f"$\\beta_{{SG}} = {beta:g}$: $\\oint$ = {found['integral']:+.4f}",
    )
    figure.colorbar(image, ax=axis, label="curl in the plane", shrink=0.85)
