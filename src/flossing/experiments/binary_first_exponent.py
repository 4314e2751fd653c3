"""The first surrogate Lyapunov exponent of binary networks, driven to zero (Engelken & Abbott 2024).

Nine networks for each of two sharpnesses of the surrogate derivative minimise the square of their first
exponent. Published curves show the exponent in the window that is being optimised; ours are also
measured on 2000 steps that flossing never saw. The size of a flossing step is ours: it is not published.
"""

import dataclasses
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..runs.plots import COLOURS, style
from ._flossed import FlossingSettings
from ._published import curves
from ._result import Claim, Result

SHARPNESSES = (0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Settings(FlossingSettings):
    """What may be varied."""

    epochs: int = 150
    learning_rate: float = 1e-3
    window: int = 120
    basis_warmup: int = 20
    starts: int = 16
    delay: int = 18


QUICK = Settings(epochs=60, starts=4, learning_rate=3e-3, networks=4)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has fewer networks, epochs and trajectories."""
    settings = settings or (QUICK if quick else Settings())
    published = curves(
        "binary_first_exponent",
        "surrogate_sharpness",
        "realisation",
        "epoch",
        "first_exponent_per_step",
    )
    ours = {sharpness: _drive(sharpness, settings) for sharpness in SHARPNESSES}
    claims, numbers = [], {}
    for sharpness, track in ours.items():
        theirs = published[sharpness]["mean"]
        for moment, epoch in (("start", 0), ("end", settings.epochs)):
            mean = float(track["measured"][epoch].mean())
            known = float(theirs[0 if epoch == 0 else -1, 1])
            claims.append(
                Claim(
                    f"sharpness {sharpness:g}: |mean lambda_1 - published| at the {moment} "
                    f"(ours {mean:+.3f}, published {known:+.3f})",
                    abs(mean - known),
                    0.05,
                )
            )
        numbers[str(sharpness)] = {
            "measured": {str(e): v.round(5).tolist() for e, v in track["measured"].items()},
            "in_window": track["in_window"].round(4).tolist(),
            "published_mean": theirs.tolist(),
        }
    return Result(
        name="binary-first-exponent",
        title="first surrogate exponent of binary networks driven to zero",
        source="Engelken & Abbott 2024 (surrogate gradient flossing), curves read from the figure",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=claims,
        figure=_figure(ours, published),
    )


def _drive(sharpness: float, settings: Settings) -> dict[str, Any]:
    networks = settings.build(name="binary", sharpness=sharpness)
    measured = {}

    def look(epoch: int, current: Any) -> None:
        measured[epoch] = networks.spectra(current, 1)[:, 0]

    _, in_window = networks.flossed(settings.flossing(1), settings.epochs, look, every=10)
    return {"measured": measured, "in_window": in_window[:, :, 0]}


def _figure(
    ours: dict[float, dict[str, Any]], published: dict[float, dict[str, np.ndarray]]
) -> Figure:
    with style():
        figure = Figure(figsize=(7.2, 3.2), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        for axis, (sharpness, track), colour in zip(axes, ours.items(), COLOURS, strict=False):
            for name, curve in published[sharpness].items():
                mean = name == "mean"
                axis.plot(
                    *curve.T,
                    color="0.35" if mean else "0.75",
                    linewidth=1.8 if mean else 0.6,
                    label="published (thick: mean)" if mean else None,
                )
            epochs = list(track["measured"])
            values = np.array(list(track["measured"].values()))
            axis.plot(epochs, values, color=colour, linewidth=0.6, alpha=0.7)
            axis.plot(epochs, values.mean(1), color=colour, label="ours (thick: mean)")
            axis.axhline(0, color="k", linewidth=0.8, linestyle=":")
            axis.set(xlabel="flossing step (epoch)", title=f"sharpness {sharpness:g}")
            axis.legend(loc="lower right")
        axes[0].set_ylabel("first surrogate exponent $\\lambda_1$\n(nats per step)")
    return figure
