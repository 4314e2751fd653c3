"""Flossing of large networks, and over a thousand steps: does it still help, and what does it cost?"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...cells import TanhSpec
from ...floss import Before
from ...plots import COLOURS, style
from ...tasks import FrequencyDiscrimination
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Work
from ..lab.published import Published
from .learning import Setup, learn
from .methods import Method


@dataclasses.dataclass(frozen=True)
class Size:
    """A tanh network and how far it has to remember a frequency."""

    units: int
    delay: int
    """Steps between the tones; a trial has 40 more."""


@dataclasses.dataclass(frozen=True)
class Trained(Size):
    """Networks of that size, trained by one method."""

    exponents: int | None
    """How many are flossed before training; ``None`` for none."""
    orthogonal: bool = False
    """Whether recurrent weights start as an orthogonal matrix."""

    @property
    def words(self) -> str:
        """The method."""
        if self.exponents is not None:
            return f"{self.exponents} exponents flossed"
        return "orthogonal" if self.orthogonal else "clipping"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale(Experiment):
    """Frequency discrimination by large tanh networks, and over a thousand steps.

    A flossing step costs as many products as there are exponents, so in a network of 1024 units one would
    like to floss few of them, and the question is how many are enough. Flossing has one learning
    rate, the other methods choose theirs among two. Seconds are those of one core and one network.
    """

    title = "flossing at scale"
    source = "a question of our own"
    shows = (
        "What flossing costs and gains in networks of 512 and 1024 units, and over trials of 1000 steps. "
        "An eighth of the exponents is flossed, and up to 512 units half of them or nearly all."
    )
    sizes: tuple[tuple[int, int, int], ...] = ((512, 40, 600), (1024, 40, 400), (128, 960, 400))
    """Units, delay, and updates."""
    shares: tuple[float, ...] = (1 / 8, 1 / 2, 1)
    """Of the exponents, which are flossed; all but four at most."""
    most: int = 508
    """Exponents beyond which flossing takes much longer than training, and is left out."""
    window: int = 100
    steps_before: int = 100
    rates: tuple[float, ...] = (1e-4, 1e-3)
    """Learning rates; flossing has the first."""
    networks: int = 2
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """A network of 96 units, and trials of 200 steps."""
        return cls(sizes=((96, 20, 60), (24, 160, 60)), window=50, steps_before=20)

    def cases(self) -> dict[Trained, Work]:
        """Clipping, orthogonal weights, and each number of exponents, at each size."""
        work = {}
        for units, delay, epochs in self.sizes:
            numbers = [max(1, min(round(share * units), units - 4)) for share in self.shares]
            cases = [Trained(units, delay, None), Trained(units, delay, None, True)]
            cases += [Trained(units, delay, k) for k in numbers if k <= self.most]
            for case in cases:
                setup = Setup(
                    task=FrequencyDiscrimination(delay),
                    method=self._method(case),
                    epochs=epochs,
                    networks=self.networks,
                    rates=self.rates if case.exponents is None else self.rates[:1],
                    seed=self.seed,
                )
                work[case] = functools.partial(learn, setup)
        return work

    def _method(self, case: Trained) -> Method:
        recurrent = "orthogonal" if case.orthogonal else "gaussian"
        cell = TanhSpec(case.units, recurrent=recurrent)
        if case.exponents is None:
            return Method(cell=cell)
        schedule = Before(
            num_exponents=case.exponents,
            window=self.window,
            warmup=self.window // 4,
            steps_before=self.steps_before,
        )
        return Method(cell=cell, schedule=schedule, flosses=True)

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Flossing gains skill at each size, and costs no more than training."""
        for units, delay, epochs in self.sizes:
            at = f"N = {units}, {delay + 40} steps"
            parts = self._at(data, units, delay)
            flossed = {c: p for c, p in parts.items() if c.exponents is not None}
            if not flossed:  # too many for a network of this size
                continue
            skills = {c: float(p["test_skill"].mean()) for c, p in parts.items()}
            best = max(flossed, key=lambda c: skills[c])
            others = max(skills[c] for c in parts if c not in flossed)
            yield Claim.at_least(
                f"{at}: gain in skill over clipping and orthogonal ({best.words})",
                skills[best] - others,
                0.1,
            )
            cost = parts[best]["seconds_before"] / (epochs * parts[best]["seconds_per_epoch"])
            yield Claim.at_most(f"{at}: time of flossing, of that of training", float(cost), 1.0)

    def _at(self, data: Data, units: int, delay: int) -> dict[Trained, xr.Dataset]:
        return dict(data.where(Trained, units=units, delay=delay).items())

    def figure(self, data: Data, published: Published) -> Figure:
        """Learning curves against seconds, flossing included, at each size."""
        with style():
            result = Figure(figsize=(4 * len(self.sizes), 3.2), layout="constrained")
            axes = np.atleast_1d(result.subplots(1, len(self.sizes)))
            for axis, (units, delay, _) in zip(axes, self.sizes, strict=True):
                for (case, part), colour in zip(
                    self._at(data, units, delay).items(), ("0.5", *COLOURS), strict=False
                ):
                    before, each = float(part["seconds_before"]), float(part["seconds_per_epoch"])
                    seconds = before + part["epoch"].values * each
                    mean = 100 * part["skill"].mean("network")
                    axis.plot(seconds, mean, color=colour, label=case.words)
                    axis.axvline(before, color=colour, linewidth=0.5, linestyle=":")
                axis.set(xlabel="seconds, flossing included", ylabel="skill (%)", ylim=(-3, 103))
                axis.set_title(f"N = {units}, {delay + 40} steps")
                axis.legend()
        return result
