"""How well and how fast networks learn: what training runs of all kinds keep, and its panel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import binomtest

from ...cells import CellSpec
from ...floss import Schedule
from ...optimisers import Adam
from ...plots import COLOURS
from ...runs import RunConfig, RunResult, epochs_to
from ...runs.clock import read_clock
from ...tasks import Task

SOLVED = 0.95
"""Held-out accuracy from which a network counts as successful."""


def training_run(
    task: Task,
    cell: CellSpec,
    schedule: Schedule | None,
    *,
    learning_rate: float,
    epochs: int,
    networks: int,
    batch_size: int = 16,
    seed: int,
) -> RunConfig:
    """A run whose learning rate falls along a cosine to a twentieth, measured at start and end alone."""
    return RunConfig(
        task=task,
        cell=cell,
        schedule=schedule,
        optimiser=Adam(learning_rate=learning_rate, final_learning_rate=learning_rate / 20),
        epochs=epochs,
        batch_size=batch_size,
        realisations=networks,
        seed=seed,
        measure_every=None,
    )


def learned(outcome: RunResult) -> xr.Dataset:
    """What is kept of a training run.

    Returns:
        By ``network``: ``test_accuracy``; ``best_accuracy``, of ten epochs in a row; ``epochs_to_95``, NaN
        for never; ``log10_gradient_norm``, median of the first ten epochs; ``first_exponent_start`` and
        ``first_exponent_end``, nats per step; ``flossing_steps`` after training began. ``wall_seconds`` and
        ``processor_seconds`` of all blocks.
    """
    data = outcome.data
    accuracy = data["accuracy"].values
    sums = np.cumsum(np.concatenate([np.zeros((1, accuracy.shape[1])), accuracy]), axis=0)
    with np.errstate(divide="ignore"):
        logs = np.log10(data["gradient_norm"].values)
    reached = [np.nan if epoch is None else epoch for epoch in epochs_to(accuracy)]
    blocks = read_clock(outcome.directory) if outcome.directory else []
    by_network = {
        "test_accuracy": data["test_accuracy"].values,
        "best_accuracy": ((sums[10:] - sums[:-10]) / 10).max(0),
        "epochs_to_95": np.array(reached, float),
        "log10_gradient_norm": np.median(logs[:10], 0),
        "first_exponent_start": data["exponents"].values[0, :, 0],
        "first_exponent_end": data["exponents"].values[-1, :, 0],
        "flossing_steps": _between(data),
    }
    return xr.Dataset(
        {name: ("network", values) for name, values in by_network.items()}
        | {
            "wall_seconds": sum(block.wall_seconds for block in blocks),
            "processor_seconds": sum(block.processor_seconds for block in blocks),
        }
    )


def _between(data: xr.Dataset) -> np.ndarray:
    """Flossing steps of each network after training began."""
    if "floss_steps" in data:
        return data["floss_steps"].values.sum(0)
    steps = int((data["flossing_epoch"].values > 0).sum()) if "flossing_epoch" in data else 0
    return np.full(data.sizes["realisation"], steps)


def solved(part: xr.Dataset) -> float:
    """How many networks reach 95 % on held-out trials; NaN if the accuracy of one is not known."""
    accuracy = part["test_accuracy"].values
    return np.nan if np.isnan(accuracy).any() else int((accuracy >= SOLVED).sum())


def success_rate(part: xr.Dataset) -> tuple[float, float, float]:
    """The share of networks that reach 95 %, and Wilson's 95 % interval around it."""
    count, total = solved(part), part.sizes["network"]
    interval = binomtest(int(count), total).proportion_ci(method="wilson")
    return count / total, interval.low, interval.high


def accuracy_panel(
    axis: Any, curves: Mapping[str, Mapping[int, xr.Dataset]], words: Mapping[str, str]
) -> None:
    """Held-out accuracy against delay: single networks and their median, a colour for each curve.

    Args:
        axis: where to draw.
        curves: for each, what was learned by delay in steps.
        words: the name of each curve in the legend.
    """
    for (name, parts), colour, shift in zip(curves.items(), COLOURS, shifts(curves), strict=False):
        if parts:
            where = np.array(list(parts)) + shift
            accuracy = 100 * np.array([part["test_accuracy"].values for part in parts.values()])
            axis.plot(where, accuracy, "o", color=colour, markersize=3, alpha=0.5)
            axis.plot(where, np.median(accuracy, 1), color=colour, label=words[name])
    axis.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(xlabel="delay d (steps)", ylabel="held-out accuracy (%)", ylim=(45, 102))


def shifts(curves: Sequence[Any] | Mapping[Any, Any]) -> np.ndarray:
    """Small distances along the axis of delays that keep curves apart."""
    return np.linspace(-0.6, 0.6, len(curves))
