"""Figure of the experiment on delayed XOR and copy with spikes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...runs.plots import COLOURS, smooth, smooth_nan, style

NAMES = {
    "none": "not flossed",
    "before": "weights flossed before",
    "adaptive": "adaptive",
    "gentle": "gentle surrogate",
    "tuned": "steepness tuned",
    "clipped": "arrays clipped",
    "fluctuations": "fluctuation-driven",
    "thresholds": "adaptive thresholds",
    "thresholds, adaptive": "the same, flossed",
}
_MARKS = {"xor": ("o", "-", "XOR"), "copy": ("s", "--", "copy")}


def spiking_xor_figure(
    shown: Mapping[str, xr.Dataset],
    numbers: Mapping[str, dict[str, Any]],
    raster: Mapping[str, np.ndarray],
    settings: Any,
    solved: float,
) -> Figure:
    """Seven panels: accuracy, success and rates against delay, remedies, training, gradients, spikes.

    Args:
        shown: metrics by schedule of the task and delay whose training is shown.
        numbers: summaries of all runs by name.
        raster: one trial of a trained network.
        settings: those of the experiment.
        solved: accuracy from which a network is successful.
    """
    with style():
        figure = Figure(figsize=(13, 6.4), layout="constrained")
        (accuracy, success, rates, remedies), (course, norms, spikes, rest) = figure.subplots(2, 4)
        grid = spikes.get_gridspec()
        for axis in (spikes, rest):
            axis.remove()
        spikes = figure.add_subplot(grid[1, 2:])
        _against_delay(accuracy, success, rates, numbers, settings)
        _remedies(remedies, numbers, settings)
        accuracy.axhline(100 * solved, color="0.6", linewidth=0.8, linestyle=":")
        for (schedule, data), colour in zip(shown.items(), COLOURS, strict=False):
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.log10(data["gradient_norm"].values)
            logs = smooth_nan(np.where(np.isfinite(logs), logs, np.nan))
            for axis, values in (
                (course, 100 * smooth(data["accuracy"].values, 10)),
                (norms, logs),
            ):
                axis.plot(values, color=colour, linewidth=0.5, alpha=0.4)
                axis.plot(
                    np.nanmedian(values, 1), color=colour, linewidth=1.6, label=NAMES[schedule]
                )
        task, delay = settings.shown
        title = f"{_MARKS[task][2]}, delay {settings.milliseconds(delay):g} ms"
        course.set(xlabel="training epoch", ylabel="accuracy (%)", title=title, ylim=(45, 102))
        course.legend(loc="center right", fontsize=7, frameon=True, framealpha=0.9)
        norms.set(
            xlabel="training epoch", ylabel="log$_{10}$ $|\\partial L/\\partial h_0|$", title=title
        )
        _raster(spikes, raster, settings)
    return figure


def _against_delay(
    accuracy: Any, success: Any, rates: Any, numbers: Mapping[str, dict[str, Any]], settings: Any
) -> None:
    spread = np.linspace(-0.15, 0.15, len(settings.schedules)) * settings.milliseconds(1)
    for task, (mark, line, name) in _MARKS.items():
        delays = [d for t, d in settings.delays if t == task]
        if not delays:
            continue
        for schedule, colour, shift in zip(settings.schedules, COLOURS, spread, strict=False):
            rows = [numbers[f"{task},d={d},{schedule}"] for d in delays]
            x = np.array([settings.milliseconds(d) for d in delays]) + shift
            tested = 100 * np.array([row["test_accuracy"] for row in rows])
            label = f"{name}, {NAMES[schedule]}"
            accuracy.plot(x, tested, mark, color=colour, markersize=2.5, alpha=0.5)
            accuracy.plot(
                x, np.median(tested, 1), mark + line, color=colour, markersize=4, label=label
            )
            share = np.array([row["solved"] for row in rows]) / settings.networks
            bounds = np.array([row["success_rate_interval"] for row in rows])
            success.errorbar(
                x, 100 * share, 100 * np.abs(bounds.T - share), fmt=mark + line, color=colour,
                capsize=2, markersize=4, linewidth=1.3, elinewidth=0.8,
            )  # fmt: skip
            hertz = np.array([row["firing_rate"] for row in rows])
            rates.plot(x, hertz, mark, color=colour, markersize=2.5, alpha=0.7)
            rates.plot(x, hertz.mean(1), line, color=colour, linewidth=1.0)
    tau = settings.cell.membrane_time_constant
    for axis in (accuracy, success, rates):
        top = axis.secondary_xaxis("top", functions=(lambda x: x / tau, lambda x: x * tau))
        top.set_xlabel("delay / $\\tau_{mem}$")
        axis.set_xlabel("delay (ms)")
    accuracy.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
    accuracy.set(ylabel="held-out accuracy (%)", ylim=(45, 102))
    accuracy.legend(loc="best", fontsize=6)
    success.set(ylabel="networks at 95 % (%), 95 % interval", ylim=(-4, 104))
    rates.set(ylabel="mean firing rate (Hz)")
    rates.set_ylim(bottom=0)


def _remedies(axis: Any, numbers: Mapping[str, dict[str, Any]], settings: Any) -> None:
    """Held-out accuracy of every method at the delay that is shown."""
    task, delay = settings.shown
    methods = [*settings.schedules, *settings.remedies]
    for place, method in enumerate(methods):
        values = 100 * np.array(numbers[f"{task},d={delay},{method}"]["test_accuracy"])
        colour = COLOURS[2] if method.endswith("adaptive") else COLOURS[0]
        axis.plot(values, np.full(len(values), place), "o", color=colour, markersize=3, alpha=0.6)
        axis.plot([np.median(values)] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2)
    axis.set_yticks(range(len(methods)), [NAMES[m] for m in methods], fontsize=7)
    axis.invert_yaxis()
    axis.axvline(50, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(
        xlabel="held-out accuracy (%)",
        xlim=(20, 102),
        title=f"{_MARKS[task][2]}, delay {settings.milliseconds(delay):g} ms",
    )


def _raster(axis: Any, raster: Mapping[str, np.ndarray], settings: Any) -> None:
    """Input spikes below, network spikes above, a mark on top for every bin: right or wrong."""
    step, width = settings.cell.time_step, settings.milliseconds(1)
    below = raster["inputs"].shape[1]
    for values, offset, colour in (
        (raster["inputs"], 0, COLOURS[1]),
        (raster["spikes"], below + 3, "k"),
    ):
        time, unit = np.nonzero(values)
        axis.plot(
            time * step, unit + offset, "|", color=colour, markersize=1.6, markeredgewidth=0.5
        )
    right = (raster["outputs"][:, 0] > 0) == (raster["targets"][:, 0] > 0.5)
    top = below + 8 + raster["spikes"].shape[1]
    middle = width * (np.arange(len(right)) + 0.5)
    for good, mark, colour in ((True, ".", COLOURS[2]), (False, "x", "r")):
        chosen = raster["mask"] & (right == good)
        axis.plot(middle[chosen], np.full(chosen.sum(), top), mark, color=colour, markersize=3)
    axis.set(
        xlabel="time (ms)", ylabel="input, neuron", title="one trained network; top: answers",
        ylim=(-2, top + 5),
    )  # fmt: skip
    axis.set_yticks([below / 2, below + 3 + raster["spikes"].shape[1] / 2], ["inputs", "neurons"])
    axis.set_ylabel("")
