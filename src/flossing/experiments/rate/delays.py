"""Accuracy against delay on delayed XOR, copy and parity, with and without flossing (Engelken 2023)."""

import abc
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...cells import CellSpec, TanhSpec
from ...floss import Schedule
from ...plots import COLOURS, style
from ...runs import RunConfig
from ...tasks import Task
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment
from ..lab.learning import (
    SOLVED,
    accuracy_panel,
    learned,
    shifts,
    solved,
    success_rate,
    training_run,
)
from ..lab.published import Published

SCHEDULES = {
    "none": "not flossed",
    "before": "before training",
    "adaptive": "adaptive",
    "phases": "before and between",
}
"""Words for each schedule."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """Networks of one size that learn one delay under one schedule."""

    units: int
    delay: int
    schedule: str
    """Its name, ``"none"`` for no flossing."""
    num_exponents: int
    """How many are flossed."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delays(Experiment):
    """Accuracy against delay: networks of one size with all schedules, others with the adaptive one."""

    source = "Engelken 2023 (gradient flossing)"
    task: ClassVar[str]
    """Name of the task."""
    delays: tuple[int, ...]
    """Of the networks of ``hidden_size`` units, in steps."""
    larger: tuple[tuple[int, int], ...]
    """Other (units, delay), with the adaptive schedule only."""
    complete: tuple[tuple[int, int], ...] = ()
    """(Units, delay) of networks whose exponents are all flossed, k = N; adaptive schedule only."""
    cell: CellSpec = TanhSpec()
    """Which networks; their size is ``hidden_size``."""
    hidden_size: int = 80
    left_out: int = 5
    """How many of the last exponents are not flossed elsewhere: k = N - 5, as published."""
    schedules: tuple[str, ...] = tuple(SCHEDULES)
    """Names of schedules."""
    target: float = 0.0
    """Of the flossed exponents, nats per step."""
    networks: int = 9
    epochs: int = 3001
    learning_rate: float = 2e-3
    """Of training, at the first epoch, up to 80 units; larger networks have ``80 / units`` of it.

    It falls along a cosine to a twentieth.
    """
    batch_size: int = 16
    """Trials per epoch, up to 80 units; larger networks have ``units / 80`` times as many."""
    steps_before: int = 200
    seed: int = 1

    @classmethod
    def small(cls, **changes: Any) -> Self:
        """Three small networks and 300 epochs, with these settings changed."""
        small: dict[str, Any] = {
            "hidden_size": 32, "larger": (), "complete": (), "schedules": ("none", "adaptive"),
            "networks": 3, "epochs": 300, "steps_before": 100,
        }  # fmt: skip
        return cls(**small | changes)

    def case(self, units: int, delay: int, schedule: str, complete: bool = False) -> Trained:
        """Networks of the experiment."""
        k = units if complete else max(1, units - self.left_out)
        return Trained(units, delay, schedule, k if schedule != "none" else 0)

    def cases(self) -> dict[Trained, RunConfig]:
        """All runs."""
        usual = [
            self.case(self.hidden_size, d, schedule)
            for schedule in self.schedules
            for d in self.delays
        ]
        others = [self.case(n, d, "adaptive") for n, d in self.larger]
        complete = [self.case(n, d, "adaptive", True) for n, d in self.complete]
        return {case: self.run(case) for case in (*usual, *others, *complete)}

    def run(self, case: Trained) -> RunConfig:
        """The run of a case."""
        larger = max(1.0, case.units / 80)
        return training_run(
            Task.members[self.task](case.delay),
            dataclasses.replace(self.cell, hidden_size=case.units),
            self.schedule(case),
            learning_rate=self.learning_rate / larger,
            epochs=self.epochs,
            networks=self.networks,
            batch_size=round(self.batch_size * larger),
            seed=self.seed,
        )

    def schedule(self, case: Trained) -> Schedule | None:
        """When and how the networks of a case are flossed."""
        if case.schedule == "none":
            return None
        more = {"max_times": 10, "steps_between": 20} if case.schedule == "phases" else {}
        return Schedule.members[case.schedule](
            num_exponents=case.num_exponents,
            targets=(self.target,),
            steps_before=self.steps_before,
            **more,
        )

    def measure(self, case: Any, outcome: Any) -> xr.Dataset:
        """Accuracies, epochs to 95 %, exponents and gradients of each network."""
        return learned(outcome)

    def tried(self, units: int, schedule: str, complete: bool = False) -> list[int]:
        """The delays that networks of one size are trained on."""
        if complete:
            return sorted(d for n, d in self.complete if n == units)
        others = [d for n, d in self.larger if n == units] if schedule == "adaptive" else []
        return sorted({*others, *(self.delays if units == self.hidden_size else ())})

    def largest_solved(
        self, data: Data, units: int, schedule: str, complete: bool = False
    ) -> float:
        """The largest delay with a median accuracy of 95 % or more; 0 for none, NaN if one is unknown."""
        best = 0.0
        for d in self.tried(units, schedule, complete):
            median = float(np.median(data[self.case(units, d, schedule, complete)].test_accuracy))
            if np.isnan(median):
                return np.nan
            best = d if median >= SOLVED else best
        return best

    def figure(self, data: Data, published: Published) -> Figure:
        """Accuracy, success, epochs to 95 %, and the largest solved delay against size."""
        sizes = sorted({n for n, _ in self.larger + self.complete} | {self.hidden_size})
        with style():
            if len(sizes) > 1:
                figure = Figure(figsize=(8.5, 6.2), layout="constrained")
                axes = figure.subplots(2, 2).ravel()
                self._solved_against_size(axes[3], data, sizes)
            else:
                figure = Figure(figsize=(11, 3.3), layout="constrained")
                axes = figure.subplots(1, 3)
            curves = {
                s: {d: data[self.case(self.hidden_size, d, s)] for d in self.delays}
                for s in self.schedules
            }
            accuracy_panel(axes[0], curves, SCHEDULES)
            for parts, colour, shift in zip(curves.values(), COLOURS, shifts(curves), strict=False):
                where = np.array(self.delays) + shift
                _success(axes[1], where, parts, colour)
                _epochs(axes[2], where, parts, colour)
            axes[0].set_title(f"N = {self.hidden_size}; line: median of {self.networks}")
            axes[0].legend(loc="lower left", fontsize=7)
            axes[1].set(
                xlabel="delay d (steps)", ylabel="networks at 95 % (%), 95 % interval",
                ylim=(-4, 104), title="success",
            )  # fmt: skip
            axes[2].set(
                xlabel="delay d (steps)", ylabel="epochs to 95 %", yscale="log",
                ylim=(8, 1.3 * self.epochs), title="convergence; line: median of all networks",
            )  # fmt: skip
            for axis in axes[:3]:
                axis.set_xticks(self.delays)
            figure.suptitle(self.title, fontsize=10)
        return figure

    def _solved_against_size(self, axis: Any, data: Data, sizes: list[int]) -> None:
        """The largest solved delay, and the smallest one that was tried beyond it."""
        kinds = [(False, COLOURS[2], 0.0, f"k = N - {self.left_out}")]
        if self.complete:
            kinds.append((True, COLOURS[0], 2.5, "k = N"))
        for complete, colour, shift, label in kinds:
            points: dict[str, list[tuple[float, float]]] = {"o": [], "x": []}
            for n in sizes:
                best = self.largest_solved(data, n, "adaptive", complete)
                if best:
                    points["o"].append((n + shift, best))
                beyond = [d for d in self.tried(n, "adaptive", complete) if d > best]
                points["x"] += [(n + shift, d) for d in beyond[:1]]
            for marker, what in (("o", "largest solved"), ("x", "smallest not solved")):
                if points[marker]:
                    where = np.array(points[marker]).T
                    axis.plot(*where, marker, color=colour, label=f"{label}: {what}")
        axis.plot([0, max(sizes) * 1.05], [0, max(sizes) * 1.05], ":", color="0.5", label="d = N")
        axis.set(
            xlabel="units N", ylabel="delay d (steps)", title="adaptive: median at 95 % or more"
        )
        axis.legend(loc="upper left", fontsize=7)


