"""The figure of the experiment ``condition-number``."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...runs.plots import COLOURS, style
from .tangent_modes import effective_rank, log_condition


def figure(
    found: dict[int, dict[str, np.ndarray]],
    slopes: dict[int, dict[int, tuple[float, float, float]]],
    settings: Any,
    m: int,
) -> Figure:
    """Six panels, the condition number in m directions in the first; colours are numbers k."""
    n = found[0]["exponents"].shape[1]
    horizons, delay = settings.horizons, settings.delay
    times = np.array(horizons)
    with style():
        whole = Figure(figsize=(10.5, 6.2), layout="constrained")
        (condition, slope, gradient), (rank, modes, angle) = whole.subplots(2, 3)
        for (k, track), colour in zip(found.items(), ("0.4", *COLOURS), strict=False):
            label = "not flossed" if k == 0 else f"k = {k}"
            logs = log_condition(track, m) / np.log(10)
            exponents = track["exponents"]
            predicted = (exponents[:, 0] - exponents[:, m - 1]).mean() / np.log(10)
            offset = (logs.mean(0) - predicted * times)[times >= settings.slope_from].mean()
            condition.plot(horizons, logs.T, color=colour, linewidth=0.4, alpha=0.6)
            condition.plot(horizons, logs.mean(0), "o", color=colour, markersize=3.5, label=label)
            condition.plot(horizons, offset + predicted * times, color=colour, linewidth=1.2)
            points = np.array([by_m[:2] for by_m in slopes[k].values()])
            slope.plot(*points.T, "o", color=colour, markersize=4)
            norms = track["log_gradient_norms"] / np.log(10)
            gradient.plot(norms.T, color=colour, linewidth=0.4, alpha=0.6)
            gradient.plot(norms.mean(0), color=colour)
            ranks = effective_rank(track["log_singular_values"])
            rank.plot(horizons, ranks.mean(0), "o-", color=colour, markersize=3)
            constants = -1 / np.minimum(np.median(exponents, 0), -1e-4)
            modes.plot(np.arange(1, n + 1), constants, color=colour)
            angle.plot(
                np.arange(1, 1 + track["alignment"].shape[1]),
                track["alignment"].mean(0),
                color=colour,
            )
        ends = np.array([0.005, 5.0])
        slope.plot(ends, ends, color="k", linewidth=0.8)
        slope.fill_between(ends, 0.9 * ends, 1.1 * ends, color="0.85", linewidth=0)
        condition.set(
            xlabel="horizon t (steps)",
            ylabel=f"log$_{{10}}$ condition number, {m} directions",
            title=f"points: measured; lines: exp(($\\lambda_1-\\lambda_{{{m}}}$) t)",
        )
        slope.set(
            xscale="log",
            yscale="log",
            xlabel="predicted $\\lambda_1-\\lambda_m$ (nats per step)",
            ylabel="measured slope (nats per step)",
            title=f"m = {', '.join(map(str, slopes[0]))}; band: 10 %",
        )
        gradient.set(
            xlabel="steps back in time",
            ylabel="log$_{10}$ gradient norm",
            title="a random error signal, sent back",
        )
        rank.set(
            xlabel="horizon t (steps)",
            ylabel="effective rank of the Jacobian",
            title="directions in which errors arrive",
            yscale="log",
        )
        modes.axhline(delay, color="0.6", linewidth=0.8, linestyle=":")
        modes.set(
            xlabel="index i",
            ylabel="time constant $-1/\\lambda_i$ (steps)",
            title=f"slow tangent modes; dotted: delay {delay}",
            yscale="log",
            ylim=(0.2, 2e3),
        )
        angle.axhline(np.sqrt(2 / np.pi / n), color="0.6", linewidth=0.8, linestyle=":")
        angle.set(
            xlabel="index i",
            ylabel="mean |cos| to the other modes",
            title="covariant vectors; dotted: random",
            ylim=(0, 1),
        )
        condition.legend(loc="upper left")
    return whole
