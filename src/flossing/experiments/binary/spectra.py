"""Surrogate Lyapunov spectra of binary networks before and after flossing (Engelken & Abbott 2024)."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...floss import Before
from ...plots import COLOURS, style
from ...tasks import DelayedXOR
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.flossed import Networks, binary_cell
from ..lab.published import Published
from .first_exponent import SOURCE, BinaryFirstExponent


@dataclasses.dataclass(frozen=True)
class Flossed:
    """Networks whose first exponents are flossed."""

    num_exponents: int
    """How many; 0 before flossing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BinarySpectra(Experiment):
    """Spectra with the first k = 1, 16 or 32 of 80 exponents flossed.

    Published: the flossed ones end within 0.06 of zero, a gap opens behind the k-th, and the rest stays near
    where it was. The published caption says sharpness 1; its spectrum before flossing is that of sharpness
    0.5, which is used here. All steps of a window count, from the network's initial state, and Adam's
    gradients are clipped at 1/k. For k = 1 flossing is that of ``binary-first-exponent``, as in the
    publication. Many exponents come in equal pairs, those of a rotation: where the k-th and the next are one,
    both go to zero and the gap is behind the second. Gaps so depend on the networks, and the mean of nine, as
    published, on chance: here there are 36, and falls are compared in standard errors of their difference.
    """

    title = "surrogate spectra of binary networks before and after flossing"
    source = f"{SOURCE} (surrogate gradient flossing), curves read from the figure"
    shows = (
        "Flossing brings the first 1, 16 or 32 surrogate exponents of binary networks near zero and opens a "
        "gap behind them. The spectra before and after are the published ones."
    )
    tables = ("binary_spectrum",)
    hidden_size: int = 80
    flossed: tuple[int, ...] = (1, 16, 32)
    """Numbers k of flossed exponents: those of the published panels."""
    networks: int = 36
    steps: int = 300
    """Flossing steps."""
    learning_rate: float = 1e-3
    """At the first step; it falls to a tenth."""
    starts: int = 4
    """Trajectories of each flossing step."""
    clip_norm: float = 1.0
    """Divided by k, as gradients of a mean over k exponents are."""
    window: int = 90
    """Steps of each trajectory, all of which count."""
    of_one: BinaryFirstExponent = BinaryFirstExponent()
    """Whose flossing is used for k = 1."""
    sharpness: float = 0.5
    """Of the surrogate derivative."""
    delay: int = 18
    """Of the task whose input drives the networks, in steps."""
    measured_steps: int = 2000
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Nine networks and fewer steps, too few for k = 32."""
        return cls(networks=9, steps=150, starts=2, measured_steps=500)

    def schedule(self, k: int) -> Before:
        """Flossing of the first k exponents: all steps of a window count, at a rate that falls."""
        if k == 1:
            return self.of_one.schedule()
        return Before(
            num_exponents=k,
            steps_before=self.steps,
            learning_rate=self.learning_rate,
            clip_norm=self.clip_norm / k,
            num_starts=self.starts,
            window=self.window,
            warmup=0,
            state_warmup=0,
        )

    def cases(self) -> dict[Flossed, Callable[[Report], xr.Dataset]]:
        """Before flossing, and each k."""
        return {Flossed(k): functools.partial(self.spectrum, k) for k in (0, *self.flossed)}

    def spectrum(self, k: int, report: Report) -> xr.Dataset:
        """``exponents`` (network, index) after flossing the first k of them."""
        cell = binary_cell(self.hidden_size, self.sharpness)
        networks = Networks(cell, DelayedXOR(self.delay), self.networks, self.seed)
        current = networks.fresh
        if k:
            report("flossing")
            steps = self.of_one.epochs if k == 1 else self.steps
            current, _ = networks.flossed(self.schedule(k), steps)
        report("measuring")
        spectra = networks.spectra(current, self.hidden_size, self.measured_steps)
        return xr.Dataset({"exponents": (("network", "index"), spectra)})

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """The spectrum before flossing; then zeros, a gap and an unchanged rest, for each k."""
        known = _curves(published)
        before, theirs = _exponents(data, 0), known[0]["mean"][:, 1]
        upper = before.shape[1] // 2
        off = np.abs(before.mean(0)[:upper] - theirs[:upper]).mean()
        text = f"before: mean |lambda_i - published|, i <= {upper}"
        yield Claim.at_most(text, float(off), 0.05, source=SOURCE)
        for k in self.flossed:
            yield from _zeros(k, _exponents(data, k), known[k])
            yield from _gap(k, _exponents(data, k), _networks(known[k], k + 2))
            behind = slice(k + 2, upper + k // 2)
            changed = (
                float(np.abs(after - start)[behind].mean())
                for after, start in (
                    (_exponents(data, k).mean(0), before.mean(0)),
                    (known[k]["mean"][:, 1], theirs),
                )
            )
            text = (
                f"k = {k}: mean |change| of the exponents behind the gap, "
                f"{behind.start + 1} to {behind.stop}"
            )
            yield Claim.at_most(text, next(changed), 0.1, published=next(changed), source=SOURCE)

    def figure(self, data: Data, published: Published) -> Figure:
        """Spectra before and after flossing, for each k."""
        known, before = _curves(published), _exponents(data, 0).mean(0)
        with style():
            figure = Figure(figsize=(10.5, 3.3), layout="constrained")
            axes = figure.subplots(1, len(self.flossed), sharey=True, squeeze=False)[0]
            for axis, k, colour in zip(axes, self.flossed, COLOURS, strict=False):
                for of, grey, label in ((0, "0.7", "before"), (k, "0.4", "after")):
                    curve = known[of]["mean"].T
                    axis.plot(*curve, color=grey, linewidth=2.6, label=f"published, {label}")
                after = _exponents(data, k)
                index = np.arange(1, len(before) + 1)
                axis.plot(index, before, "--", color=colour, linewidth=1.2, label="before")
                axis.plot(index, after.T, color=colour, linewidth=0.4, alpha=0.35)
                axis.plot(index, after.mean(0), color=colour, linewidth=1.4, label="after")
                axis.axvline(k + 0.5, color="k", linewidth=0.6, linestyle=":")
                axis.axhline(0, color="k", linewidth=0.6, linestyle=":")
                axis.set(xlabel="index i", title=f"k = {k} flossed", ylim=(-2.0, 0.2))
            axes[0].set_ylabel("surrogate exponent $\\lambda_i$ (nats per step)")
            axes[0].legend(loc="lower left")
        return figure


def _exponents(data: Data, k: int) -> np.ndarray:
    return data[Flossed(k)]["exponents"].values


def _curves(published: Published) -> dict[float, dict[str, np.ndarray]]:
    return published.curves(
        "binary_spectrum", "flossed_exponents_k", "realisation", "index", "exponent_per_step"
    )


def _networks(published: dict[str, np.ndarray], count: int) -> np.ndarray:
    """The first exponents of the published networks, one row each."""
    rows = [dict(curve) for name, curve in published.items() if name != "mean"]
    return np.array([[row.get(i, np.nan) for i in range(1, count + 1)] for row in rows])


def _zeros(k: int, ours: np.ndarray, known: dict[str, np.ndarray]) -> Iterator[Claim]:
    """How far the flossed exponents are from zero, of the mean and in the median network."""
    text = f"k = {k}: largest |lambda_i| of the flossed"
    mean, theirs = ours.mean(0), known["mean"][:, 1]
    for what, measured, published in (
        ("(mean of networks)", np.abs(mean[:k]).max(), np.abs(theirs[:k]).max()),
        (
            "(median network)",
            np.median(np.abs(ours[:, :k]).max(1)),
            np.median(np.abs(_networks(known, k)).max(1)),
        ),
    ):
        measured, published = float(measured), float(published)
        yield Claim.at_most(f"{text} {what}", measured, 0.06, published=published, source=SOURCE)


def _gap(k: int, ours: np.ndarray, theirs: np.ndarray) -> Iterator[Claim]:
    """How far exponents fall behind the k-th, and how many networks have a gap right behind it."""
    yield from falls(k, 1, "gap behind the k-th exponent", ours, theirs)
    yield share_with_gap(k, ours, theirs)
    yield from falls(k, 2, "fall from the k-th exponent to the second behind it", ours, theirs)


def falls(
    k: int, over: int, text: str, ours: np.ndarray, theirs: np.ndarray
) -> tuple[Claim, Claim]:
    """How far exponents fall from the k-th to one behind it, and whether it is the published fall.

    Networks differ much, so the difference of means is compared with its standard error.

    Args:
        k: counts exponents from 1.
        over: how many exponents further.
        text: what the fall is called.
        ours, theirs: exponents, shape (networks, index).
    """
    each = [exponents[:, k - 1] - exponents[:, k - 1 + over] for exponents in (ours, theirs)]
    mean, known = (float(fall.mean()) for fall in each)
    error = float(np.sqrt(sum(fall.var(ddof=1) / len(fall) for fall in each)))
    off = abs(mean - known) / error
    return (
        Claim.at_least(f"k = {k}: {text}", mean, known / 2, published=known, source=SOURCE),
        Claim.at_most(f"k = {k}: its |ours - published| in standard errors", off, 2, source=SOURCE),
    )


def share_with_gap(k: int, ours: np.ndarray, theirs: np.ndarray) -> Claim:
    """Whether as many networks as published have a gap right behind the k-th exponent.

    The limits are two standard errors of the difference around the published share.
    """
    gaps = [exponents[:, k - 1] - exponents[:, k] for exponents in (ours, theirs)]
    share, known = (float(np.where(np.isnan(gap), np.nan, gap > 0.05).mean()) for gap in gaps)
    error = np.sqrt(share * (1 - share) / len(ours) + known * (1 - known) / len(theirs))
    text = f"k = {k}: share of networks with a gap above 0.05"
    return Claim.near(text, share, known, within=2 * float(max(error, 1e-9)), source=SOURCE)
