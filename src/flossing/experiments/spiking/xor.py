"""Delayed XOR and copy with LIF networks whose bits are spike patterns, with and without flossing."""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

import equinox as eqx
import jax
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...cells import LIFSpec
from ...floss import Before, Flosser, Heights, Schedule
from ...plots.series import smooth, smooth_nan
from ...runs import RunConfig, RunResult, run
from ...tasks import SpikingBits
from ...training import measure_exponents
from ..lab.careful import CarefulAdam
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.learning import SOLVED, learned, solved
from ..lab.published import Published
from .xor_figure import METHODS, spiking_xor_figure

SHOWN = 500
"""Points of a curve of training that are kept, at most."""


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
class Trained:
    """Networks that learn one task with one method."""

    task: Literal["xor", "copy"]
    delay: int
    """In bins."""
    method: str
    """A schedule or a remedy."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingXOR(Experiment):
    """Networks that differ in what is done about their gradients.

    A trial shows one bit (copy) or two (XOR), each for 20 ms as random spikes of one of two groups of
    inputs. Otherwise both groups fire alike, and the answer is read when the delay is over. Engelken & Abbott
    2024 say that surrogate gradient flossing raises success rates of spiking networks on such tasks; their
    settings and numbers are not public.

    Adaptive flossing scales the heights of the surrogate derivatives, so all networks of a kind start with
    the same spikes; it looks along 16 trajectories. At one delay it is compared with what else is done about
    gradients of spiking networks, in the same number of epochs: flossing of the weights before training, a
    gentle surrogate (SuperSpike of sharpness 1), a steepness tuned to the flossed exponent, clipping of each
    array's gradient, fluctuation-driven weights (Rossbroich et al. 2022), and adaptive thresholds.
    """

    title = "delayed XOR and copy of spike patterns, LIF networks"
    source = "Engelken & Abbott 2024 (surrogate gradient flossing); no published numbers"
    shows = (
        "Adaptively flossed LIF networks solve a delayed XOR over twelve membrane time constants. Nothing "
        "else that is done about their gradients does."
    )
    delays: tuple[tuple[Literal["xor", "copy"], int], ...] = (
        ("xor", 4), ("xor", 6), ("xor", 8), ("copy", 10),
    )  # fmt: skip
    """Tasks and delays, in bins."""
    shown: tuple[Literal["xor", "copy"], int] = ("xor", 6)
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

    @classmethod
    def quick(cls) -> Self:
        """Two small networks, one short delay, 60 epochs."""
        full = cls()
        return cls(
            delays=(("xor", 2),),
            shown=("xor", 2),
            remedies=("tuned",),
            networks=2,
            epochs=60,
            cell=dataclasses.replace(full.cell, hidden_size=24),
            before=dataclasses.replace(full.before, num_exponents=4),
            tried=(4.0, 8.0),
        )

    @property
    def methods(self) -> tuple[str, ...]:
        """All methods at the delay that is shown."""
        return (*self.schedules, *self.remedies)

    def cases(self) -> dict[Trained, Any]:
        """A training run for every task, delay and method."""
        cases = [Trained(task, d, s) for task, d in self.delays for s in self.schedules]
        cases += [Trained(*self.shown, method) for method in self.remedies]
        tuned = {
            case: functools.partial(self.tuned, case) for case in cases if case.method == "tuned"
        }
        return {case: self.run(case) for case in cases} | tuned

    def run(self, case: Trained, sharpness: float | None = None) -> RunConfig:
        """The run of a case, with another steepness of the surrogate if one is given."""
        optimiser = self.optimiser
        if case.method == "clipped":
            optimiser = dataclasses.replace(optimiser, clip="array", clip_norm=self.clip_norm)
        cell = dataclasses.replace(self.cell, **self._changes(case.method))
        if sharpness is not None:
            cell = dataclasses.replace(cell, sharpness=sharpness)
        order = {"copy": 0, "xor": 1}[case.task]
        return RunConfig(
            task=dataclasses.replace(self.bits, delay=case.delay, order=order),
            cell=cell,
            schedule=self.schedule(case),
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

    def schedule(self, case: Trained) -> Schedule | None:
        """How the networks of a case are flossed."""
        if case.method.endswith("adaptive"):
            return self.adaptive
        if case.method == "before":
            return dataclasses.replace(self.before, targets=(self.target(case.delay),))
        return None

    def target(self, delay: int) -> float:
        """The middle of the band, in nats per step."""
        return self.adaptive.level / (delay * self.bits.bin_steps)

    def steepness(self, case: Trained) -> float:
        """The steepness tried with which the median first exponent is nearest to the target."""

        def miss(sharpness: float) -> float:
            config = self.run(case, sharpness)
            exponents = measure_exponents(config.networks(), config.keys(), config.trainer, 1, 500)
            return abs(float(np.median(exponents)) - self.target(case.delay))

        return min(self.tried, key=miss)

    def tuned(self, case: Trained, report: Report) -> xr.Dataset:
        """Networks whose steepness is tuned before they are trained."""
        report("tuning the steepness")
        steepness = self.steepness(case)
        report(f"training with steepness {steepness:g}")
        return self.measure(case, run(self.run(case, steepness), write=False))

    def measure(self, case: Trained, outcome: Any) -> xr.Dataset:
        """What networks learned, firing rates, the worst gradients; and what the figure shows of some."""
        if isinstance(outcome, xr.Dataset):
            return outcome
        data, cell = outcome.data, outcome.config.cell
        accuracy = data["accuracy"].values
        means = smooth(accuracy, 20)[min(19, len(accuracy) - 1) :]
        trials = [trial(outcome, number) for number in range(self.networks)]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = np.log10(data["gradient_norm"].values)
        rates = [1000 * parts["spikes"].mean() / self.cell.time_step for parts in trials]
        numbers = learned(outcome).assign(
            firing_rate=("network", rates),
            largest_log10_gradient_norm=("network", logs.max(0)),
            epochs_with_non_finite_gradient=("network", data["skipped"].values.sum(0)),
            collapsed_after_95_percent=int(((means.max(0) >= SOLVED) & (means[-1] < 0.75)).sum()),
            sharpness=cell.sharpness,
        )
        if (case.task, case.delay) != self.shown or case.method not in self.schedules:
            return numbers
        epochs = np.arange(0, len(accuracy), -(-len(accuracy) // SHOWN))
        logs = smooth_nan(np.where(np.isfinite(logs), logs, np.nan))
        courses = {"course": smooth(accuracy, 10), "log10_gradient_course": logs}
        numbers = numbers.assign({n: (("epoch", "network"), c[epochs]) for n, c in courses.items()})
        return numbers.assign(_labelled(trials[0])).assign_coords(epoch=epochs)

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Adaptively flossed networks solve what others do not, and do not come to harm."""
        tau = self.cell.membrane_time_constant

        def words(task: str, delay: int) -> str:
            ms = self.milliseconds(delay)
            return f"{task}, {ms:g} ms = {ms / tau:g} tau_mem: networks of {self.networks} at 95 %"

        for task, d in self.delays:
            flossed, plain = (solved(data[Trained(task, d, s)]) for s in ("adaptive", "none"))
            text = f"{words(task, d)}, adaptive; more than not flossed"
            yield Claim.at_least(text, flossed, plain + 1)
        count = {method: solved(data[Trained(*self.shown, method)]) for method in self.methods}
        text, flossed = words(*self.shown), count["adaptive"]
        yield Claim.at_least(f"{text}, adaptive", flossed, self.networks - 1)
        for method in self.methods:
            if not method.endswith("adaptive"):
                yield Claim.at_most(f"{text}, {METHODS[method]}", count[method], flossed - 1)
        harmed = [
            part["collapsed_after_95_percent"].item()
            + np.minimum(part["epochs_with_non_finite_gradient"].values, 1).sum()
            for case, part in data.items()
            if case.method.endswith("adaptive")
        ]
        yield Claim.at_most(
            "adaptive: networks that collapsed or had a non-finite gradient", np.sum(harmed), 0
        )

    def milliseconds(self, delay: int) -> float:
        """A delay given in bins."""
        return delay * self.bits.bin_steps * self.cell.time_step

    def figure(self, data: Data, published: Published) -> Figure:
        """Accuracy, success and rates against delay, other remedies, training, gradients, a raster."""
        against = {
            (task, s): {d: data[Trained(task, d, s)] for t, d in self.delays if t == task}
            for task in dict(self.delays)
            for s in self.schedules
        }
        shown = {method: data[Trained(*self.shown, method)] for method in self.methods}
        return spiking_xor_figure(against, shown, self)


def _labelled(parts: dict[str, np.ndarray]) -> dict[str, Any]:
    """The parts of a trial with the names of their axes; spikes as small numbers."""
    right = (parts["outputs"] > 0) == (parts["targets"] > 0.5)
    return {
        "inputs": (("time", "channel"), parts["inputs"].astype(np.int8)),
        "spikes": (("time", "neuron"), parts["spikes"].astype(np.int8)),
        "right": ("bin", right[:, 0].astype(np.int8)),
        "asked": ("bin", parts["mask"].astype(np.int8)),
    }


def trial(outcome: RunResult, number: int) -> dict[str, np.ndarray]:
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
