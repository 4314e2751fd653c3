"""The figure of the experiment sequence-tasks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, style
from .foretell import QUANTITIES
from .learning import TUNING
from .verdicts import Duel, Place, Rule

_SIGNS = {"wins": "+", "ties": "", "loses": "−"}


def figure(
    parts: Mapping[Place, Mapping[str, xr.Dataset]],
    quantities: Mapping[Place, xr.Dataset],
    duels: Mapping[Place, Duel],
    rule: Rule,
) -> Figure:
    """Skill of every method at every place, learning curves where flossing gains most, and what foretells it.

    Args:
        parts: what is kept of each method.
        quantities: what was measured of the untrained networks.
        duels: how flossing fares.
        rule: what foretells its use.
    """
    with style():
        result = Figure(figsize=(13, 3.4 + 0.26 * len(parts)), layout="constrained")
        left, right = (
            result.add_subfigure(s) for s in result.add_gridspec(1, 2, width_ratios=(1.7, 1))
        )
        _table(left.subplots(), parts, duels)
        chosen = sorted(duels, key=lambda p: -duels[p].gain.value)[:3]
        axes = np.atleast_1d(right.subplots(len(chosen) + 1, 1))
        for axis, place in zip(axes, chosen, strict=False):
            _curves(axis, place, parts[place], duels[place])
        _foretold(axes[-1], quantities, duels, rule)
    return result


def _table(
    axis: Any, parts: Mapping[Place, Mapping[str, xr.Dataset]], duels: Mapping[Place, Duel]
) -> None:
    """Mean skill as colour and number; + or − where flossing wins or loses."""
    methods = list(dict.fromkeys(name for known in parts.values() for name in known))
    skills = np.full((len(parts), len(methods)), np.nan)
    for row, known in enumerate(parts.values()):
        for name, part in known.items():
            skills[row, methods.index(name)] = float(part["test_skill"].mean())
    axis.imshow(skills, cmap="cividis", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(skills):
        if np.isfinite(value):
            dark = value < 0.55
            axis.text(
                column, row, f"{100 * value:.0f}", ha="center", va="center", fontsize=7,
                color="white" if dark else "black",
            )  # fmt: skip
    rows = [f"{p.task}: {p.network} {_SIGNS[duels[p].verdict]}" for p in parts]
    axis.set_yticks(range(len(rows)), rows)
    axis.set_xticks(range(len(methods)), methods, rotation=50, ha="right", rotation_mode="anchor")
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_title("held-out skill (%); + flossing wins, − it loses")


def _curves(axis: Any, place: Place, parts: Mapping[str, xr.Dataset], duel: Duel) -> None:
    """Skill of clipping, the best of the others, and flossing."""
    shown = dict.fromkeys(["clipping", duel.other, duel.flossed])
    for name, colour in zip(shown, ("0.6", COLOURS[0], COLOURS[1]), strict=False):
        part = parts[name]
        axis.plot(part["epoch"], 100 * part["skill"], color=colour, linewidth=0.5, alpha=0.4)
        axis.plot(part["epoch"], 100 * part["skill"].mean("network"), color=colour, label=name)
    axis.set(xlabel="updates", ylabel="skill (%)", ylim=(-3, 103))
    axis.set_title(f"{place.task}: {place.network}")
    axis.legend()


def _foretold(
    axis: Any, quantities: Mapping[Place, xr.Dataset], duels: Mapping[Place, Duel], rule: Rule
) -> None:
    """Gain over clipping against the quantity, networks that the rule was not made with."""
    for place, duel in duels.items():
        x = quantities[place][rule.quantity].values[TUNING:]
        other = place.network != "tanh"
        axis.plot(
            x, 100 * duel.over_clipping, "s" if other else "o",
            color=COLOURS[2] if other else COLOURS[1], markersize=3, alpha=0.6, linestyle="none",
        )  # fmt: skip
    axis.axhline(0, color="0.7", linewidth=0.8)
    axis.set(xlabel=QUANTITIES[rule.quantity], ylabel="gain over clipping (%)")
    words = "rank correlation {:.2f} ({:.2f} to {:.2f})".format(*rule.correlation)
    kinds = {"tanh" if p.network == "tanh" else "others" for p in duels}
    axis.set_title(f"tanh: {words}; squares: others" if len(kinds) > 1 else words)
