"""Adaptive flossing of other networks: orthogonal, leaky, GRU, LSTM, two layers (Engelken 2023).

Three tasks: delayed XOR and copy, with exponents flossed to zero, and parity of four bits, with exponents
flossed to -0.1 (see ``parity``). The same settings for all kinds: units, training rate, number of flossed
exponents. A gated network has three or four times as many parameters as a tanh network of the same size, an
LSTM and two layers twice as many state variables. Gated networks are there twice: as they usually start, with
gates half open, and with open gates, so that they start nearly as tanh networks.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from ...cells import CellSpec, GRUSpec, LSTMSpec, TanhSpec
from ...floss import Adaptive
from ...runs import RunConfig
from ...runs.plots import style
from ..lab.claims import Claim, Result
from ..lab.runs import Reporters, do_runs
from .delays import Delays, accuracy_panel, summary

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class AsTheyStart(Adaptive):
    """Adaptive flossing that leaves gates as they start, half open or open."""

    def prepared(self, networks: Any) -> Any:
        """The same networks."""
        return networks


_TASKS = {"xor": "delayed XOR", "copy": "copy", "parity": "parity of 4 bits"}
_TARGETS = {"xor": 0.0, "copy": 0.0, "parity": -0.1}
"""Of the flossed exponents, nats per step."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    architectures: tuple[str, ...] = tuple(ARCHITECTURES)
    delays: Mapping[str, tuple[int, ...]] = dataclasses.field(
        default_factory=lambda: {"xor": (40,), "copy": (40,), "parity": (16,)}
    )
    """Of each task, in steps: ``"xor"``, ``"copy"``, ``"parity"``."""
    schedules: tuple[str, ...] = ("none", "adaptive")
    hidden_size: int = 80
    networks: int = 4
    epochs: int = 1001
    learning_rate: float = 2e-3
    """At the first epoch; it falls along a cosine to a twentieth."""
    steps_before: int = 200
    seed: int = 1

    def runs(self) -> dict[str, RunConfig]:
        """All runs by name: architecture, task, delay, schedule."""
        found = {}
        for architecture in self.architectures:
            for task, steps in self.delays.items():
                own: dict[str, Any] = {
                    field.name: getattr(self, field.name) for field in dataclasses.fields(self)
                }
                del own["architectures"]
                changes: dict[str, Any] = {
                    "cell": ARCHITECTURES[architecture][1],
                    "target": _TARGETS[task],
                }
                delays = Delays(task, **{**own, **changes, "delays": steps})
                for name, config in delays.runs().items():
                    _, rest = name.split(",", 1)
                    if isinstance(config.schedule, Adaptive):
                        schedule = AsTheyStart(**dataclasses.asdict(config.schedule))
                        config = dataclasses.replace(config, schedule=schedule)
                    found[f"{architecture},{task},{rest}"] = config
        return found


QUICK = Settings(
    architectures=("tanh", "orthogonal", "leaky", "gru"),
    delays={"xor": (20,)},
    hidden_size=32,
    networks=2,
    epochs=300,
    steps_before=100,
)


def run(
    quick: bool = False,
    settings: Settings | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has four kinds of small networks, one task, one delay."""
    settings = settings or (QUICK if quick else Settings())
    outcomes = do_runs(settings.runs(), folder, reporters)
    numbers = {name: summary(outcome) for name, outcome in outcomes.items()}
    return Result(
        name="architectures",
        title="adaptive flossing of other networks",
        source="Engelken 2023 (gradient flossing)",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=_claims(numbers, settings),
        figure=_figure(numbers, settings),
    )


def solved(numbers: dict[str, Any], settings: Settings, architecture: str, schedule: str) -> int:
    """Networks of one kind at 95 %, of all tasks and delays together."""
    return sum(
        numbers[f"{architecture},{task},d={d},{schedule}"]["solved"]
        for task, delays in settings.delays.items()
        for d in delays
    )


def _claims(numbers: dict[str, Any], settings: Settings) -> list[Claim]:
    """Flossed networks solve no fewer tasks than others; of all kinds together, they solve more."""
    if not {"none", "adaptive"} <= set(settings.schedules):
        return []
    total = sum(map(len, settings.delays.values())) * settings.networks
    count = {
        schedule: [solved(numbers, settings, a, schedule) for a in settings.architectures]
        for schedule in ("none", "adaptive")
    }
    claims = [
        Claim(
            f"{ARCHITECTURES[a][0]}: networks of {total} at 95 %, adaptive ({plain} not flossed)",
            flossed,
            plain - 0.5,
            below=False,
        )
        for a, plain, flossed in zip(
            settings.architectures, count["none"], count["adaptive"], strict=True
        )
    ]
    text = "all together: networks at 95 %, adaptive; more than not flossed"
    return [*claims, Claim(text, sum(count["adaptive"]), sum(count["none"]), below=False)]


def _figure(numbers: dict[str, Any], settings: Settings) -> Figure:
    kinds, tasks = settings.architectures, settings.delays
    with style():
        size = (1.2 + 1.7 * len(kinds), 0.8 + 2.1 * len(tasks))
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(tasks), len(kinds), squeeze=False, sharex="row", sharey=True)
        for row, (task, delays) in zip(axes, tasks.items(), strict=True):
            for axis, kind in zip(row, kinds, strict=True):
                by_schedule = {
                    s: [numbers[f"{kind},{task},d={d},{s}"] for d in delays]
                    for s in settings.schedules
                }
                accuracy_panel(axis, delays, by_schedule)
                axis.set(xlabel="", ylabel="")
            row[0].set_ylabel(f"{_TASKS[task]}\nheld-out accuracy (%)")
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
            f"N = {settings.hidden_size}; points: networks, line: median of {settings.networks}",
            fontsize=10,
        )
    return figure
