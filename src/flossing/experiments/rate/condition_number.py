"""Singular values, condition number, gradients and tangent modes of the long-term Jacobian."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import NamedTuple, Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Report
from ..lab.published import Published
from . import condition_figure
from .flossed_tanh import Flossed, FlossedTanh
from .tangent_modes import along_trajectories, effective_rank, log_condition, slow_modes

DIRECTIONS = (2, 16, 32, 64)
"""Numbers m of directions."""


class Slope(NamedTuple):
    """How the log condition number in m directions grows, mean of networks."""

    predicted: np.floating
    """``lambda_1 - lambda_m`` in nats per step."""
    measured: np.floating
    """By least squares over horizons, in nats per step."""
    decades: np.floating
    """Condition number at the longest horizon."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ConditionNumber(FlossedTanh):
    """Growth of the condition number with the horizon, beside what exponents predict.

    The condition number of the long-term Jacobian over t steps, restricted to its m slowest directions, grows
    like exp((lambda_1 - lambda_m) t). Flossing k exponents makes it grow slowly in k directions.
    Singular values are found by orthogonal iteration with QR at every step, so that each keeps its own
    relative precision over any number of decades. Over short horizons they are further apart than exponents
    say: values next to each other repel until the horizon is long against the reciprocal distance of their
    exponents. Growth is therefore measured over horizons of 100 to 400 steps, and claims are for condition
    numbers of six decades and more. Exponents are measured on other steps than singular values.
    """

    title = "condition number and gradients of the long-term Jacobian"
    source = "Engelken 2023 (gradient flossing); prediction exp((lambda_1 - lambda_m) t)"
    shows = (
        "The condition number of the long-term Jacobian grows as the distances of exponents say. Flossing "
        "one exponent makes it worse, flossing most of them takes away all but a few of its decades."
    )
    flossed: tuple[int, ...] = (1, 16, 32, 75)
    steps: int = 300
    networks: int = 5
    careful_with_many: bool = True
    horizons: tuple[int, ...] = (1, 4, 10, 20, 40, 70, 100, 200, 300, 400)
    """In steps."""
    slope_from: int = 100
    """Shortest horizon that counts for the growth of condition numbers."""
    gradient_steps: int = 100
    """Over how many steps the change of gradient norms is judged."""
    max_sweeps: int = 6
    """Of orthogonal iteration."""
    modes: int = 64
    """Number of covariant vectors."""

    @classmethod
    def quick(cls) -> Self:
        """Two networks and shorter horizons."""
        return cls(
            networks=2, steps=60, learning_rate=5e-3, horizons=(1, 10, 20, 40), slope_from=10,
            gradient_steps=40, max_sweeps=5, measured_steps=500,
        )  # fmt: skip

    def cases(self) -> dict[Flossed, Callable[[Report], xr.Dataset]]:
        """Networks by how many exponents are flossed."""
        return {Flossed(k): functools.partial(self.look, k) for k in (0, *self.flossed)}

    def look(self, num_exponents: int, report: Report) -> xr.Dataset:
        """What ``along_trajectories`` finds, and ``exponents`` (network, index)."""
        networks = self.fresh()
        report("flossing")
        current = self.after_flossing(networks, num_exponents)
        report("singular values, gradients and covariant vectors")
        measured = along_trajectories(
            current,
            networks.keys,
            networks.task,
            self.horizons,
            self.max_sweeps,
            min(self.modes, self.hidden_size),
        )
        report("exponents")
        exponents = networks.spectra(current, self.hidden_size, self.measured_steps)
        return xr.Dataset(
            {
                "log_singular_values": (
                    ("network", "horizon", "index"),
                    measured["log_singular_values"],
                ),
                "log_gradient_norms": (("network", "steps_back"), measured["log_gradient_norms"]),
                "alignment": (("network", "mode"), measured["alignment"]),
                "singular_values_of_gradient": (
                    ("network", "index"),
                    measured["singular_values_of_gradient"],
                ),
                "exponents": (("network", "index"), exponents),
            },
            {"horizon": [*self.horizons]},
        )

    @property
    def shown(self) -> int:
        """Directions of the condition number in the first panel."""
        return min(32, self.hidden_size)

    def slopes(self, part: xr.Dataset) -> dict[int, Slope]:
        """Growth of the condition number by number m of directions."""
        horizons = part["horizon"].values
        long = horizons >= self.slope_from
        exponents = part["exponents"].values
        slopes = {}
        for m in DIRECTIONS:
            if m <= self.hidden_size:
                logs = log_condition(part["log_singular_values"].values, m).mean(0)
                predicted = (exponents[:, 0] - exponents[:, m - 1]).mean()
                away = horizons[long] - horizons[long].mean()
                measured = (away @ logs[long]) / (away @ away)
                slopes[m] = Slope(predicted, measured, logs[-1] / np.log(10))
        return slopes

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Growth is as predicted, and flossing most exponents slows it down."""
        for case, part in data.items():
            if case.num_exponents < max(m for m in DIRECTIONS if m <= self.hidden_size):
                yield self._as_predicted(case.num_exponents, part)
        most, m = max(self.flossed), self.shown
        before, after = data[Flossed(0)], data[Flossed(most)]

        ranks = [_gradient_rank(part) for part in (before, after)]
        text = f"effective rank of the gradient of the task's loss, k = {most} (not flossed: {ranks[0]:.2f})"
        yield Claim.at_least(text, ranks[1], ranks[0])

        slow = [
            float(slow_modes(p["exponents"].values, self.delay).mean()) for p in (before, after)
        ]
        text = (
            f"modes that keep 1/e over {self.delay} steps, k = {most} (not flossed: {slow[0]:.0f})"
        )
        yield Claim.at_least(text, slow[1], self.delay - 1)

        decades = [
            float(log_condition(part["log_singular_values"].values, m)[:, -1].mean() / np.log(10))
            for part in (before, after)
        ]
        text = (
            f"decades of the condition number in {m} directions at the longest horizon, k = {most} "
            f"(not flossed: {decades[0]:.1f})"
        )
        yield Claim.at_most(text, decades[1], decades[0] / 4)

        changes = [self._change_of_norm(part) for part in (before, after)]
        text = (
            f"decades by which the gradient norm changes over {self.gradient_steps} steps, k = {most} "
            f"(not flossed: {changes[0]:.1f})"
        )
        yield Claim.at_most(text, changes[1], 1.5)

    def _as_predicted(self, num_exponents: int, part: xr.Dataset) -> Claim:
        """The growth of condition numbers of six decades and more; NaN if there are none."""
        slopes = {m: s for m, s in self.slopes(part).items() if s.decades >= 6}
        errors = [np.abs(s.measured / s.predicted - 1) for s in slopes.values()]
        text = (
            f"k = {num_exponents}: slope of log condition numbers in m = {', '.join(map(str, slopes))} "
            "directions, largest relative error of exp((lambda_1 - lambda_m) t)"
        )
        return Claim.at_most(text, np.max(errors) if errors else np.nan, 0.1)

    def _change_of_norm(self, part: xr.Dataset) -> float:
        norms = part["log_gradient_norms"].values[:, self.gradient_steps]
        return float(np.abs(norms).mean() / np.log(10))

    def figure(self, data: Data, published: Published) -> Figure:
        """Condition number and its growth, gradients, ranks, time constants and covariant vectors."""
        slopes = {case: self.slopes(part) for case, part in data.items()}
        return condition_figure.figure(
            data, slopes, directions=self.shown, slope_from=self.slope_from, delay=self.delay
        )


def _gradient_rank(part: xr.Dataset) -> float:
    """Effective rank of the gradient of the task's loss, mean of networks."""
    return float(effective_rank(np.log(part["singular_values_of_gradient"].values)).mean())
