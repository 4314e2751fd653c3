"""The first surrogate Lyapunov exponent of binary networks, driven to zero (Engelken & Abbott 2024)."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...floss import Before
from ...plots import COLOURS, style
from ...tasks import DelayedXOR
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.flossed import Networks, binary_cell
from ..lab.published import Published

SOURCE = "Engelken & Abbott 2024"
SHARPNESSES = (0.5, 1.0)
"""Of the surrogate derivatives, as published."""


@dataclasses.dataclass(frozen=True)
class Driven:
    """Networks with surrogate derivatives of one sharpness."""

    sharpness: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class BinaryFirstExponent(Experiment):
    """First exponents of nine networks, whose squares are minimised, for each of two sharpnesses.

    Published curves show the exponent in the window that is being optimised; ours is measured on 2000 steps
    that flossing never saw. The size of a flossing step is ours: it is not published. Fresh networks differ
    so much (standard deviation 0.05 to 0.08) that the start is the mean of more of them.
    """

    title = "first surrogate exponent of binary networks driven to zero"
    source = f"{SOURCE} (surrogate gradient flossing), curves read from the figure"
    shows = (
        "Flossing drives the first surrogate exponent of binary networks to zero, for both published "
        "sharpnesses. Means at the start and at the end agree with the published ones."
    )
    tables = ("binary_first_exponent",)
    hidden_size: int = 80
    networks: int = 9
    fresh_networks: int = 64
    """Not flossed, for the mean start."""
    epochs: int = 150
    """Flossing steps."""
    learning_rate: float = 1.5e-3
    window: int = 90
    """Steps of each trajectory, all of which count."""
    starts: int = 1
    """Trajectories of each flossing step."""
    clip_norm: float = 1.0
    delay: int = 18
    """Of the task whose input drives the networks, in steps."""
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Four networks, fewer steps over more trajectories."""
        return cls(fresh_networks=16, epochs=60, starts=4, learning_rate=3e-3, networks=4)

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

    def cases(self) -> dict[Driven, Callable[[Report], xr.Dataset]]:
        """Both sharpnesses."""
        return {Driven(s): functools.partial(self.driven, s) for s in SHARPNESSES}

    def driven(self, sharpness: float, report: Report) -> xr.Dataset:
        """``exponent`` (step, network) during flossing; ``fresh`` (fresh_network) of others before it."""
        cell, task = binary_cell(self.hidden_size, sharpness), DelayedXOR(self.delay)
        networks = Networks(cell, task, self.networks, self.seed)
        measured: dict[int, np.ndarray] = {}

        def measure(step: int, current: Any) -> None:
            measured[step] = networks.spectra(current, 1)[:, 0]
            report(f"flossing step {step} of {self.epochs}")

        networks.flossed(self.schedule(), self.epochs, measure, every=10)
        more = Networks(cell, task, self.fresh_networks, self.seed)
        return xr.Dataset(
            {
                "exponent": (("step", "network"), np.array([*measured.values()])),
                "fresh": ("fresh_network", more.spectra(more.fresh, 1)[:, 0]),
            },
            coords={"step": [*measured]},
        )

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Means at the start and at the end are the published ones."""
        for case, part in data.items():
            known = _curves(published)[case.sharpness]["mean"][:, 1]
            for moment, ours, theirs in (
                ("start", part["fresh"].values, known[0]),
                ("end", part["exponent"].values[-1], known[-1]),
            ):
                text = f"sharpness {case.sharpness:g}: mean lambda_1 at the {moment}"
                yield Claim.near(text, float(ours.mean()), theirs, within=0.05, source=SOURCE)

    def figure(self, data: Data, published: Published) -> Figure:
        """First exponents against flossing steps, for each sharpness."""
        with style():
            figure = Figure(figsize=(7.2, 3.2), layout="constrained")
            axes = figure.subplots(1, 2, sharey=True)
            for axis, (case, part), colour in zip(axes, data.items(), COLOURS, strict=False):
                for name, curve in _curves(published)[case.sharpness].items():
                    line = {"color": "0.75", "linewidth": 0.6}
                    if name == "mean":
                        line = {"color": "0.35", "label": "published (thick: mean)"}
                    axis.plot(*curve.T, **line)
                values = part["exponent"].values
                axis.plot(part["step"], values, color=colour, linewidth=0.6, alpha=0.7)
                axis.plot(part["step"], values.mean(1), color=colour, label="ours (thick: mean)")
                axis.axhline(0, color="k", linewidth=0.8, linestyle=":")
                axis.set(xlabel="flossing step (epoch)", title=f"sharpness {case.sharpness:g}")
                axis.legend(loc="lower right")
            axes[0].set_ylabel("first surrogate exponent $\\lambda_1$\n(nats per step)")
        return figure


def _curves(published: Published) -> dict[float, dict[str, np.ndarray]]:
    return published.curves(
        "binary_first_exponent", "surrogate_sharpness", "realisation", "epoch",
        "first_exponent_per_step",
    )  # fmt: skip
