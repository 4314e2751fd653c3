"""Flossing against other remedies for vanishing gradients, at equal epochs and at equal wall time."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Self

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...optimisers import Adam
from ...plots.series import smooth
from ...runs import RunConfig, RunResult, epochs_to
from ...runs.clock import Block, read_clock
from ...tasks import DelayedXOR
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment
from ..lab.published import Published
from . import baselines_figure
from .methods import METHODS, TRIALS

MEASURES = {
    "last": "equal epochs, last",
    "best": "equal epochs, best",
    "equal_time": "equal wall time",
}
"""Accuracies by which methods are compared, in words."""
_NEAR = 0.005
"""Accuracies this close count as equal."""
_POINTS = 600
"""Of a learning curve that is kept."""


@dataclasses.dataclass(frozen=True)
class Remedy:
    """Networks that are trained with one method, by its name in ``METHODS``."""

    method: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baselines(Experiment):
    """Thirteen methods on delayed XOR over 40 steps.

    Every method trains networks of the same size on the same data with the same optimiser and rate, for the
    same number of epochs. Time is that of the blocks of a run, flossing before training included,
    compilation excluded; all methods get the time that the plain network with clipped gradients needs
    for all its epochs. A faster one is not trained for longer. Rates and other settings are not tuned for any
    method, and gated networks have three or four times as many parameters, the linear recurrent layer has
    twice as many: a trained tanh layer follows its linear modes.

    Sources of the others: identity weights, Le et al. 2015; linear recurrent layer, Orvieto et al. 2023;
    chrono biases, Tallec & Ollivier 2018; Jacobian penalty, Pascanu et al. 2013.
    """

    title = "flossing and other remedies, delayed XOR"
    source = "Pascanu et al. 2013, Le et al. 2015, Tallec & Ollivier 2018, Orvieto et al. 2023"
    shows = (
        "Of the methods that we tried, flossing and linear recurrent layers learn a delay of 40 steps, and "
        "the latter are a little faster. Gated networks, the identity and a penalty stay near chance."
    )
    timed = True
    methods: tuple[str, ...] = tuple(METHODS)
    """Names of methods, ``"clipping"`` and ``"adaptive"`` among them."""
    delay: int = 40
    """Of the task, in steps."""
    hidden_size: int = 80
    networks: int = 5
    epochs: int = 2001
    learning_rate: float = 1e-3
    """Constant, so that what a method reaches early does not depend on when it stops."""
    steps_before: int = 200
    """Flossing steps before training."""
    averaged: int = 50
    """Epochs over which accuracies on fresh batches are averaged."""
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Seven methods, two small networks each, 300 epochs."""
        return cls(
            methods=("clipping", "orthogonal", "identity", "linear", "gru", "penalty", "adaptive"),
            delay=20, hidden_size=32, networks=2, epochs=300, steps_before=50,
        )  # fmt: skip

    def cases(self) -> dict[Remedy, RunConfig]:
        """The run of each method."""
        return {Remedy(name): self.run(name) for name in self.methods}

    def run(self, name: str) -> RunConfig:
        """The run of a method; all exponents but five are flossed."""
        method, k = METHODS[name], max(1, self.hidden_size - 5)
        return RunConfig(
            task=DelayedXOR(self.delay),
            cell=method.cell(self.hidden_size, self.delay),
            schedule=method.schedule
            and method.schedule(num_exponents=k, steps_before=self.steps_before),
            optimiser=Adam(learning_rate=self.learning_rate, clip=method.clip),
            epochs=self.epochs,
            batch_size=TRIALS,
            realisations=self.networks,
            seed=self.seed,
            measure_every=None,
            measure_exponents=1,
        )

    def measure(self, case: Any, outcome: Any) -> xr.Dataset:
        """Accuracies of each network, seconds to 95 %, and the median learning curve on the clock."""
        return self.on_the_clock(outcome, read_clock(outcome.directory))

    def on_the_clock(self, outcome: RunResult, clock: list[Block]) -> xr.Dataset:
        """What is kept of a run and its blocks.

        Returns:
            By ``network``: ``last``, held-out accuracy; ``best``, on fresh batches, mean of ``averaged``
            epochs; ``seconds_to_95``, NaN for never. By ``epoch`` (how many are done, thinned):
            ``median_accuracy`` of networks, mean of ``averaged`` epochs, and ``wall_seconds`` passed.
            ``parameters`` of a network.
        """
        raw = outcome.data["accuracy"].values
        accuracy, wall = smooth(raw, self.averaged), _seconds(clock)
        first = min(self.averaged, len(wall)) - 1
        shown = np.unique(np.linspace(0, len(wall) - 1, _POINTS).astype(int))
        reached = [np.nan if e is None else wall[e] for e in epochs_to(raw)]
        return xr.Dataset(
            {
                "last": ("network", outcome.data["test_accuracy"].values),
                "best": ("network", accuracy[first:].max(0)),
                "seconds_to_95": ("network", np.array(reached, float)),
                "median_accuracy": ("epoch", np.median(accuracy[shown], 1)),
                "wall_seconds": ("epoch", wall[shown]),
                "parameters": _parameters(outcome.config),
            },
            {"epoch": shown + 1},
        )

    def budget(self, data: Data) -> float:
        """Seconds that all methods get."""
        return float(data[Remedy("clipping")]["wall_seconds"][-1])

    def medians(self, data: Data) -> dict[str, dict[str, float]]:
        """Median accuracy of networks by measure and method."""
        budget = self.budget(data)
        return {
            "last": {c.method: float(np.median(part["last"])) for c, part in data.items()},
            "best": {c.method: float(np.median(part["best"])) for c, part in data.items()},
            "equal_time": {c.method: accuracy_at(part, budget) for c, part in data.items()},
        }

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Adaptive flossing is as good and as fast as the best of the others."""
        others = self._others()
        for measure, median in self.medians(data).items():
            values = [median[name] for name in others]
            best = METHODS[others[int(np.argmax(values))]].label
            text = f"{MEASURES[measure]}: median accuracy, adaptive flossing (best of the others: {best})"
            yield Claim.at_least(text, median["adaptive"], np.max(values) - _NEAR)
        speed = _speeds(data)
        fastest = min(others, key=lambda name: speed[name])
        if np.isfinite(speed["adaptive"]):
            known = np.isfinite(speed[fastest])
            limit = speed[fastest] if known else 10 * speed["adaptive"]
            text = (
                "median wall seconds to 95 %, adaptive flossing (fastest other: "
                f"{METHODS[fastest].label if known else 'none gets there'})"
            )
            yield Claim.at_most(text, speed["adaptive"], limit)

    def _others(self) -> list[str]:
        return [name for name in self.methods if name not in ("adaptive", "before")]

    def better(self, data: Data) -> dict[str, list[str]]:
        """Names of the methods that do better than adaptive flossing, by measure in words."""
        others, speed = self._others(), _speeds(data)
        better = {
            MEASURES[measure]: [m for m in others if median[m] > median["adaptive"] + _NEAR]
            for measure, median in self.medians(data).items()
        }
        faster = [name for name in others if speed[name] < speed["adaptive"]]
        return better | {"wall time to 95 %": faster}

    def figure(self, data: Data, published: Published) -> Figure:
        """Accuracy against epochs and against seconds, accuracies at the end, and where flossing loses."""
        setting = f"delayed XOR, d = {self.delay}, N = {self.hidden_size}"
        return baselines_figure.figure(
            {case.method: part for case, part in data.items()},
            self.medians(data),
            self.better(data),
            budget=self.budget(data),
            averaged=self.averaged,
            setting=setting,
        )


def _seconds(clock: list[Block]) -> np.ndarray:
    """Wall seconds that have passed after each epoch, flossing before training included."""
    before = sum(block.wall_seconds for block in clock if block.kind == "flossing")
    each = [
        np.full(block.count, block.wall_seconds / block.count)
        for block in clock
        if block.kind == "training"
    ]
    return before + np.cumsum(np.concatenate(each))


def accuracy_at(part: xr.Dataset, seconds: float) -> float:
    """Median accuracy when so many seconds are over: chance before the first epoch."""
    wall = part["wall_seconds"].values
    if seconds < wall[0]:
        return 0.5
    return float(np.interp(seconds, wall, part["median_accuracy"].values))


def _parameters(config: RunConfig) -> int:
    networks = eqx.filter_eval_shape(config.networks)
    return sum(x.size for x in jax.tree.leaves(networks)) // config.realisations


def _speeds(data: Data) -> dict[str, float]:
    """Median seconds to 95 % by method; infinite when half of the networks never got there."""
    seconds = {case.method: part["seconds_to_95"].values for case, part in data.items()}
    return {name: float(np.median(np.where(np.isnan(s), np.inf, s))) for name, s in seconds.items()}
