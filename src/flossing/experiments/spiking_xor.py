"""Delayed XOR and copy with LIF networks whose bits are spike patterns, with and without flossing.

A stream of bits, each shown for a time bin as random spikes of one of two groups of inputs; the
answer is read from the mean output over a bin. Engelken & Abbott 2024 say that surrogate gradient flossing
raises success rates of spiking networks on such tasks; settings and numbers of theirs are not public.
"""

import dataclasses
from pathlib import Path
from typing import Any, Literal, cast

import equinox as eqx
import jax
import numpy as np

from ..floss import Adaptive, Flossing
from ..floss.schedules import Schedule
from ..runs import CellConfig, RunConfig, TaskConfig
from ..training import Network, Training
from ._delays import SOLVED, summary
from ._result import Claim, Result
from ._runs import Outcome, Reporters, do_runs
from ._spiking_xor_figure import spiking_xor_figure


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    delays: tuple[tuple[Literal["xor", "copy"], int], ...] = (("xor", 8), ("copy", 8))
    """Tasks and delays, in bins."""
    shown: tuple[Literal["xor", "copy"], int] = ("xor", 8)
    """Task and delay whose course of training, spikes and rates are shown."""
    adapting: tuple[tuple[Literal["xor", "copy"], int], ...] = ()
    """Tasks and delays of the networks with adaptive thresholds."""
    schedules: tuple[Schedule, ...] = ("none", "before", "adaptive")
    networks: int = 9
    neurons: int = 64
    epochs: int = 1000
    bins: int = 3
    """Length of a trial, in delays."""
    time_step: float = 2.0
    """In ms."""
    bin_steps: int = 5
    """10 ms per bit."""
    probability: float = 0.5
    """Of an input spike per step."""
    membrane_time_constant: float = 10.0
    synapse_time_constant: float = 5.0
    adaptation_time_constant: float = 100.0
    adaptation_strength: float = 0.5
    reset: Literal["to_zero", "subtract", "none"] = "subtract"
    gain: float = 2.5
    input_gain: float = 3.0
    sharpness: float = 4.0
    num_exponents: int = 40
    steps_before: int = 150
    flossing_rate: float = 1e-3
    learning_rate: float = 1e-3
    adaptive: Adaptive = Adaptive("both", every=20, band=1.0, centre=-1.0, response=7.0)
    seed: int = 1

    def run(self, task: str, delay: int, schedule: str, adapting: bool) -> RunConfig:
        """One of the runs."""
        return RunConfig(
            task=TaskConfig(
                cast(Any, task), delay, bin_steps=self.bin_steps, probability=self.probability
            ),
            cell=CellConfig(
                "lif",
                self.neurons,
                gain=self.gain,
                input_gain=self.input_gain,
                sharpness=self.sharpness,
                reset=self.reset,
                membrane_time_constant=self.membrane_time_constant,
                synapse_time_constant=self.synapse_time_constant,
                adaptation_time_constant=self.adaptation_time_constant if adapting else None,
                adaptation_strength=self.adaptation_strength,
                time_step=self.time_step,
            ),
            flossing=Flossing(
                schedule=cast(Schedule, schedule),
                num_exponents=self.num_exponents,
                steps_before=self.steps_before,
                learning_rate=self.flossing_rate,
                parameters=("recurrent_weight",),
                adaptive=self.adaptive,
            ),
            training=Training(
                epochs=self.epochs,
                num_steps=self.bins * delay * self.bin_steps,
                learning_rate=self.learning_rate,
            ),
            realisations=self.networks,
            seed=self.seed,
            measure_every=0,
            measure_exponents=self.num_exponents,
        )

    def runs(self) -> dict[str, RunConfig]:
        """All runs by name, such as ``xor,d=8,adaptive``."""
        found = {}
        for adapting, cases in ((False, self.delays), (True, self.adapting)):
            for task, delay in cases:
                for s in self.schedules:
                    name = f"{task},d={delay},{s}" + ",adapting" * adapting
                    found[name] = self.run(task, delay, s, adapting)
        return found

    def milliseconds(self, delay: int) -> float:
        """A delay given in bins."""
        return delay * self.bin_steps * self.time_step