@dataclasses.dataclass(frozen=True, kw_only=True)
class XOR(Delays):
    """Delayed XOR, until all fail.

    A network that works near a linear one of N units keeps at most about N bits, so that a delay of N steps
    is about the physical limit; the last panel compares it with the delays that adaptive flossing solves.
    """

    title = "delayed XOR: s[t - d/2] XOR s[t - d], tanh networks"
    shows = (
        "Networks that are not flossed fail at delays of half their number of units and more. Flossed "
        "adaptively, 80 units solve a delay of 70 steps."
    )
    task = "xor"
    delays: tuple[int, ...] = (20, 40, 60, 70, 80)
    larger: tuple[tuple[int, int], ...] = (
        (20, 10), (20, 16), (20, 20), (40, 30), (40, 36), (40, 40), (160, 120),
    )  # fmt: skip
    complete: tuple[tuple[int, int], ...] = ((40, 36), (40, 40), (80, 70), (80, 80))

    @classmethod
    def quick(cls) -> Self:
        """Three small networks, two delays, three schedules, 400 epochs."""
        return cls.small(delays=(10, 20), schedules=("none", "before", "adaptive"), epochs=400)

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Adaptive flossing succeeds up to three quarters of N; without flossing, half of N is too long."""
        n = self.hidden_size
        for d in self.delays:
            if "adaptive" in self.schedules and d <= 0.75 * n:
                lowest = data[self.case(n, d, "adaptive")].test_accuracy.min(skipna=False)
                text = f"d = {d}: lowest held-out accuracy of all networks, adaptive"
                yield Claim.at_least(text, float(lowest), 0.95)
        for d in self.delays:
            if "none" in self.schedules and d >= n / 2:
                text = f"d = {d}: networks at 95 %, not flossed"
                yield Claim.at_most(text, solved(data[self.case(n, d, "none")]), 0)
        for size, least in ((80, 70), (160, 120)):
            if self.tried(size, "adaptive"):
                best = self.largest_solved(data, size, "adaptive")
                text = f"N = {size}: largest d with median at 95 %, adaptive"
                yield Claim.at_least(text, best, least)


class _Longer(Delays, abc.ABC):
    """An experiment that claims no more than that flossed networks remember longer."""

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Adaptively flossed networks solve longer delays than networks that are not flossed."""
        n = self.hidden_size
        best = {s: self.largest_solved(data, n, s) for s in ("adaptive", "none")}
        text = (
            f"N = {n}: largest d with median at 95 %, adaptive over not flossed ({best['none']:g})"
        )
        yield Claim.at_least(text, best["adaptive"] - best["none"], 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copy(_Longer):
    """Copy of the bit ``d`` steps back."""

    title = "copy: s[t - d], tanh networks"
    shows = (
        "Networks that are not flossed copy a bit over 20 steps and not over 40. Flossed ones of 80 "
        "units copy it over nearly 80."
    )
    task = "copy"
    delays: tuple[int, ...] = (20, 40, 60, 80)
    larger: tuple[tuple[int, int], ...] = ((40, 36), (40, 40), (80, 100), (160, 120))
    complete: tuple[tuple[int, int], ...] = ((40, 40), (80, 80))

    @classmethod
    def quick(cls) -> Self:
        """Three small networks, one delay, 300 epochs."""
        return cls.small(delays=(20,))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parity(_Longer):
    """Parity of four bits, with exponents flossed to -0.1.

    Parity needs products of four bits. Networks whose exponents are all at zero are nearly linear and do not
    make them; exponents at -0.1 are slow enough to remember and leave room for a nonlinearity.
    """

    title = "parity of the bits at lags d/4, d/2, 3d/4, d, tanh networks"
    shows = (
        "Parity needs products of four bits and with them a nonlinearity. Flossed to -0.1 instead of 0, "
        "networks solve longer delays than those that are not flossed."
    )
    task = "parity"
    delays: tuple[int, ...] = (16, 20, 24, 28, 32, 36)
    larger: tuple[tuple[int, int], ...] = ((40, 12), (40, 16), (160, 28), (160, 36))
    target: float = -0.1

    @classmethod
    def quick(cls) -> Self:
        """Three small networks, one delay, 300 epochs."""
        return cls.small(delays=(4,), steps_before=50)


def _success(axis: Any, where: np.ndarray, parts: Mapping[int, xr.Dataset], colour: str) -> None:
    rate, low, high = 100 * np.array([success_rate(part) for part in parts.values()]).T
    axis.errorbar(
        where, rate, np.abs([rate - low, high - rate]), color=colour, capsize=2, linewidth=1.4,
        elinewidth=0.8,
    )  # fmt: skip


def _epochs(axis: Any, where: np.ndarray, parts: Mapping[int, xr.Dataset], colour: str) -> None:
    """Epochs to 95 % of the networks that reached it; a median where at least half of them did."""
    epochs = np.array([part["epochs_to_95"].values for part in parts.values()])
    axis.plot(where, epochs, "o", color=colour, markersize=3, alpha=0.5)
    medians = np.median(np.where(np.isnan(epochs), np.inf, epochs), axis=1)
    axis.plot(where, np.where(np.isfinite(medians), medians, np.nan), color=colour)
