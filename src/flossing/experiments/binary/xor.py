"""Delayed XOR with binary networks, with and without surrogate flossing (Engelken & Abbott 2024).

The published adaptive schedule is not described in public. Ours holds the level of the surrogate
exponents by scaling the heights of the surrogate derivatives, which leaves the activity of the network
as it is, and in two kinds of networks keeps the other exponents up by flossing steps of the weights.

Within a kind, networks have the same weights, data and training with and without flossing. Networks with
Gaussian weights forget a bit within five steps, whatever their exponents, so two kinds start as a ring
of delay lines. In one Gaussian input weights cut the ring at random places, in the other strong ones at
equal distances: it learns longer delays.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...runs import RunConfig
from ...runs.plots import COLOURS, smooth, smooth_nan, style
from ..lab.claims import Claim, Result
from ..lab.published import rows
from ..lab.runs import Outcome, Reporters, do_runs
from .kinds import KINDS, VARIANTS


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    delays: tuple[int, ...] = (10, 14, 18, 22, 26)
    gaussian_delays: tuple[int, ...] = (14, 18)
    """Delays of Gaussian networks, which are the slowest to train."""
    longer: tuple[int, ...] = (34, 42)
    """Delays of lines of equal length alone."""
    before_delays: tuple[int, ...] = (14, 18, 22, 26)
    """Delays of lines that are flossed before training alone."""
    shown_delay: int = 18
    """Whose course of training is shown."""
    variants: tuple[str, ...] = tuple(VARIANTS)
    hidden_size: int = 80
    networks: int = 9
    epochs: int = 3001
    seed: int = 1

    def delays_of(self, variant: str) -> tuple[int, ...]:
        """Those that networks of this kind are trained on."""
        kind, schedule = variant.split(",")
        if kind == "gaussian":
            return self.gaussian_delays
        if schedule == "before":
            return self.before_delays
        return self.delays if kind == "ring" else self.delays + self.longer

    def run(self, delay: int, variant: str) -> RunConfig:
        """One of the runs."""
        kind, schedule = variant.split(",")
        kept = KINDS[kind]
        kept = dataclasses.replace(
            kept, cell=dataclasses.replace(kept.cell, hidden_size=self.hidden_size)
        )
        return kept.run(delay, schedule, self.epochs, self.networks, self.seed)


QUICK = Settings(
    delays=(4, 8), gaussian_delays=(8,), longer=(), shown_delay=8, variants=tuple(VARIANTS)[:4],
    hidden_size=32, networks=3, epochs=200,
)  # fmt: skip


def run(
    quick: bool = False,
    settings: Settings | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has three small networks of two kinds, 200 epochs."""
    settings = settings or (QUICK if quick else Settings())
    configs = {
        f"d={d},{v}": settings.run(d, v) for v in settings.variants for d in settings.delays_of(v)
    }
    outcomes = do_runs(configs, folder, reporters)
    numbers = {name: _summary(outcome) for name, outcome in outcomes.items()}
    return Result(
        name="binary-xor",
        title="delayed XOR, binary networks",
        source="Engelken & Abbott 2024 (surrogate gradient flossing), curves read from the figures",
        settings=dataclasses.asdict(settings)
        | {"kinds": {name: dataclasses.asdict(kind) for name, kind in KINDS.items()}},
        numbers=numbers,
        claims=_claims(numbers, settings),
        figure=_figure(outcomes, numbers, settings),
    )


