"""Adaptive flossing with one setting changed at a time, fixed phases and a joint loss: what matters."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import mannwhitneyu

from ...cells import TanhSpec
from ...floss import Adaptive, Before, Joint, Phases, Schedule
from ...plots import COLOURS, style
from ...runs import RunConfig
from ...tasks import DelayedXOR
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment
from ..lab.learning import learned, training_run
from ..lab.published import Published

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
class Variant:
    """Networks that are flossed in one way, by its name in ``VARIANTS``."""

    name: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablation(Experiment):
    """Variants of the same networks, data and training that differ in their flossing alone.

    Delayed XOR at a delay where the defaults do not always succeed, so that changes show in both directions.
    The defaults: k = N - 5 exponents, a window of 100 steps, one start state, a band of 2 / d, a look every
    20 epochs, two-sided, 200 steps before training. Variants are compared by the rank-sum test of held-out
    accuracies. What a variant costs is the processor time of all its blocks, flossing included and
    compilation excluded, over that of networks that are not flossed.
    """

    title = "adaptive flossing, one setting at a time"
    source = "ours; the joint loss and fixed phases are those of Engelken 2023 (gradient flossing)"
    shows = (
        "No variant of adaptive flossing is clearly better than its defaults, and a joint loss costs twice "
        "as much. Flossing half of all exponents, or lowering them alone, is worse."
    )
    timed = True
    variants: tuple[str, ...] = tuple(VARIANTS)
    """Names of variants, ``"none"`` and ``"default"`` among them."""
    delay: int = 34
    """Of the task, in steps."""
    hidden_size: int = 40
    networks: int = 9
    epochs: int = 2001
    learning_rate: float = 2e-3
    """Of training, at the first epoch; it falls along a cosine to a twentieth."""
    steps_before: int = 200
    """Flossing steps before training."""
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Four variants of three small networks."""
        return cls(
            variants=("none", "default", "joint", "window-published"), delay=8, hidden_size=16,
            networks=3, epochs=300, steps_before=50,
        )  # fmt: skip

    def cases(self) -> dict[Variant, RunConfig]:
        """The run of each variant."""
        return {
            Variant(name): training_run(
                DelayedXOR(self.delay),
                TanhSpec(self.hidden_size),
                self.schedule(name),
                learning_rate=self.learning_rate,
                epochs=self.epochs,
                networks=self.networks,
                seed=self.seed,
            )
            for name in self.variants
        }

    def schedule(self, name: str) -> Schedule | None:
        """How the networks of a variant are flossed."""
        _, kind, changes = VARIANTS[name]
        if kind is None:
            return None
        changes = {"steps_before": self.steps_before, **changes}
        share = changes.pop("share", None)
        k = self.hidden_size - 5 if share is None else round(share * self.hidden_size)
        return kind(num_exponents=max(1, k), **changes)

    def measure(self, case: Any, outcome: Any) -> xr.Dataset:
        """Accuracies, flossing steps and processor time."""
        return learned(outcome)

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Nothing is better than the defaults, at most as dear."""
        accuracy = {v: data[Variant(v)]["test_accuracy"].values for v in self.variants}
        median = {v: float(np.median(values)) for v, values in accuracy.items()}
        cost = _costs(data)
        better = [
            v
            for v, values in accuracy.items()
            if median[v] > median["default"] and difference(values, accuracy["default"]) < 0.05
        ]
        cheaper = [v for v in better if cost[v] <= cost["default"]]
        known = 0 * sum(median.values())  # NaN where one of them is
        text = "variants whose accuracy is clearly better than the defaults' (rank-sum p < 0.05)"
        yield Claim.at_most(text, len(better) + known, 0)
        text = "of these, variants that cost no more"
        yield Claim.at_most(text, len(cheaper) + known + 0 * sum(cost.values()), 0)
        text = "median accuracy, defaults; at least that of not flossed"
        yield Claim.at_least(text, median["default"], median["none"])
        if "joint" in cost:
            text = "cost of the defaults; at most that of a joint loss"
            yield Claim.at_most(text, cost["default"], cost["joint"])

    def figure(self, data: Data, published: Published) -> Figure:
        """Accuracies, flossing steps during training and cost of each variant."""
        cost, names = _costs(data), self.variants[::-1]
        with style():
            figure = Figure(figsize=(10.5, 1.6 + 0.24 * len(names)), layout="constrained")
            accuracy, steps, processor = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1, 1))
            for place, name in enumerate(names):
                part, colour = data[Variant(name)], COLOURS[1 if name == "default" else 0]
                single = 100 * part["test_accuracy"].values
                _dots(accuracy, single, place, colour)
                accuracy.plot(np.median(single), place, "|", color="k", ms=11, mew=1.6)
                _dots(steps, np.maximum(part["flossing_steps"].values, 0.5), place, colour)
                processor.barh(place, cost[name], color=colour)
            default = 100 * np.median(data[Variant("default")]["test_accuracy"])
            accuracy.axvline(default, color="0.7", lw=0.8)
            accuracy.axvline(95, color="0.6", linewidth=0.8, linestyle=":")
            accuracy.set_yticks(np.arange(len(names)), [VARIANTS[name][0] for name in names])
            accuracy.set(
                xlabel="held-out accuracy (%); bars: median", ylim=(-0.7, len(names) - 0.3)
            )
            steps.set_xscale("log")
            steps.set_xlabel("flossing steps during\ntraining (none: 0.5)")
            processor.set_xlabel("processor time over\nthat of not flossed")
            figure.suptitle(
                f"delayed XOR, d = {self.delay}, N = {self.hidden_size}, {self.networks} networks, "
                f"{self.epochs} epochs",
                fontsize=10,
            )
        return figure


def difference(accuracy: np.ndarray, default: np.ndarray) -> float:
    """Two-sided p-value of the rank-sum test between held-out accuracies of two variants."""
    return float(mannwhitneyu(accuracy, default).pvalue)


def _costs(data: Data) -> dict[str, float]:
    """Processor time of each variant over that of networks that are not flossed."""
    plain = data[Variant("none")]["processor_seconds"]
    return {case.name: float(part["processor_seconds"] / plain) for case, part in data.items()}


def _dots(axis: Any, values: np.ndarray, place: int, colour: str) -> None:
    axis.plot(values, np.full(len(values), place), "o", color=colour, ms=3.5, alpha=0.5)
