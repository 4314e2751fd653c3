"""Adaptive flossing with one setting changed at a time, fixed phases and a joint loss: what matters.

Delayed XOR at a delay where the defaults do not always succeed, so that changes show in both directions. All
variants have the same networks, data and training. What a variant costs is the processor time of all
its blocks, flossing included and compilation excluded, over that of networks that are not flossed.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy.stats import mannwhitneyu

from ...cells import TanhSpec
from ...floss import Adaptive, Before, Joint, Phases, Schedule
from ...optimisers import Adam
from ...runs import RunConfig
from ...runs.clock import read_clock
from ...runs.plots import COLOURS, style
from ...tasks import DelayedXOR
from ..lab.claims import Claim, Result
from ..lab.runs import Reporters, do_runs
from .delays import summary

VARIANTS: dict[str, tuple[str, type[Before] | None, dict[str, Any]]] = {
    "none": ("not flossed", None, {}),
    "before": ("before training only", Before, {}),
    "default": ("adaptive, defaults", Adaptive, {}),
    "phases": ("ten phases of 20 steps", Phases, {"max_times": 10, "steps_between": 20}),
    "joint": ("joint loss, weight 1", Joint, {}),
    "joint-small": ("joint loss, weight 0.01", Joint, {"weight": 0.01}),
    "window-published": (
        "window 55, no warm-up",
        Adaptive,
        {"window": 55, "warmup": 16, "state_warmup": 0},
    ),
    "window-short": ("window 50", Adaptive, {"window": 50, "warmup": 12}),
    "window-long": ("window 200", Adaptive, {"window": 200, "warmup": 50}),
    "starts": ("4 start states", Adaptive, {"num_starts": 4}),
    "k-quarter": ("k = N / 4", Adaptive, {"share": 0.25}),
    "k-half": ("k = N / 2", Adaptive, {"share": 0.5}),
    "k-all": ("k = N", Adaptive, {"share": 1.0}),
    "band-narrow": ("band 1 / d", Adaptive, {"band": 1.0}),
    "band-wide": ("band 4 / d", Adaptive, {"band": 4.0}),
    "often": ("looks every 5 epochs", Adaptive, {"every": 5}),
    "seldom": ("looks every 100 epochs", Adaptive, {"every": 100}),
    "below": ("one-sided: lifts only", Adaptive, {"penalty": "below"}),
    "above": ("one-sided: lowers only", Adaptive, {"penalty": "above"}),
    "always": ("whether learned or not", Adaptive, {"learned": 0.0}),
    "not-before": ("adaptive, not before", Adaptive, {"steps_before": 0}),
}
"""What each is called in the figure, its schedule, and the settings that differ.

``share`` is k over the number of units.
"""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    variants: tuple[str, ...] = tuple(VARIANTS)
    delay: int = 34
    hidden_size: int = 40
    networks: int = 9
    epochs: int = 2001
    learning_rate: float = 2e-3
    """Of training, at the first epoch; it falls along a cosine to a twentieth."""
    steps_before: int = 200
    seed: int = 1

    def runs(self) -> dict[str, RunConfig]:
        """The run of each variant."""
        return {name: self._run(self._schedule(*VARIANTS[name][1:])) for name in self.variants}

    def _schedule(self, kind: type[Before] | None, changes: dict[str, Any]) -> Schedule | None:
        if kind is None:
            return None
        changes = {"steps_before": self.steps_before, **changes}
        share = changes.pop("share", None)
        k = self.hidden_size - 5 if share is None else round(share * self.hidden_size)
        return kind(num_exponents=max(1, k), **changes)

    def _run(self, schedule: Schedule | None) -> RunConfig:
        rate = self.learning_rate
        return RunConfig(
            task=DelayedXOR(self.delay),
            cell=TanhSpec(self.hidden_size),
            schedule=schedule,
            optimiser=Adam(learning_rate=rate, final_learning_rate=rate / 20),
            epochs=self.epochs,
            realisations=self.networks,
            seed=self.seed,
            measure_every=None,
        )


QUICK = Settings(
    variants=("none", "default", "joint", "window-published"),
    delay=8,
    hidden_size=16,
    networks=3,
    epochs=300,
    steps_before=50,
)


def run(
    quick: bool = False,
    settings: Settings | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has four variants of three small networks."""
    settings = settings or (QUICK if quick else Settings())
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return run(quick, settings, Path(temporary), reporters)
    outcomes = do_runs(settings.runs(), folder, reporters, timed=True)
    numbers = {}
    for name, outcome in outcomes.items():
        seconds = sum(block.processor_seconds for block in read_clock(folder / name))
        numbers[name] = {**summary(outcome), "processor_seconds": round(seconds, 4)}
    for row in numbers.values():
        row["p_value_against_default"] = difference(row, numbers["default"])
        row["cost"] = round(row["processor_seconds"] / numbers["none"]["processor_seconds"], 3)
    return Result(
        name="ablation",
        title="adaptive flossing, one setting at a time",
        source="ours; the joint loss and fixed phases are those of Engelken 2023 (gradient flossing)",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=claims_of(numbers),
        figure=_figure(numbers, settings),
    )


