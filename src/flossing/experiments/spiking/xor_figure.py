"""Figure of the experiment on delayed XOR and copy with spikes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, networks_and_median, style
from ..lab.learning import SOLVED, success_rate

METHODS = {
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
"""Words for each method."""
_MARKS = {"xor": ("o", "-", "XOR"), "copy": ("s", "--", "copy")}


def spiking_xor_figure(
    against: Mapping[tuple[str, str], Mapping[int, xr.Dataset]],
    shown: Mapping[str, xr.Dataset],
    settings: Any,
) -> Figure:
    """Seven panels: accuracy, success and rates against delay, remedies, training, gradients, spikes.

    Args:
        against: what networks learned, by task and schedule, then by delay in bins.
        shown: the same by method, of the task and delay whose training is shown.
        settings: the experiment.
    """
    task, delay = settings.shown
    title = f"{_MARKS[task][2]}, delay {settings.milliseconds(delay):g} ms"
    with style():
        figure = Figure(figsize=(13, 6.4), layout="constrained")
        (accuracy, success, rates, remedies), (course, norms, spikes, rest) = figure.subplots(2, 4)
        grid = spikes.get_gridspec()
        for axis in (spikes, rest):
            axis.remove()
        spikes = figure.add_subplot(grid[1, 2:])
        _against_delay(accuracy, success, rates, against, settings)
        _remedies(remedies, shown)
        remedies.set_title(title)
        for schedule, colour in zip(settings.schedules, COLOURS, strict=False):
            part, name = shown[schedule], METHODS[schedule]
            if "course" in part:
                networks_and_median(course, part["epoch"], 100 * part["course"].T, colour, name)
                logs = part["log10_gradient_course"].T
                networks_and_median(norms, part["epoch"], logs, colour, name)
        course.set(xlabel="training epoch", ylabel="accuracy (%)", title=title, ylim=(45, 102))
        if course.lines:
            course.legend(loc="center right", fontsize=7, frameon=True, framealpha=0.9)
        norms.set(
            xlabel="training epoch", ylabel="log$_{10}$ $|\\partial L/\\partial h_0|$", title=title
        )
        _raster(spikes, shown["adaptive"], settings)
    return figure


def _against_delay(
    accuracy: Any,
    success: Any,
    rates: Any,
    against: Mapping[tuple[str, str], Mapping[int, xr.Dataset]],
    settings: Any,
) -> None:
    spread = np.linspace(-0.15, 0.15, len(settings.schedules)) * settings.milliseconds(1)
    places = {s: (c, x) for s, c, x in zip(settings.schedules, COLOURS, spread, strict=False)}
    for (task, schedule), parts in against.items():
        (mark, line, name), (colour, shift) = _MARKS[task], places[schedule]
        x = np.array([settings.milliseconds(d) for d in parts]) + shift
        tested = 100 * np.array([part["test_accuracy"].values for part in parts.values()])
        common = {"color": colour, "markersize": 4}
        accuracy.plot(x, tested, mark, color=colour, markersize=2.5, alpha=0.5)
        label = f"{name}, {METHODS[schedule]}"
        accuracy.plot(x, np.median(tested, 1), mark + line, label=label, **common)
        rate, low, high = 100 * np.array([success_rate(part) for part in parts.values()]).T
        success.errorbar(
            x, rate, np.abs([rate - low, high - rate]), fmt=mark + line, capsize=2, linewidth=1.3,
            elinewidth=0.8, **common,
        )  # fmt: skip
        hertz = np.array([part["firing_rate"].values for part in parts.values()])
        rates.plot(x, hertz, mark, color=colour, markersize=2.5, alpha=0.7)
        rates.plot(x, hertz.mean(1), line, color=colour, linewidth=1.0)
    tau = settings.cell.membrane_time_constant
    for axis in (accuracy, success, rates):
        top = axis.secondary_xaxis("top", functions=(lambda x: x / tau, lambda x: x * tau))
        top.set_xlabel("delay / $\\tau_{mem}$")
        axis.set_xlabel("delay (ms)")
    accuracy.axhline(50, color="0.6", linewidth=0.8, linestyle=":")
    accuracy.axhline(100 * SOLVED, color="0.6", linewidth=0.8, linestyle=":")
    accuracy.set(ylabel="held-out accuracy (%)", ylim=(45, 102))
    accuracy.legend(loc="best", fontsize=6)
    success.set(ylabel="networks at 95 % (%), 95 % interval", ylim=(-4, 104))
    rates.set(ylabel="mean firing rate (Hz)")
    rates.set_ylim(bottom=0)


def _remedies(axis: Any, shown: Mapping[str, xr.Dataset]) -> None:
    """Held-out accuracy of every method at the delay that is shown."""
    for place, (method, part) in enumerate(shown.items()):
        values = 100 * part["test_accuracy"].values
        colour = COLOURS[2] if method.endswith("adaptive") else COLOURS[0]
        axis.plot(values, np.full(len(values), place), "o", color=colour, markersize=3, alpha=0.6)
        axis.plot([np.median(values)] * 2, [place - 0.3, place + 0.3], color=colour, linewidth=2)
    axis.set_yticks(range(len(shown)), [METHODS[m] for m in shown], fontsize=7)
    axis.invert_yaxis()
    axis.axvline(50, color="0.6", linewidth=0.8, linestyle=":")
    axis.set(xlabel="held-out accuracy (%)", xlim=(20, 102))


def _raster(axis: Any, part: xr.Dataset, settings: Any) -> None:
    """Input spikes below, network spikes above, a mark on top for every bin: right or wrong."""
    axis.set(xlabel="time (ms)", title="one trained network; top: answers")
    if "spikes" not in part:
        return
    inputs, spikes, right, asked = (
        part[name].values > 0 for name in ("inputs", "spikes", "right", "asked")
    )
    step, width = settings.cell.time_step, settings.milliseconds(1)
    below = inputs.shape[1]
    for values, offset, colour in ((inputs, 0, COLOURS[1]), (spikes, below + 3, "k")):
        time, unit = np.nonzero(values)
        axis.plot(
            time * step, unit + offset, "|", color=colour, markersize=1.6, markeredgewidth=0.5
        )
    top = below + 8 + spikes.shape[1]
    middle = width * (np.arange(len(right)) + 0.5)
    for good, mark, colour in ((True, ".", COLOURS[2]), (False, "x", "r")):
        chosen = asked & (right == good)
        axis.plot(middle[chosen], np.full(chosen.sum(), top), mark, color=colour, markersize=3)
    axis.set(ylim=(-2, top + 5))
    axis.set_yticks([below / 2, below + 3 + spikes.shape[1] / 2], ["inputs", "neurons"])
