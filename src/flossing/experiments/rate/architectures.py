"""Adaptive flossing of other networks: orthogonal, leaky, GRU, LSTM, two layers."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...cells import CellSpec, GRUSpec, LSTMSpec, TanhSpec
from ...floss import Adaptive
from ...plots import style
from ...runs import RunConfig
from ...tasks import Task
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment
from ..lab.learning import accuracy_panel, learned, solved, training_run
from ..lab.published import Published

ARCHITECTURES: dict[str, tuple[str, CellSpec]] = {
    "tanh": ("tanh", TanhSpec()),
    "orthogonal": ("tanh, orthogonal", TanhSpec(recurrent="orthogonal")),
    "leaky": ("tanh, leak 0.5", TanhSpec(leak=0.5)),
    "two-layers": ("tanh, two layers", TanhSpec(layers=2)),
    "gru": ("GRU", GRUSpec()),
    "lstm": ("LSTM", LSTMSpec()),
    "gru-open": ("GRU, gates open", GRUSpec(openness=3.0)),
    "lstm-open": ("LSTM, gates open", LSTMSpec(openness=3.0)),
}
"""Name in figures, and settings, of each."""
TASKS = {
    "xor": ("delayed XOR", 0.0),
    "copy": ("copy", 0.0),
    "parity": ("parity of 4 bits", -0.1),
}
"""Name in figures of each, and where exponents are flossed to, in nats per step."""
SCHEDULES = {"none": "not flossed", "adaptive": "adaptive"}
"""Words for each schedule."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AsTheyStart(Adaptive):
    """Adaptive flossing that leaves gates as they start, half open or open."""

    def prepared(self, networks: Any) -> Any:
        """The same networks."""
        return networks


@dataclasses.dataclass(frozen=True)
class Trained:
    """Networks of one kind that learn one task over one delay."""

    architecture: str
    task: str
    delay: int
    """In steps."""
    schedule: str
    """``"none"`` or ``"adaptive"``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architectures(Experiment):
    """Eight kinds of networks on three tasks, flossed adaptively and not flossed.

    Delayed XOR and copy are learned with exponents flossed to zero, and parity of four bits with exponents
    flossed to -0.1, as in the experiment parity. The settings are the same for all kinds: units, training
    rate, number of flossed exponents. A gated network has three or four times as many parameters as a tanh
    network of the same size, an LSTM and two layers twice as many state variables. Gated networks are there
    twice: as they usually start, with gates half open, and with open gates, so that they start nearly as tanh
    networks.
    """

    title = "adaptive flossing of other networks"
    source = "Engelken 2023 (gradient flossing)"
    shows = (
        "Flossing helps tanh networks of all kinds, and gated networks that start with open gates, to learn "
        "what they do not learn otherwise. It does not help networks with half-open gates, or leaky ones."
    )
    architectures: tuple[str, ...] = tuple(ARCHITECTURES)
    """Names of kinds."""
    delays: Mapping[str, tuple[int, ...]] = dataclasses.field(
        default_factory=lambda: {"xor": (40,), "copy": (40,), "parity": (16,)}
    )
    """Of each task, in steps: ``"xor"``, ``"copy"``, ``"parity"``."""
    hidden_size: int = 80
    networks: int = 4
    epochs: int = 1001
    learning_rate: float = 2e-3
    """At the first epoch; it falls along a cosine to a twentieth."""
    steps_before: int = 200
    """Flossing steps before training."""
    left_out: int = 5
    """How many of N exponents are not flossed: k = N - 5, as published."""
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Four kinds of small networks, one task, one delay."""
        return cls(
            architectures=("tanh", "orthogonal", "leaky", "gru"), delays={"xor": (20,)},
            hidden_size=32, networks=2, epochs=300, steps_before=100,
        )  # fmt: skip

    def cases(self) -> dict[Trained, RunConfig]:
        """All runs."""
        cases = [
            Trained(architecture, task, delay, schedule)
            for architecture in self.architectures
            for task, delays in self.delays.items()
            for schedule in SCHEDULES
            for delay in delays
        ]
        return {case: self.run(case) for case in cases}

    def run(self, case: Trained) -> RunConfig:
        """The run of a case."""
        flossed = AsTheyStart(
            num_exponents=max(1, self.hidden_size - self.left_out),
            targets=(TASKS[case.task][1],),
            steps_before=self.steps_before,
        )
        return training_run(
            Task.members[case.task](case.delay),
            dataclasses.replace(ARCHITECTURES[case.architecture][1], hidden_size=self.hidden_size),
            flossed if case.schedule == "adaptive" else None,
            learning_rate=self.learning_rate,
            epochs=self.epochs,
            networks=self.networks,
            seed=self.seed,
        )

    def measure(self, case: Any, outcome: Any) -> xr.Dataset:
        """Accuracies, epochs to 95 %, exponents and gradients of each network."""
        return learned(outcome)

    def solved(self, data: Data, architecture: str, schedule: str) -> float:
        """Networks of one kind at 95 %, of all tasks and delays together; NaN if one is not known."""
        chosen = data.where(Trained, architecture=architecture, schedule=schedule)
        return sum(solved(part) for part in chosen.values())

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Flossed networks solve no fewer tasks than others; of all kinds together, they solve more."""
        flossed, plain = (
            np.array([self.solved(data, kind, schedule) for kind in self.architectures])
            for schedule in ("adaptive", "none")
        )
        known = 0 * sum(flossed + plain)  # NaN where one of them is
        text = "kinds of networks of which fewer reach 95 % flossed than not flossed"
        yield Claim.at_most(text, (flossed < plain).sum() + known, 0)
        networks = len(self.architectures) * sum(map(len, self.delays.values())) * self.networks
        text = f"networks of {networks} at 95 %, adaptive; more than not flossed"
        yield Claim.at_least(text, flossed.sum(), plain.sum() + 1)

    def figure(self, data: Data, published: Published) -> Figure:
        """Accuracy of each kind on each task, flossed and not."""
        kinds, tasks = self.architectures, self.delays
        with style():
            size = (1.2 + 1.7 * len(kinds), 0.8 + 2.1 * len(tasks))
            figure = Figure(figsize=size, layout="constrained")
            axes = figure.subplots(len(tasks), len(kinds), squeeze=False, sharex="row", sharey=True)
            for row, (task, delays) in zip(axes, tasks.items(), strict=True):
                for axis, kind in zip(row, kinds, strict=True):
                    curves = {
                        s: {d: data[Trained(kind, task, d, s)] for d in delays} for s in SCHEDULES
                    }
                    accuracy_panel(axis, curves, SCHEDULES)
                    axis.set(xlabel="", ylabel="")
                row[0].set_ylabel(f"{TASKS[task][0]}\nheld-out accuracy (%)")
                margin = 3 + (max(delays) - min(delays)) / 8
                row[0].set_xlim(min(delays) - margin, max(delays) + margin)
                row[0].set_xticks(delays)
            for axis, kind in zip(axes[0], kinds, strict=True):
                axis.set_title(ARCHITECTURES[kind][0])
            for axis in axes[-1]:
                axis.set_xlabel("delay d (steps)")
            handles, labels = axes[0, 0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
            figure.suptitle(
                f"N = {self.hidden_size}; points: networks, line: median of {self.networks}",
                fontsize=10,
            )
        return figure