def difference(row: dict[str, Any], default: dict[str, Any]) -> float:
    """Two-sided p-value of the rank-sum test between held-out accuracies of two variants."""
    test = mannwhitneyu(row["test_accuracy"], default["test_accuracy"])
    return round(float(test.pvalue), 4)


def claims_of(numbers: dict[str, Any]) -> list[Claim]:
    """Nothing is better than the defaults, at most as dear."""
    ours = numbers["default"]
    median = {name: float(np.median(row["test_accuracy"])) for name, row in numbers.items()}
    better = [
        name
        for name, row in numbers.items()
        if median[name] > median["default"] and row["p_value_against_default"] < 0.05
    ]
    cheaper = [name for name in better if numbers[name]["cost"] <= ours["cost"]]
    claims = [
        Claim("variants whose accuracy is clearly better (rank-sum p < 0.05)", len(better), 1),
        Claim("of these, variants that cost no more", len(cheaper), 1),
        Claim("median accuracy, defaults; not flossed", median["default"], median["none"], below=False),
    ]  # fmt: skip
    if "joint" in numbers:
        text = "cost of the defaults; of a joint loss"
        claims.append(Claim(text, ours["cost"], numbers["joint"]["cost"]))
    return claims


def _figure(numbers: dict[str, Any], settings: Settings) -> Figure:
    names = list(numbers)[::-1]
    where = np.arange(len(names))
    with style():
        figure = Figure(figsize=(10.5, 1.6 + 0.24 * len(names)), layout="constrained")
        accuracy, steps, cost = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1, 1))
        for place, name in zip(where, names, strict=True):
            row, colour = numbers[name], COLOURS[1 if name == "default" else 0]
            single = 100 * np.array(row["test_accuracy"])
            accuracy.plot(single, np.full(len(single), place), "o", color=colour, ms=3.5, alpha=0.5)
            accuracy.plot(np.median(single), place, "|", color="k", ms=11, mew=1.6)
            taken = np.array(row["flossing_steps_during_training"])
            steps.plot(np.maximum(taken, 0.5), np.full(len(taken), place), "o", color=colour,
                       ms=3.5, alpha=0.5)  # fmt: skip
            cost.barh(place, row["cost"], color=colour)
        accuracy.axvline(100 * np.median(numbers["default"]["test_accuracy"]), color="0.7", lw=0.8)
        accuracy.axvline(95, color="0.6", linewidth=0.8, linestyle=":")
        accuracy.set_yticks(where, [VARIANTS[name][0] for name in names])
        accuracy.set(xlabel="held-out accuracy (%); bars: median", ylim=(-0.7, len(names) - 0.3))
        steps.set_xscale("log")
        steps.set_xlabel("flossing steps during\ntraining (none: 0.5)")
        cost.set_xlabel("processor time over\nthat of not flossed")
        figure.suptitle(
            f"delayed XOR, d = {settings.delay}, N = {settings.hidden_size}, "
            f"{settings.networks} networks, {settings.epochs} epochs",
            fontsize=10,
        )
    return figure
