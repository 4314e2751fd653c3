"""The first surrogate Lyapunov exponent of binary networks, driven to zero (Engelken & Abbott 2024).

Nine networks for each of two sharpnesses of the surrogate derivative minimise the square of their first
exponent. Published curves show the exponent in the window that is being optimised; ours are also
measured on 2000 steps that flossing never saw. The size of a flossing step is ours: it is not published.
Fresh networks differ so much (standard deviation 0.05 to 0.08) that the start is the mean of more of them.
"""

import dataclasses
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...floss import Before
from ...runs.plots import COLOURS, style
from ...tasks import DelayedXOR
from ..lab.claims import Claim, Result
from ..lab.flossed import Networks, binary_cell
from ..lab.published import curves

SHARPNESSES = (0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    hidden_size: int = 80
    networks: int = 9
    fresh_networks: int = 64
    """Not flossed, for the mean start."""
    epochs: int = 150
    learning_rate: float = 1.5e-3
    window: int = 90
    starts: int = 1
    clip_norm: float = 1.0
    delay: int = 18
    seed: int = 1

    def schedule(self) -> Before:
        """Flossing of the first exponent: all steps of a window count, at a rate that stays."""
        return Before(
            num_exponents=1,
            window=self.window,
            warmup=0,
            num_starts=self.starts,
            learning_rate=self.learning_rate,
            final_learning_rate=self.learning_rate,
            state_warmup=0,
            clip_norm=self.clip_norm,
        )


QUICK = Settings(fresh_networks=16, epochs=60, starts=4, learning_rate=3e-3, networks=4)


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
            mean = float((track["fresh"] if epoch == 0 else track["measured"][epoch]).mean())
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
            "fresh": track["fresh"].round(5).tolist(),
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
    cell = binary_cell(settings.hidden_size, sharpness)
    task = DelayedXOR(settings.delay)
    networks = Networks(cell, task, settings.networks, settings.seed)
    measured = {}

    def look(epoch: int, current: Any) -> None:
        measured[epoch] = networks.spectra(current, 1)[:, 0]

    _, in_window = networks.flossed(settings.schedule(), settings.epochs, look, every=10)
    more = Networks(cell, task, settings.fresh_networks, settings.seed)
    fresh = more.spectra(more.fresh, 1)[:, 0]
    return {"measured": measured, "in_window": in_window[:, :, 0], "fresh": fresh}


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
