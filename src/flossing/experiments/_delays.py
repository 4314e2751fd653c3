"""Accuracy against delay, with and without flossing: what xor, copy and parity have in common."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from scipy.stats import binomtest

from ..cells import CellSpec, TanhSpec
from ..floss import Schedule
from ..optimisers import Adam
from ..runs import RunConfig, epochs_to
from ..runs.plots import COLOURS, style
from ..tasks import Task
from ._result import Claim, Result
from ._runs import Outcome, Reporters, do_runs

SOLVED = 0.95
"""Held-out accuracy from which a network counts as successful."""
_NAMES = {
    "none": "not flossed",
    "before": "before training",
    "phases": "before and between",
    "adaptive": "adaptive",
}
_COMPLETE = "adaptive,k=N"


@dataclasses.dataclass(frozen=True)
class Delays:
    """What may be varied."""

    task: str
    """Name of the task: xor, copy, parity."""
    delays: tuple[int, ...] = ()
    """Of the networks of ``hidden_size`` units, with every schedule."""
    cell: CellSpec = TanhSpec()
    """Which networks; their size is ``hidden_size``."""
    hidden_size: int = 80
    larger: tuple[tuple[int, int], ...] = ()
    """Other (units, delay), with the adaptive schedule only."""
    complete: tuple[tuple[int, int], ...] = ()
    """(Units, delay) of networks whose exponents are all flossed, k = N; adaptive schedule only."""
    left_out: int = 5
    """How many of the last exponents are not flossed elsewhere: k = N - 5, as published."""
    schedules: tuple[str, ...] = ("none", "before", "adaptive", "phases")
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

    def runs(self) -> dict[str, RunConfig]:
        """All runs by name."""
        grid = [(self.hidden_size, d, s) for s in self.schedules for d in self.delays]
        found = {f"N={n},d={d},{s}": self._run(n, d, s, self.left_out) for n, d, s in grid}
        for n, d in self.larger:
            found[f"N={n},d={d},adaptive"] = self._run(n, d, "adaptive", self.left_out)
        for n, d in self.complete:
            found[f"N={n},d={d},{_COMPLETE}"] = self._run(n, d, "adaptive", 0)
        return found

    def _run(self, units: int, delay: int, schedule: str, left_out: int) -> RunConfig:
        larger = max(1.0, units / 80)
        rate = self.learning_rate / larger
        return RunConfig(
            task=Task.members[self.task](delay),
            cell=dataclasses.replace(self.cell, hidden_size=units),
            schedule=self._schedule(schedule, max(1, units - left_out)),
            optimiser=Adam(learning_rate=rate, final_learning_rate=rate / 20),
            epochs=self.epochs,
            batch_size=round(self.batch_size * larger),
            realisations=self.networks,
            seed=self.seed,
            measure_every=None,
        )

    def _schedule(self, name: str, num_exponents: int) -> Schedule | None:
        if name == "none":
            return None
        more = {"max_times": 10, "steps_between": 20} if name == "phases" else {}
        return Schedule.members[name](
            num_exponents=num_exponents,
            targets=(self.target,),
            steps_before=self.steps_before,
            **more,
        )


def summary(outcome: Outcome) -> dict[str, Any]:
    """What the figure and the verdict need of a run; lists have one entry per network."""
    data = outcome.data
    accuracy = data["accuracy"].values
    sums = np.cumsum(np.concatenate([np.zeros((1, accuracy.shape[1])), accuracy]), axis=0)
    tested = data["test_accuracy"].values
    solved = int((tested >= SOLVED).sum())
    interval = binomtest(solved, len(tested)).proportion_ci(method="wilson")
    with np.errstate(divide="ignore"):
        logs = np.log10(data["gradient_norm"].values)
    return {
        "test_accuracy": tested.round(4).tolist(),
        "best_accuracy_of_10_epochs": ((sums[10:] - sums[:-10]) / 10).max(0).round(4).tolist(),
        "epochs_to_95": epochs_to(accuracy),
        "solved": solved,
        "success_rate_interval": [round(interval.low, 3), round(interval.high, 3)],
        "log10_gradient_norm_first_epochs": np.median(logs[:10], 0).round(2).tolist(),
        "first_exponent_start": data["exponents"].values[0, :, 0].round(4).tolist(),
        "first_exponent_end": data["exponents"].values[-1, :, 0].round(4).tolist(),
        "flossing_steps_during_training": _between(data),
        "median_accuracy_every_100_epochs": np.median(smooth_hundred(accuracy), 1)
        .round(4)
        .tolist(),
        "wall_seconds": round(outcome.seconds, 1),
    }


def _between(data: xr.Dataset) -> list[int]:
    """Flossing steps of each network after training began."""
    if "floss_steps" in data:
        return data["floss_steps"].values.sum(0).tolist()
    steps = int((data["flossing_epoch"].values > 0).sum()) if "flossing_epoch" in data else 0
    return [steps] * data.sizes["realisation"]


def smooth_hundred(accuracy: np.ndarray) -> np.ndarray:
    """Means over whole hundreds of epochs (over all, if there are fewer), shape (parts, networks)."""
    width = min(100, len(accuracy))
    whole = len(accuracy) // width
    return accuracy[: whole * width].reshape(whole, width, -1).mean(1)


def largest_solved(numbers: dict[str, Any], units: int, schedule: str, among: Sequence[int]) -> int:
    """The largest delay whose median held-out accuracy is 95 % or more; 0 if there is none."""
    solved = [
        d
        for d in among
        if np.median(numbers[f"N={units},d={d},{schedule}"]["test_accuracy"]) >= SOLVED
    ]
    return max(solved, default=0)


def remembers_longer(settings: Delays, numbers: dict[str, Any]) -> list[Claim]:
    """Adaptively flossed networks solve longer delays than networks that are not flossed."""
    n = settings.hidden_size
    best = {s: largest_solved(numbers, n, s, settings.delays) for s in settings.schedules}
    text = f"N = {n}: largest d with median at 95 %"
    return [
        Claim(f"{text}, adaptive", best["adaptive"], best["none"], below=False),
        Claim(f"{text}, not flossed", best["none"], best["adaptive"]),
    ]


def reproduce(
    name: str,
    title: str,
    settings: Delays,
    claims: Callable[[Delays, dict[str, Any]], list[Claim]],
    folder: Path | None,
    reporters: Reporters | None,
) -> Result:
    """Does the runs and puts them together.

    Args:
        name, title: of the experiment.
        settings: what to do.
        claims: makes the claims from the settings and the summaries by name of the run.
        folder, reporters: see ``do_runs``.
    """
    outcomes = do_runs(settings.runs(), folder, reporters)
    numbers = {run: summary(outcome) for run, outcome in outcomes.items()}
    return Result(
        name=name,
        title=title,
        source="Engelken 2023 (gradient flossing)",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=claims(settings, numbers),
        figure=_figure(numbers, settings, title),
    )


def _figure(numbers: dict[str, Any], settings: Delays, title: str) -> Figure:
    sizes = sorted({n for n, _ in settings.larger + settings.complete} | {settings.hidden_size})
    with style():
        if len(sizes) > 1:
            figure = Figure(figsize=(8.5, 6.2), layout="constrained")
            axes = figure.subplots(2, 2).ravel()
            _solved_against_size(axes[3], numbers, settings, sizes)
        else:
            figure = Figure(figsize=(11, 3.3), layout="constrained")
            axes = figure.subplots(1, 3)
        by_schedule = {
            s: [numbers[f"N={settings.hidden_size},d={d},{s}"] for d in settings.delays]
            for s in settings.schedules
        }
        accuracy_panel(axes[0], settings.delays, by_schedule)
        for rows, colour, shift in zip(
            by_schedule.values(), COLOURS, _shifts(settings.schedules), strict=False
        ):
            where = np.array(settings.delays) + shift
            rate = np.array([row["solved"] for row in rows]) / settings.networks
            bounds = np.array([row["success_rate_interval"] for row in rows])
            if rows:
                axes[1].errorbar(
                    where, 100 * rate, 100 * np.abs(bounds.T - rate), color=colour, capsize=2,
                    linewidth=1.4, elinewidth=0.8,
                )  # fmt: skip
            _epochs(axes[2], where, [row["epochs_to_95"] for row in rows], colour)
        axes[0].set_title(f"N = {settings.hidden_size}; line: median of {settings.networks}")
        axes[0].legend(loc="lower left", fontsize=7)
        axes[1].set(
            xlabel="delay d (steps)", ylabel="networks at 95 % (%), 95 % interval", ylim=(-4, 104),
            title="success",
        )  # fmt: skip
        axes[2].set(
            xlabel="delay d (steps)", ylabel="epochs to 95 %", yscale="log",
            ylim=(8, 1.3 * settings.epochs), title="convergence; line: median of all networks",
        )  # fmt: skip
        for axis in axes[:3]:
            axis.set_xticks(settings.delays)
        figure.suptitle(title, fontsize=10)
    return figure


def _epochs(axis: Any, where: np.ndarray, epochs: list[list[int | None]], colour: str) -> None:
    """Epochs to 95 % of the networks that reached it; a median where at least half of them did."""
    known = [[e for e in found if e is not None] for found in epochs]
    for x, values in zip(where, known, strict=True):
        axis.plot(np.full(len(values), x), values, "o", color=colour, markersize=3, alpha=0.5)
    medians = [
        np.median([np.inf if e is None else e for e in found]) if found else np.inf
        for found in epochs
    ]
    axis.plot(where, np.where(np.isfinite(medians), medians, np.nan), color=colour)


def accuracy_panel(
    axis: Any, delays: Sequence[int], by_schedule: dict[Any, list[dict[str, Any]]]
) -> None:
    """Held-out accuracy against delay: single networks and their median, a colour for each schedule.

    Args:
        axis: where to draw.
        delays: in steps.
        by_schedule: for each schedule, the summaries of its runs, one for each delay.
    """
    schedules = list(by_schedule)
    for schedule, colour, shift in zip(schedules, COLOURS, _shifts(schedules), strict=False):
        where = np.array(delays) + shift
        accuracy = [100 * np.array(row["test_accuracy"]) for row in by_schedule[schedule]]
        if accuracy:
            axis.plot(where, np.array(accuracy), "o", color=colour, markersize=3, alpha=0.5)
            axis.plot(where, np.median(accuracy, 1), color=colour, label=_NAMES[schedule])
    axis.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(xlabel="delay d (steps)", ylabel="held-out accuracy (%)", ylim=(45, 102))


def _shifts(schedules: Sequence[Any]) -> np.ndarray:
    return np.linspace(-0.6, 0.6, len(schedules))


def _solved_against_size(
    axis: Any, numbers: dict[str, Any], settings: Delays, sizes: list[int]
) -> None:
    """The largest solved delay, and the smallest one that was tried beyond it."""
    usual = settings.larger + tuple((settings.hidden_size, d) for d in settings.delays)
    kinds = [("adaptive", usual, COLOURS[2], 0.0, f"k = N - {settings.left_out}")]
    if settings.complete:
        kinds.append((_COMPLETE, settings.complete, COLOURS[0], 2.5, "k = N"))
    for name, pairs, colour, shift, label in kinds:
        points: dict[str, list[tuple[float, int]]] = {"o": [], "x": []}
        for n in sizes:
            tried = sorted(d for m, d in pairs if m == n)
            best = largest_solved(numbers, n, name, tried)
            if best:
                points["o"].append((n + shift, best))
            points["x"] += [(n + shift, d) for d in tried if d > best][:1]
        for marker, what in (("o", "largest solved"), ("x", "smallest not solved")):
            if points[marker]:
                where = np.array(points[marker]).T
                axis.plot(*where, marker, color=colour, label=f"{label}: {what}")
    axis.plot([0, max(sizes) * 1.05], [0, max(sizes) * 1.05], ":", color="0.5", label="d = N")
    axis.set(xlabel="units N", ylabel="delay d (steps)", title="adaptive: median at 95 % or more")
    axis.legend(loc="upper left", fontsize=7)
