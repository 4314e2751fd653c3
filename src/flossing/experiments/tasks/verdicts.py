"""What the numbers of the table say: skill, wins and losses, time, and what foretells the use of flossing."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.stats import t as student

from ..lab.statistics import Estimate, rank_correlation
from .foretell import QUANTITIES
from .learning import TUNING

MEASURES = ("equal epochs", "equal time")
"""At which methods are compared."""
LONGER = ", longer"
"""How names of methods end that are trained for longer than the others."""
RECOMMENDED = ("adaptive, all", "flossed, all", "heights", "flossed, half")
"""The kind of flossing that stands for all: the first one that was tried."""
CLEAR = 0.02
"""Skill by which methods must differ, beside being distinguishable."""
LEVEL = 0.9
"""Skill from which a network counts as one that has learned."""


@dataclasses.dataclass(frozen=True)
class Place:
    """A network on a task: the methods that are tried there compete with each other."""

    task: str
    network: str


def mean(values: np.ndarray) -> Estimate:
    """The mean of independent values with its 95 % interval, by Student's t."""
    values = np.asarray(values, float)
    half = student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return Estimate(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def to_level(part: xr.Dataset) -> tuple[float, float]:
    """Epochs, and seconds with the flossing before, until half of the networks have the skill ``LEVEL``."""
    above = part["skill"].values >= LEVEL
    reached = np.where(above.any(0), part["epoch"].values[above.argmax(0)].astype(float), np.inf)
    epochs = float(np.sort(reached)[(len(reached) - 1) // 2])
    return epochs, float(part["seconds_before"]) + epochs * float(part["seconds_per_epoch"])


def at_time(part: xr.Dataset, seconds: float) -> np.ndarray:
    """Skill of each network when so many seconds are over, flossing before training included."""
    left = seconds - float(part["seconds_before"])
    epochs = np.divide(left, float(part["seconds_per_epoch"]))
    if np.isnan(epochs):
        return np.full(part.sizes["network"], np.nan)
    done = part["epoch"].values <= epochs
    if not done.any():
        return np.zeros(part.sizes["network"])
    # The mean of the last points smooths what single updates do; all methods are treated alike.
    return part["skill"].values[done][-3:].mean(0)


class Duel(NamedTuple):
    """Flossing as it is recommended, against the other remedies."""

    flossed: str
    """Name of the kind of flossing."""
    other: str
    """Name of the best of the others, by the mean of the networks that count."""
    gain: Estimate
    """Mean over networks of the difference in skill to the best other."""
    over_clipping: np.ndarray
    """Difference in skill to clipped gradients alone, by network."""
    tuning: float
    """The same difference for tuning networks."""
    verdict: str
    """``wins``, ``ties`` or ``loses``."""


def duel(
    parts: Mapping[str, xr.Dataset], flossing: Sequence[str], measure: str = "equal epochs"
) -> Duel:
    """How flossing fares.

    Flossing wins if the interval of its gain over every other remedy lies above zero, and the gain is at
    least ``CLEAR``; it loses if that of some other over it does. Flossing is the first kind of
    ``RECOMMENDED`` that was tried, not the best one: no choice among many kinds is counted as skill.

    Args:
        parts: numbers of each method of a place.
        flossing: names of those that are kinds of flossing.
        measure: ``equal epochs`` (held-out trials), or ``equal time``: that of flossing.
    """
    tuned = {name: float(part["tuning_skill"].mean("tuning").max()) for name, part in parts.items()}
    mine = next(name for name in RECOMMENDED if name in flossing)
    if measure == "equal epochs":
        parts = {name: part for name, part in parts.items() if not name.endswith(LONGER)}
        scores = {name: part["test_skill"].values for name, part in parts.items()}
    else:
        budget = seconds(parts[mine])
        scores = {name: at_time(part, budget) for name, part in parts.items()}
    gains = {n: mean(scores[mine] - s) for n, s in scores.items() if n not in flossing}
    other = min(gains, key=lambda name: gains[name].value)
    won = all(g.low > 0 and g.value >= CLEAR for g in gains.values())
    lost = any(g.high < 0 and g.value <= -CLEAR for g in gains.values())
    return Duel(
        mine,
        other,
        gains[other],
        scores[mine] - scores["clipping"],
        tuned[mine] - tuned["clipping"],
        "wins" if won else "loses" if lost else "ties",
    )


def seconds(part: xr.Dataset) -> float:
    """What training takes, with the flossing before."""
    return float(part["seconds_before"] + part["seconds_per_epoch"] * part["epoch"][-1])


class Rule(NamedTuple):
    """Foretells the use of flossing from a measured quantity."""

    quantity: str
    """Its name among ``QUANTITIES``."""
    correlation: Estimate
    """Rank correlation with the gain over clipping, networks that the rule was not made with."""
    on_tuning: float
    """The same for the networks it was made with."""
    threshold: float
    """Flossing helps where the quantity, times the sign of the correlation, is above it."""
    right: float
    """Share of places and networks in which the rule is right, networks it was not made with."""
    usual: float
    """Share in which one is right who always says the more frequent."""


def best_rule(
    quantities: Mapping[Place, xr.Dataset], duels: Mapping[Place, Duel], helps: float = 0.05
) -> Rule:
    """The quantity with the strongest rank correlation on tuning networks, judged on the others.

    Args:
        quantities: of the untrained networks of each place, tuning networks first.
        duels: of each place.
        helps: gain in skill over clipping from which flossing helps.
    """
    places = list(duels)
    tuning_gain = np.array([duels[p].tuning for p in places])
    gain = np.stack([duels[p].over_clipping for p in places], 1)  # (network, place)
    on_tuning, made, tested = {}, {}, {}
    for name in QUANTITIES:
        values = np.stack([quantities[p][name].values for p in places], 1)
        made[name], tested[name] = values[:TUNING].mean(0), values[TUNING:]
        on_tuning[name] = rank_correlation(made[name], tuning_gain)
    name = max(on_tuning, key=lambda n: np.nan_to_num(abs(on_tuning[n])))
    sign = 1.0 if on_tuning[name] > 0 else -1.0
    threshold = _threshold(sign * made[name], tuning_gain > helps)
    said, true = sign * tested[name] > threshold, gain > helps
    return Rule(
        name, correlation(name, quantities, duels), on_tuning[name], threshold,
        float((said == true).mean()), float(max(true.mean(), 1 - true.mean())),
    )  # fmt: skip


def correlation(
    quantity: str, quantities: Mapping[Place, xr.Dataset], duels: Mapping[Place, Duel]
) -> Estimate:
    """Rank correlation of a quantity with the gain over clipping, over the places of ``duels``.

    That of the networks that count; tuning networks take no part.
    """
    values = np.stack([quantities[p][quantity].values[TUNING:] for p in duels], 1)
    return _over_places(values, np.stack([d.over_clipping for d in duels.values()], 1))


def _threshold(values: np.ndarray, helps: np.ndarray) -> float:
    """Between two values, so that most are on the right side."""
    ordered = np.sort(values)
    middles = np.concatenate([[-np.inf], (ordered[1:] + ordered[:-1]) / 2, [np.inf]])
    right = [((values > m) == helps).mean() for m in middles]
    return float(middles[int(np.argmax(right))])


def _over_places(x: np.ndarray, y: np.ndarray, draws: int = 2000) -> Estimate:
    """Rank correlation of all entries, shape (network, place); the interval draws places with replacement.

    Networks of one place are much alike, so that places are what is independent.
    """
    random = np.random.default_rng(0)
    count = x.shape[1]
    correlations = []
    for _ in range(draws):
        chosen = random.integers(0, count, count)
        correlations.append(rank_correlation(x[:, chosen].ravel(), y[:, chosen].ravel()))
    low, high = (
        np.nanpercentile(correlations, [2.5, 97.5])
        if np.isfinite(correlations).any()
        else (np.nan,) * 2
    )
    return Estimate(rank_correlation(x.ravel(), y.ravel()), float(low), float(high))