QUICK = Settings(
    delays=(("xor", 2), ("copy", 4)), shown=("copy", 4), networks=2, neurons=32, epochs=150,
    num_exponents=12, steps_before=50,
)  # fmt: skip


def run(
    quick: bool = False,
    settings: Settings | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has two small networks, short delays, 150 epochs."""
    settings = settings or (QUICK if quick else Settings())
    outcomes = do_runs(settings.runs(), folder, reporters)
    numbers = {name: _summary(outcome, settings) for name, outcome in outcomes.items()}
    task, delay = settings.shown
    shown = {s: outcomes[f"{task},d={delay},{s}"] for s in settings.schedules}
    raster = trial(shown[settings.schedules[-1]], 0)
    return Result(
        name="spiking-xor",
        title="delayed XOR and copy of spike patterns, LIF networks",
        source="Engelken & Abbott 2024 (surrogate gradient flossing); no published numbers",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=_claims(numbers, settings),
        figure=spiking_xor_figure(
            {s: o.data for s, o in shown.items()}, numbers, raster, settings, SOLVED
        ),
    )


def _summary(outcome: Outcome, settings: Settings) -> dict[str, Any]:
    """Numbers of a run, one per network in the lists; exponents are per ms, rates in Hz."""
    found = summary(outcome)
    for name in ("first_exponent_start", "first_exponent_end"):
        found[name] = [round(x / settings.time_step, 5) for x in found[name]]
    rates = [
        1000 * trial(outcome, i)["spikes"].mean() / settings.time_step
        for i in range(settings.networks)
    ]
    return found | {
        "delay_ms": settings.milliseconds(outcome.config.task.delay),
        "firing_rate": np.round(rates, 1).tolist(),
        "epochs_with_non_finite_gradient": outcome.data["skipped"].values.sum(0).tolist(),
    }


def trial(outcome: Outcome, number: int) -> dict[str, np.ndarray]:
    """One held-out trial of a trained network: input spikes, its spikes, outputs and targets per bin."""
    network = jax.tree.map(lambda x: x[number] if eqx.is_array(x) else x, outcome.networks)
    task, steps = outcome.config.task.build(), outcome.config.training.num_steps
    key = jax.random.fold_in(outcome.config.keys()[number], 2**31 - 1)
    sample = task.sample(key, steps)
    spikes, outputs = _play(network, sample.inputs)
    return {
        "inputs": np.asarray(sample.inputs),
        "spikes": np.asarray(spikes),
        "outputs": np.asarray(task.read(outputs)),
        "targets": np.asarray(sample.targets),
        "mask": np.asarray(sample.mask),
    }


@eqx.filter_jit
def _play(network: Network, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    spikes = network.cell.over_time(inputs, network.initial_state)
    return spikes, spikes @ network.readout_weight.T + network.readout_bias


def _claims(numbers: dict[str, Any], settings: Settings) -> list[Claim]:
    tau, claims = settings.membrane_time_constant, []
    for task in sorted({task for task, _ in settings.delays}):
        delays = [d for t, d in settings.delays if t == task]
        for d in delays:
            flossed, plain = (numbers[f"{task},d={d},{s}"]["solved"] for s in ("adaptive", "none"))
            ms = settings.milliseconds(d)
            text = f"{task}, {ms:g} ms = {ms / tau:g} tau_mem: networks at 95 %"
            least = settings.networks - 1.5
            claims += [
                Claim(f"{text}, adaptive, of {settings.networks}", flossed, least, below=False),
                Claim(f"{text}, not flossed, of {settings.networks}", plain, flossed),
            ]
        for s in settings.schedules:
            solved = [
                d
                for d in delays
                if np.median(numbers[f"{task},d={d},{s}"]["test_accuracy"]) >= SOLVED
            ]
            text = f"{task}: largest delay with a median of 95 %, in ms, {s}"
            claims.append(
                Claim(text, settings.milliseconds(max(solved, default=0)), 0, below=False)
            )
    lost = sum(
        n > 0
        for name, row in numbers.items()
        if "adaptive" in name
        for n in row["epochs_with_non_finite_gradient"]
    )
    claims.append(Claim("networks with a non-finite gradient, adaptive", lost, 1))
    return claims