def _summary(outcome: Outcome) -> dict[str, Any]:
    """Numbers of a run, one per network in the lists; gradient norms are log10 |dL/dh_0|."""
    data = outcome.data
    accuracy = smooth(data["accuracy"].values, 10)
    norms = data["gradient_norm"].values
    with np.errstate(divide="ignore"):
        logs = np.log10(np.where(np.isfinite(norms), norms, np.nan))
    learned = accuracy.max(0) >= 0.9
    return {
        "test_accuracy": data["test_accuracy"].values.round(4).tolist(),
        "last_epochs_accuracy": accuracy[-1].round(4).tolist(),
        "best_epochs_accuracy": accuracy.max(0).round(4).tolist(),
        "log10_gradient_norm_first": np.nanmedian(logs[:10], 0).round(2).tolist(),
        "log10_gradient_norm_median": np.nanmedian(logs, 0).round(2).tolist(),
        "epochs_with_non_finite_gradient": data["skipped"].values.sum(0).tolist(),
        "collapsed_after_90_percent": int((learned & (accuracy[-1] < 0.8)).sum()),
        "first_exponent_end": data["exponents"].values[-1, :, 0].round(4).tolist(),
        "wall_seconds": round(outcome.seconds, 1),
    }


def _published(name: str, y: str, **chosen: str) -> np.ndarray:
    """A published curve, shape (points, 2); some points are listed twice."""
    found = [r for r in rows(name) if all(r[column] == v for column, v in chosen.items())]
    x = "delay_steps" if "delay_steps" in found[0] else "epoch"
    return np.unique([(float(r[x]), float(r[y])) for r in found], axis=0)


def _claims(numbers: dict[str, Any], settings: Settings) -> list[Claim]:
    return [
        claim
        for kind, values in KINDS.items()
        for claim in (
            *_accuracies(numbers, settings, kind, values.name),
            *_gradients(numbers, settings, kind, values.name),
        )
    ]


def _accuracies(
    numbers: dict[str, Any], settings: Settings, kind: str, name: str
) -> Iterator[Claim]:
    """Against the published means, and the medians that we want at long delays."""
    for schedule in ("none", "adaptive"):
        flossed = schedule == "adaptive"
        statistic = "best" if flossed else "last"
        curve = _published("binary_xor_accuracy_vs_delay", "accuracy_percent", flossing=schedule)
        known = {int(d): a / 100 for d, a in curve}
        for d in settings.delays_of(f"{kind},{schedule}"):
            if (run := f"d={d},{kind},{schedule}") not in numbers or d not in known:
                continue
            mean = float(np.mean(numbers[run][f"{statistic}_epochs_accuracy"]))
            high = known[d] > 0.9
            limit = known[d] - 0.005 if flossed else 0.99 if high else 0.55
            text = f"d = {d}: mean {statistic} accuracy, {VARIANTS[run.split(',', 1)[1]]}"
            yield Claim(text, mean, limit, known[d], below=not (flossed or high))
    for d, wanted in ((22, 0.95), (26, 0.9)):
        if (run := f"d={d},{kind},adaptive") in numbers:
            median = float(np.median(numbers[run]["test_accuracy"]))
            yield Claim(f"d = {d}: median held-out accuracy, {name}", median, wanted, below=False)


def _gradients(
    numbers: dict[str, Any], settings: Settings, kind: str, name: str
) -> Iterator[Claim]:
    """How far apart they are with and without flossing, and that none is lost."""
    shown = settings.shown_delay
    pair = [f"d={shown},{kind},{schedule}" for schedule in ("adaptive", "none")]
    if shown >= 18 and all(run in numbers for run in pair):
        high, low = (float(np.median(numbers[run]["log10_gradient_norm_median"])) for run in pair)
        text = f"d = {shown}: decades between gradient norms, adaptive and not flossed, {name}"
        yield Claim(text, high - low, 5.0, below=False)
    variant = f"{kind},adaptive"
    flossed = [run for d in settings.delays_of(variant) if (run := f"d={d},{variant}") in numbers]
    if flossed:
        lost = sum(
            numbers[run]["collapsed_after_90_percent"]
            + sum(n > 0 for n in numbers[run]["epochs_with_non_finite_gradient"])
            for run in flossed
        )
        text = f"networks that collapsed or had a non-finite gradient, adaptive, {name}"
        yield Claim(text, lost, 1)


