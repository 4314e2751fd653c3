"""Delayed XOR and copy with LIF networks whose bits are spike patterns, with and without flossing.

A trial shows one bit (copy) or two (XOR), each for 20 ms as random spikes of one of two groups of
inputs. Otherwise both groups fire alike, and the answer is read when the delay is over. Engelken & Abbott
2024 say that surrogate gradient flossing raises success rates of spiking networks on such tasks; their
settings and numbers are not public.

Adaptive flossing scales the heights of the surrogate derivatives, so all networks of a kind start with the
same spikes. At one delay it is compared with what else is done about gradients of spiking networks, in the
same number of epochs: flossing of the weights before training, a gentle surrogate, a steepness tuned to the
flossed exponent, clipping, fluctuation-driven weights, and adaptive thresholds.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
import numpy as np

from ...cells import LIFSpec
from ...floss import Before, Flosser, Heights, Schedule
from ...runs import RunConfig
from ...tasks import SpikingBits
from ...training import measure_exponents
from ..lab.careful import CarefulAdam
from ..lab.claims import Claim, Result
from ..lab.runs import Outcome, Reporters, do_runs
from ..rate.delays import SOLVED, summary
from .xor_figure import NAMES, spiking_xor_figure

Case = tuple[Literal["xor", "copy"], int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurrentBefore(Before):
    """Floss the recurrent weights before training, and nothing else."""

    def flosser(self, step: Callable[[Any], Any]) -> Flosser:
        """What takes the flossing steps."""
        return dataclasses.replace(
            super().flosser(step),
            where=lambda network: network.cell.recurrent_weight,
            keep_row_means=False,
        )


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    delays: tuple[Case, ...] = (("xor", 4), ("xor", 6), ("xor", 8), ("copy", 10))
    """Tasks and delays, in bins."""
    shown: Case = ("xor", 6)
    """Task and delay of the other remedies, whose training, spikes and rates are shown."""
    schedules: tuple[str, ...] = ("none", "adaptive")
    remedies: tuple[str, ...] = (
        "before", "gentle", "tuned", "clipped", "fluctuations", "thresholds", "thresholds, adaptive",
    )  # fmt: skip
    networks: int = 9
    epochs: int = 1500
    bits: SpikingBits = SpikingBits(20, bin_steps=10, channels=40, probability=0.5, single=True)
    """How bits are shown: 20 ms each."""
    cell: LIFSpec = LIFSpec(
        128,
        surrogate="sigmoid",
        sharpness=5.0,
        reset_gradient="ignored",
        time_step=2.0,
        readout_gain=0.3,
    )
    """Networks; the surrogate derivative has area one where it is not flossed."""
    tried: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 13.0, 16.0, 20.0)
    """Steepnesses from which one is tuned."""
    before: RecurrentBefore = RecurrentBefore(
        num_exponents=16, steps_before=100, learning_rate=1e-3
    )
    """How networks are flossed before training; as many exponents are measured."""
    adaptive: Heights = Heights(every=5, band=1.0, level=-2.0, response=3.0, num_starts=16)
    """How the first exponent is held; its level is also where exponents are flossed to, and tuned."""
    batch_size: int = 32
    optimiser: CarefulAdam = CarefulAdam(
        chance_loss=math.log(2),
        learning_rate=3e-3,
        final_learning_rate=5e-4,
        readout_rate=0.1,
        slow_below=0.5,
        clip="global",
        clip_norm=1.0,
    )
    clip_norm: float = 0.03
    """Of each array, where networks are called clipped."""
    adaptation_time_constant: float = 200.0
    """Of adaptive thresholds, in ms."""
    adaptation_strength: float = 0.2
    seed: int = 1

    def run(self, task: str, delay: int, method: str, sharpness: float | None = None) -> RunConfig:
        """One of the runs; the method is a schedule or a remedy."""
        optimiser = self.optimiser
        if method == "clipped":
            optimiser = dataclasses.replace(optimiser, clip="array", clip_norm=self.clip_norm)
        cell = dataclasses.replace(self.cell, **self._changes(method))
        if sharpness is not None:
            cell = dataclasses.replace(cell, sharpness=sharpness)
        order = {"copy": 0, "xor": 1}[task]
        return RunConfig(
            task=dataclasses.replace(self.bits, delay=delay, order=order),
            cell=cell,
            schedule=self.schedule(method, delay),
            optimiser=optimiser,
            epochs=self.epochs,
            batch_size=self.batch_size,
            realisations=self.networks,
            seed=self.seed,
            measure_every=None,
            measure_exponents=self.before.num_exponents,
        )

    def _changes(self, method: str) -> dict[str, Any]:
        """What a method changes of the networks."""
        if method == "gentle":
            return {"surrogate": "super-spike", "sharpness": 1.0}
        if method == "fluctuations":
            rate = 1000 * 0.5 * self.bits.probability / self.cell.time_step
            return {"fluctuations": 1.0, "input_rate": rate}
        if method.startswith("thresholds"):
            names = ("adaptation_time_constant", "adaptation_strength")
            return {name: getattr(self, name) for name in names}
        return {}

    def schedule(self, method: str, delay: int) -> Schedule | None:
        """How the networks of a method are flossed."""
        if method.endswith("adaptive"):
            return self.adaptive
        if method == "before":
            return dataclasses.replace(self.before, targets=(self.target(delay),))
        return None

    def target(self, delay: int) -> float:
        """The middle of the band, in nats per step."""
        return self.adaptive.level / (delay * self.bits.bin_steps)

    def tuned(self) -> float:
        """The steepness tried with which the median first exponent is nearest to the target."""
        task, delay = self.shown

        def miss(sharpness: float) -> float:
            config = self.run(task, delay, "none", sharpness)
            found = measure_exponents(config.networks(), config.keys(), config.trainer, 1, 500)
            return abs(float(np.median(found)) - self.target(delay))

        return min(self.tried, key=miss)

    def runs(self) -> dict[str, RunConfig]:
        """All runs by name, such as ``xor,d=6,adaptive``."""
        found = {
            f"{task},d={delay},{s}": self.run(task, delay, s)
            for task, delay in self.delays
            for s in self.schedules
        }
        task, delay = self.shown
        for method in self.remedies:
            sharpness = self.tuned() if method == "tuned" else None
            found[f"{task},d={delay},{method}"] = self.run(task, delay, method, sharpness)
        return found

    def milliseconds(self, delay: int) -> float:
        """A delay given in bins."""
        return delay * self.bits.bin_steps * self.cell.time_step


QUICK = Settings(
    delays=(("xor", 2),), shown=("xor", 2), remedies=("tuned",), networks=2, epochs=60,
    cell=dataclasses.replace(Settings.cell, hidden_size=24),
    before=dataclasses.replace(Settings.before, num_exponents=4), tried=(4.0, 8.0),
)  # fmt: skip


def run(
    quick: bool = False,
    settings: Settings | None = None,
    folder: Path | None = None,
    reporters: Reporters | None = None,
) -> Result:
    """Runs the experiment; the quick version has two small networks, one short delay, 60 epochs."""
    settings = settings or (QUICK if quick else Settings())
    outcomes = do_runs(settings.runs(), folder, reporters)
    numbers = {name: _summary(outcome, settings) for name, outcome in outcomes.items()}
    task, delay = settings.shown
    methods = (*settings.schedules, *settings.remedies)
    shown = {m: outcomes[f"{task},d={delay},{m}"] for m in methods}
    return Result(
        name="spiking-xor",
        title="delayed XOR and copy of spike patterns, LIF networks",
        source="Engelken & Abbott 2024 (surrogate gradient flossing); no published numbers",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=_claims(numbers, settings),
        figure=spiking_xor_figure(
            {s: shown[s].data for s in settings.schedules},
            numbers,
            trial(shown["adaptive"], 0),
            settings,
            SOLVED,
        ),
    )


def _summary(outcome: Outcome, settings: Settings) -> dict[str, Any]:
    """Numbers of a run, one per network in the lists; exponents are per step, rates in Hz."""
    data = outcome.data
    task: Any = outcome.config.task
    cell: Any = outcome.config.cell
    accuracy = data["accuracy"].values
    means = np.array([accuracy[i : i + 20].mean(0) for i in range(max(1, len(accuracy) - 19))])
    rates = [
        1000 * trial(outcome, i)["spikes"].mean() / settings.cell.time_step
        for i in range(settings.networks)
    ]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log10(data["gradient_norm"].values)
    return summary(outcome) | {
        "delay_ms": settings.milliseconds(task.delay),
        "sharpness": cell.sharpness,
        "firing_rate": np.round(rates, 1).tolist(),
        "largest_log10_gradient_norm": np.round(logs.max(0), 2).tolist(),
        "epochs_with_non_finite_gradient": data["skipped"].values.sum(0).tolist(),
        "collapsed_after_95_percent": int(((means.max(0) >= SOLVED) & (means[-1] < 0.75)).sum()),
    }


def trial(outcome: Outcome, number: int) -> dict[str, np.ndarray]:
    """One held-out trial of a trained network: input spikes, its spikes, outputs and targets per bin."""
    network = jax.tree.map(lambda x: x[number] if eqx.is_array(x) else x, outcome.networks)
    task: Any = outcome.config.task
    key = jax.random.fold_in(outcome.config.keys()[number], 2**31 - 1)
    sample = task.sample(key)
    spikes, outputs = _play(network, sample.inputs)
    return {
        "inputs": np.asarray(sample.inputs),
        "spikes": np.asarray(spikes),
        "outputs": np.asarray(task.read(outputs)),
        "targets": np.asarray(sample.targets),
        "mask": np.asarray(sample.mask),
    }


@eqx.filter_jit
def _play(network: Any, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    spikes = network.cell.over_time(inputs, network.initial_state)
    return spikes, spikes @ network.readout_weight.T + network.readout_bias


def _claims(numbers: dict[str, Any], settings: Settings) -> list[Claim]:
    tau, claims = settings.cell.membrane_time_constant, []

    def words(task: str, delay: int) -> str:
        ms = settings.milliseconds(delay)
        return f"{task}, {ms:g} ms = {ms / tau:g} tau_mem: networks of {settings.networks} at 95 %"

    for task, d in settings.delays:
        flossed, plain = (numbers[f"{task},d={d},{s}"]["solved"] for s in ("adaptive", "none"))
        text = f"{words(task, d)}, adaptive; more than not flossed"
        claims.append(Claim(text, flossed, plain, below=False))
    task, d = settings.shown
    flossed = numbers[f"{task},d={d},adaptive"]["solved"]
    least = settings.networks - 1.5
    claims.append(Claim(f"{words(task, d)}, adaptive", flossed, least, below=False))
    for method in (*settings.schedules, *settings.remedies):
        if not method.endswith("adaptive"):
            solved = numbers[f"{task},d={d},{method}"]["solved"]
            claims.append(Claim(f"{words(task, d)}, {NAMES[method]}", solved, flossed))
    rows = [row for name, row in numbers.items() if name.endswith("adaptive")]
    lost = sum(
        row["collapsed_after_95_percent"]
        + sum(n > 0 for n in row["epochs_with_non_finite_gradient"])
        for row in rows
    )
    claims.append(Claim("adaptive: networks that collapsed or had a non-finite gradient", lost, 1))
    return claims
