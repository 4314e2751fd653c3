"""Flossing against other remedies for vanishing gradients, at equal epochs and at equal wall time.

Every method trains networks of the same size on the same data with the same optimiser and rate, for the same
number of epochs. Time is that of the blocks of a run, flossing before training included, compilation
excluded; all methods get the time that the plain network with clipped gradients needs for all its
epochs. A faster one is not trained for longer. Rates and other settings are not tuned for any method, and
gated networks have three or four times as many parameters.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np

from ...runs import RunConfig, epochs_to
from ...runs.clock import Block, read_clock
from ...runs.plots import smooth
from ..lab.claims import Claim, Result
from ..lab.runs import Outcome, Reporters, do_runs
from .baselines_figure import figure
from .methods import METHODS, Settings

QUICK = Settings(
    methods=("clipping", "orthogonal", "identity", "linear", "gru", "penalty", "adaptive"),
    delay=20,
    hidden_size=32,
    networks=2,
    epochs=300,
    steps_before=50,
)
_NEAR = 0.005
"""Accuracies this close count as equal."""


def run(
    quick: bool = False,
    settings: Settings | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has seven methods, two small networks each, 300 epochs."""
    settings = settings or (QUICK if quick else Settings())
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            return run(quick, settings, Path(temporary), reporters)
    outcomes = do_runs(settings.runs(), folder, reporters, timed=True)
    clocks = {name: read_clock(folder / name) for name in outcomes}
    curves = {name: learning_curve(o, clocks[name], settings) for name, o in outcomes.items()}
    reference = "clipping" if "clipping" in curves else settings.methods[0]
    budgets = {kind: float(curves[reference][kind][-1]) for kind in ("wall", "processor")}
    numbers = {
        name: summary(outcome, curves[name], budgets, settings)
        for name, outcome in outcomes.items()
    }
    claims, better = _verdict(numbers, settings)
    return Result(
        name="baselines",
        title=f"flossing and other remedies, {settings.task}, d = {settings.delay}",
        source="Pascanu et al. 2013, Le et al. 2015, Tallec & Ollivier 2018, Orvieto et al. 2023",
        settings=dataclasses.asdict(settings),
        numbers={
            "budget_wall_seconds": round(budgets["wall"], 4),
            "budget_processor_seconds": round(budgets["processor"], 4),
            "better_than_adaptive_flossing": better,
            "methods": numbers,
        },
        claims=claims,
        figure=figure(numbers, curves, budgets["wall"], better, settings),
    )


def learning_curve(
    outcome: Outcome, clock: list[Block], settings: Settings
) -> dict[str, np.ndarray]:
    """Accuracy on fresh batches and the seconds passed after each epoch.

    Returns:
        ``accuracy``, mean of the last ``averaged`` epochs, shape (epochs, networks), and ``wall`` and
        ``processor``, shape (epochs,).
    """
    accuracy = smooth(outcome.data["accuracy"].values, settings.averaged)
    times = {}
    for kind in ("wall", "processor"):
        before = sum(getattr(b, f"{kind}_seconds") for b in clock if b.kind == "flossing")
        each = [
            np.full(b.count, getattr(b, f"{kind}_seconds") / b.count)
            for b in clock
            if b.kind == "training"
        ]
        times[kind] = before + np.cumsum(np.concatenate(each))
    return {"accuracy": accuracy, **times}


def accuracy_at(curve: dict[str, np.ndarray], kind: str, budget: float) -> np.ndarray:
    """Accuracy of each network when so many seconds are over: chance before the first epoch."""
    if budget < curve[kind][0]:
        return np.full(curve["accuracy"].shape[1], 0.5)
    return np.array([np.interp(budget, curve[kind], column) for column in curve["accuracy"].T])


