"""Delayed XOR with binary networks, with and without surrogate flossing (Engelken & Abbott 2024)."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, networks_and_median, style
from ...plots.series import smooth, smooth_nan
from ...runs import RunConfig
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment
from ..lab.published import Published
from .kinds import KINDS

SCHEDULES = {"none": "not flossed", "adaptive": "adaptive", "before": "before training"}
"""Words for each schedule."""
LINES = {"none": "--", "adaptive": "-", "before": ":"}
"""How the curves of each are drawn."""
SOURCE = "Engelken & Abbott 2024"
POINTS = 600
"""Of the course of a training, at most."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """Networks of one kind that learn one delay under one schedule."""

    kind: str
    """Its name in ``KINDS``."""
    schedule: str
    """``none``, ``adaptive`` or ``before``."""
    delay: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class BinaryXOR(Experiment):
    """Accuracy and gradients of binary networks of several kinds, against delay and in training.

    The published adaptive schedule is not described in public. Ours holds the level of the surrogate
    exponents by scaling the heights of the surrogate derivatives, which leaves the activity of the network
    as it is, and in two kinds of networks keeps the other exponents up by flossing steps of the weights.

    Within a kind, networks have the same weights, data and training with and without flossing. Networks with
    Gaussian weights forget a bit within five steps, whatever their exponents, so two kinds start as a ring
    of delay lines. In one Gaussian input weights cut the ring at random places, in the other strong ones at
    equal distances: it learns longer delays. At delays of more than twice the length of such a line nothing
    is learned. Lines that are flossed by their weights before training alone learn nothing either, although
    their gradients are large: steps of the weights change what the lines do, scaled heights do not.

    Accuracies are means of ten epochs: the last ones, and the best of all training. Training depends on
    rounding, so single networks at delays where only some learn differ from one machine to another.
    """

    title = "delayed XOR, binary networks"
    source = f"{SOURCE} (surrogate gradient flossing), curves read from the figures"
    shows = (
        "Binary networks that are not flossed fail at a delay of 18 steps. With the level of their surrogate "
        "exponents held during training, networks of delay lines learn delays of 26, more than published."
    )
    tables = (
        "binary_xor_accuracy_vs_delay", "binary_xor_accuracy_vs_epoch",
        "binary_xor_gradient_norm_vs_delay", "binary_xor_gradient_norm_vs_epoch",
    )  # fmt: skip
    kinds: tuple[str, ...] = tuple(KINDS)
    """Names of the kinds of networks."""
    delays: tuple[int, ...] = (10, 14, 18, 22, 26)
    """Delays in steps, of rings and lines."""
    gaussian_delays: tuple[int, ...] = (14, 18)
    """Delays of Gaussian networks, which are the slowest to train."""
    longer: tuple[int, ...] = (34, 42)
    """Delays of lines of equal length alone."""
    before_delays: tuple[int, ...] = (14, 18, 22, 26)
    """Delays of lines that are flossed before training alone."""
    shown_delay: int = 18
    """Whose course of training is shown."""
    hidden_size: int = 80
    networks: int = 9
    epochs: int = 3001
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Three small networks of two kinds, 200 epochs."""
        return cls(
            kinds=("gaussian", "ring"), delays=(4, 8), gaussian_delays=(8,), longer=(), shown_delay=8,
            hidden_size=32, networks=3, epochs=200,
        )  # fmt: skip

    def delays_of(self, kind: str, schedule: str) -> tuple[int, ...]:
        """Those that networks of this kind are trained on; none if they are not flossed like this."""
        if schedule == "before":
            return self.before_delays if kind == "lines" else ()
        if kind == "gaussian":
            return self.gaussian_delays
        return self.delays if kind == "ring" else self.delays + self.longer

    def cases(self) -> dict[Trained, RunConfig]:
        """All runs."""
        cases = (
            Trained(kind, schedule, delay)
            for kind in self.kinds
            for schedule in SCHEDULES
            for delay in self.delays_of(kind, schedule)
        )
        return {case: self.run(case) for case in cases}

    def run(self, case: Trained) -> RunConfig:
        """The run of a case."""
        kind = KINDS[case.kind]
        cell = dataclasses.replace(kind.cell, hidden_size=self.hidden_size)
        kind = dataclasses.replace(kind, cell=cell)
        return kind.run(case.delay, case.schedule, self.epochs, self.networks, self.seed)

    def measure(self, case: Any, outcome: Any) -> xr.Dataset:
        """Accuracies and gradients of each network, and at the shown delay their course in training."""
        data = outcome.data
        accuracy = smooth(data["accuracy"].values, 10)
        norms = data["gradient_norm"].values
        with np.errstate(divide="ignore"):
            logs = np.log10(np.where(np.isfinite(norms), norms, np.nan))
        by_network = {
            "test_accuracy": data["test_accuracy"].values,
            "last_accuracy": accuracy[-1],
            "best_accuracy": accuracy.max(0),
            "log10_gradient_norm_first": np.nanmedian(logs[:10], 0),
            "log10_gradient_norm_median": np.nanmedian(logs, 0),
            "non_finite_gradients": data["skipped"].values.sum(0),
            "first_exponent_end": data["exponents"].values[-1, :, 0],
        }
        numbers = xr.Dataset({name: ("network", values) for name, values in by_network.items()})
        if case.delay != self.shown_delay:
            return numbers
        epochs = np.arange(0, len(accuracy), -(-len(accuracy) // POINTS))
        logs = smooth_nan(np.where(np.isfinite(logs), logs, np.nan))
        course = {"accuracy": accuracy, "log10_gradient_norm": logs}
        course = {n: (("epoch", "network"), v[epochs].astype("f4")) for n, v in course.items()}
        return numbers.assign(course).assign_coords(epoch=epochs)

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Accuracies as published or better, gradients that flossing keeps, and networks that last."""
        for kind in self.kinds:
            yield from self._accuracies(data, published, kind)
            yield from self._gradients(data, kind)

    def _accuracies(self, data: Data, published: Published, kind: str) -> Iterator[Claim]:
        """Against the published means, and the medians that we want at long delays."""
        name = KINDS[kind].name
        for schedule in ("none", "adaptive"):
            statistic = "best" if schedule == "adaptive" else "last"
            curve = published.curve(
                self.tables[0], "delay_steps", "accuracy_percent", flossing=schedule
            )
            known = {int(d): a / 100 for d, a in curve}
            for d in self.delays_of(kind, schedule):
                if d not in known:
                    continue
                values = data[Trained(kind, schedule, d)][f"{statistic}_accuracy"].values
                mean = float(np.mean(values))
                text = f"d = {d}: mean {statistic} accuracy, {name}, {SCHEDULES[schedule]}"
                limit, claim = known[d] - 0.005, Claim.at_least
                if schedule == "none":
                    limit, claim = (0.99, claim) if known[d] > 0.9 else (0.55, Claim.at_most)
                yield claim(text, mean, limit, published=known[d], source=SOURCE)
        for d, wanted in ((22, 0.95), (26, 0.9)):
            if d in self.delays_of(kind, "adaptive"):
                median = np.median(data[Trained(kind, "adaptive", d)]["test_accuracy"].values)
                yield Claim.at_least(f"d = {d}: median held-out accuracy, {name}", median, wanted)

    def _gradients(self, data: Data, kind: str) -> Iterator[Claim]:
        """How far apart they are with and without flossing, and that none is lost."""
        name, shown = KINDS[kind].name, self.shown_delay
        if shown >= 18 and shown in self.delays_of(kind, "adaptive"):
            flossed, plain = (
                np.median(data[Trained(kind, schedule, shown)]["log10_gradient_norm_median"].values)
                for schedule in ("adaptive", "none")
            )
            text = f"d = {shown}: decades between gradient norms, adaptive and not flossed, {name}"
            yield Claim.at_least(text, flossed - plain, 5)
        flossed = list(data.where(kind=kind, schedule="adaptive").values())
        text = f"networks that collapsed or had a non-finite gradient, adaptive, {name}"
        yield Claim.at_most(text, sum(map(lost, flossed)), 0)

    def figure(self, data: Data, published: Published) -> Figure:
        """Accuracy and gradients, in the course of training and against delay."""
        with style():
            figure = Figure(figsize=(10.5, 6), layout="constrained")
            (course, final), (norms, typical) = figure.subplots(2, 2)
            for kind in self.kinds:
                for schedule in SCHEDULES:
                    self._draw(figure.axes, data, kind, schedule)
            self._draw_published(figure.axes, published)
            final.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
            final.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
            for axis in (final, typical):
                axis.set(xticks=self.delays + self.longer, xlabel="delay d (steps)")
            for axis in (course, norms):
                axis.set_xlabel("training epoch")
            norm = "log10 $|\\partial L/\\partial h_0|$"
            course.set(ylabel="accuracy (%), mean of 10 epochs", title=f"d = {self.shown_delay}")
            final.set(ylabel="best accuracy of 10 epochs (%)", ylim=(45, 102))
            norms.set(ylabel=norm)
            typical.set(ylabel=f"{norm}, median epoch")
        return figure

    def _draw(self, axes: Sequence[Any], data: Data, kind: str, schedule: str) -> None:
        """The curves of networks of a kind under a schedule, in each of the four panels."""
        course, final, norms, typical = axes
        colour, line = COLOURS[list(KINDS).index(kind)], LINES[schedule]
        chosen = data.where(kind=kind, schedule=schedule)
        for case, part in chosen.items():
            if case.delay == self.shown_delay:
                epochs, accuracy = part["epoch"].values, 100 * part["accuracy"].values.T
                networks_and_median(course, epochs, accuracy, colour, line=line)
                values = part["log10_gradient_norm"].values.T
                networks_and_median(norms, epochs, values, colour, line=line)
        shift = 0.2 * (2 * list(KINDS).index(kind) + list(SCHEDULES).index(schedule) - 3)
        where = np.array([case.delay for case in chosen]) + shift
        for axis, name, factor in (
            (final, "best_accuracy", 100), (typical, "log10_gradient_norm_median", 1),
        ):  # fmt: skip
            if chosen:
                values = factor * np.array([part[name].values for part in chosen.values()])
                axis.plot(where, values, "o", color=colour, markersize=2, alpha=0.4)
                label = f"{KINDS[kind].name}, {SCHEDULES[schedule]} (mean)"
                appearance = {"color": colour, "linestyle": line, "markersize": 3.5, "label": label}
                axis.plot(where, values.mean(1), marker="o", **appearance)

    def _draw_published(self, axes: Sequence[Any], published: Published) -> None:
        course, final, norms, typical = axes
        accuracy, accuracy_course, norm, norm_course = self.tables
        grey = {"color": "0.6", "linewidth": 2.6, "zorder": 0}
        for schedule in ("none", "adaptive"):
            line = grey | {
                "linestyle": LINES[schedule],
                "label": f"published, {SCHEDULES[schedule]}",
            }
            x, chosen = "delay_steps", {"flossing": schedule}
            final.plot(*published.curve(accuracy, x, "accuracy_percent", **chosen).T, **line)
            typical.plot(*published.curve(norm, x, "log10_gradient_norm", **chosen).T, **line)
            if self.shown_delay == 18:
                curve = published.curve(norm_course, "epoch", "log10_gradient_norm", **chosen)
                norms.plot(*curve.T, **line)
        if self.shown_delay == 18:
            chosen = {"flossing": "adaptive", "realisation": "median"}
            curve = published.curve(accuracy_course, "epoch", "accuracy_percent", **chosen)
            course.plot(*curve.T, **grey)


def lost(part: xr.Dataset) -> float:
    """How many networks fell from 90 % below 80 %, or had a gradient that was not finite; NaN if unknown."""
    best, last, bad = (
        part[name].values for name in ("best_accuracy", "last_accuracy", "non_finite_gradients")
    )
    if not np.isfinite(best + last + bad).all():
        return np.nan
    return int(((best >= 0.9) & (last < 0.8)).sum() + (bad > 0).sum())