def _figure(outcomes: dict[str, Outcome], numbers: dict[str, Any], settings: Settings) -> Figure:
    with style():
        figure = Figure(figsize=(10.5, 6), layout="constrained")
        (course, final), (norms, first) = figure.subplots(2, 2)
        _course(course, outcomes, settings, "accuracy", lambda x: 100 * smooth(x, 10))
        _course(norms, outcomes, settings, "gradient_norm", _logs)
        grey = {"color": "0.6", "linewidth": 2.6, "zorder": 0}
        for schedule in ("none", "adaptive"):
            line = "--" if schedule == "none" else "-"
            chosen = {"flossing": schedule}
            if settings.shown_delay == 18:
                curve = _published(
                    "binary_xor_gradient_norm_vs_epoch", "log10_gradient_norm", **chosen
                )
                norms.plot(*curve.T, line, **grey)
            curve = _published("binary_xor_accuracy_vs_delay", "accuracy_percent", **chosen)
            final.plot(
                *curve.T,
                line,
                **grey,
                label=f"published, {'not flossed' if schedule == 'none' else schedule}",
            )
            curve = _published("binary_xor_gradient_norm_vs_delay", "log10_gradient_norm", **chosen)
            first.plot(*curve.T, line, **grey)
        if settings.shown_delay == 18:
            name = "binary_xor_accuracy_vs_epoch"
            chosen = {"flossing": "adaptive", "realisation": "median"}
            course.plot(*_published(name, "accuracy_percent", **chosen).T, **grey)
        _against_delay(final, numbers, settings, "best_epochs_accuracy", 100)
        _against_delay(first, numbers, settings, "log10_gradient_norm_median", 1)
        final.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
        final.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1))
        for axis in (final, first):
            axis.set_xticks(settings.delays + settings.longer)
        final.set(xlabel="delay d (steps)", ylabel="best accuracy of 10 epochs (%)", ylim=(45, 102))
        first.set(
            xlabel="delay d (steps)", ylabel="log10 $|\\partial L/\\partial h_0|$, median epoch"
        )
        course.set(
            ylabel="accuracy (%)", xlabel="training epoch", title=f"d = {settings.shown_delay}"
        )
        norms.set(ylabel="log10 $|\\partial L/\\partial h_0|$", xlabel="training epoch")
    return figure


def _logs(norms: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logs = np.log10(np.where(np.isfinite(norms), norms, np.nan))
    return smooth_nan(np.where(np.isfinite(logs), logs, np.nan))


def _look(variant: str) -> dict[str, Any]:
    """A colour for each kind, dashed without flossing, dotted with flossing before training."""
    kind, schedule = variant.split(",")
    return {
        "color": COLOURS[list(KINDS).index(kind)],
        "linestyle": {"none": "--", "before": ":"}.get(schedule, "-"),
    }


def _course(
    axis: Any, outcomes: dict[str, Outcome], settings: Settings, variable: str, treat: Callable
) -> None:
    for variant in settings.variants:
        values = treat(outcomes[f"d={settings.shown_delay},{variant}"].data[variable].values)
        axis.plot(values, **_look(variant), linewidth=0.5, alpha=0.3)
        axis.plot(np.median(values, 1), **_look(variant), linewidth=1.6)


def _against_delay(
    axis: Any, numbers: dict[str, Any], settings: Settings, name: str, factor: float
) -> None:
    for i, variant in enumerate(settings.variants):
        delays = settings.delays_of(variant)
        values = factor * np.array([numbers[f"d={d},{variant}"][name] for d in delays])
        where, look = np.array(delays) + 0.2 * (i - 3), _look(variant)
        axis.plot(where, values, "o", color=look["color"], markersize=2, alpha=0.4)
        axis.plot(
            where, values.mean(1), marker="o", **look, markersize=3.5, label=VARIANTS[variant]
        )