def summary(
    outcome: Outcome,
    curve: dict[str, np.ndarray],
    budgets: dict[str, float],
    settings: Settings,
) -> dict[str, Any]:
    """What the figure and the verdict need of a method; lists have one entry per network."""
    data, wall = outcome.data, curve["wall"]
    epochs = epochs_to(data["accuracy"].values)
    first = min(settings.averaged, len(wall)) - 1
    equal = {k: accuracy_at(curve, k, b) for k, b in budgets.items()}
    shown = np.unique(np.linspace(0, len(wall) - 1, 61).astype(int))
    lists = {
        "last_accuracy": data["test_accuracy"].values,
        "best_accuracy": curve["accuracy"][first:].max(0),
        "accuracy_at_equal_wall_time": equal["wall"],
        "accuracy_at_equal_processor_time": equal["processor"],
    }
    return {
        **{name: np.round(values, 4).tolist() for name, values in lists.items()},
        **{f"median_{name}": round(float(np.median(v)), 4) for name, v in lists.items()},
        **{
            f"spread_{name}": np.round([np.min(v), np.max(v)], 4).tolist()
            for name, v in lists.items()
        },
        "epochs_to_95": epochs,
        "wall_seconds_to_95": [None if e is None else round(float(wall[e]), 2) for e in epochs],
        "wall_seconds": round(float(wall[-1]), 4),
        "processor_seconds": round(float(curve["processor"][-1]), 4),
        "parameters_of_a_network": _parameters(outcome.config),
        "first_exponent_start": _plain(data["exponents"].values[0, :, 0]),
        "first_exponent_end": _plain(data["exponents"].values[-1, :, 0]),
        "skipped_updates": data["skipped"].values.sum(0).tolist(),
        "epochs_shown": shown.tolist(),
        "median_accuracy_shown": np.median(curve["accuracy"][shown], 1).round(4).tolist(),
        "wall_seconds_shown": wall[shown].round(4).tolist(),
    }


def _plain(exponents: np.ndarray) -> list[float | None]:
    """Numbers for JSON; ``None`` for a lost direction."""
    return [round(float(x), 4) if np.isfinite(x) else None for x in exponents]


def _parameters(config: RunConfig) -> int:
    networks = eqx.filter_eval_shape(config.networks)
    return sum(x.size for x in jax.tree.leaves(networks)) // config.realisations


def _verdict(
    numbers: dict[str, Any], settings: Settings
) -> tuple[list[Claim], dict[str, list[str]]]:
    """Adaptive flossing against the best of the others, and who is better, by measure."""
    if "adaptive" not in numbers:
        return [], {}
    measures = {
        "equal epochs, last": "median_last_accuracy",
        "equal epochs, best": "median_best_accuracy",
        "equal wall time": "median_accuracy_at_equal_wall_time",
    }
    others = [name for name in settings.methods if name not in ("adaptive", "before")]
    claims, better = [], {}
    for text, key in measures.items():
        ours = numbers["adaptive"][key]
        better[text] = [name for name in others if numbers[name][key] > ours + _NEAR]
        best = max(others, key=lambda name: numbers[name][key])
        words = f"{text}: median accuracy, adaptive flossing (best of the others: {METHODS[best].label})"
        claims.append(Claim(words, ours, numbers[best][key] - _NEAR, below=False))
    speed = {name: _median_time(numbers[name]["wall_seconds_to_95"]) for name in numbers}
    better["wall time to 95 %"] = [n for n in others if speed[n] < speed["adaptive"]]
    best = min(others, key=lambda name: speed[name])
    if np.isfinite(speed["adaptive"]):
        limit = speed[best] if np.isfinite(speed[best]) else 10 * speed["adaptive"]
        words = (
            f"median wall seconds to 95 %, adaptive flossing (fastest other: {METHODS[best].label})"
        )
        claims.append(Claim(words, speed["adaptive"], limit))
    return claims, better


def _median_time(seconds: list[float | None]) -> float:
    """Median over networks; infinite when half of them never got there."""
    return float(np.median([np.inf if s is None else s for s in seconds]))
