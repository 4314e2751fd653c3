"""Two layers learn to fire a picture: deterministic, stochastic with matched surrogate, multilayer spiker."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array
from matplotlib.figure import Figure

from ...cells import LIFCell, Stack, fluctuation_driven, with_escape
from ...escape_noise import EscapeNoise, ExponentialNoise, Noisy, SigmoidNoise
from ...optimisers import OptimiserSpec
from ...spike_statistics import fano_factors, firing_rates, interspike_intervals, interval_variation
from ...surrogates import StraightThrough, SuperSpike
from ...tasks import Metric, SpikeRaster, Trial, frozen_poisson
from ...training import Trainer, begin, train_block
from ..lab.claims import Claim
from ..lab.classifier import METHODS, Given, at_rest, side_by_side
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.published import Published
from ..lab.small_classifier import one_of, stacked
from .spike_train_figure import BINS, spike_train_figure

PUBLISHED = {"deterministic": 0.11, "stochastic": 0.15}
"""Distances after training, of one seed and another picture."""
SHOWN = 300
"""Points of a curve of training that are kept, at most."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A network that is trained with one kind of spikes."""

    method: str
    """One of ``METHODS``."""
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikeTrainMatching(Experiment):
    """Networks that differ in the derivative of hidden spikes.

    200 frozen Poisson inputs drive 200 hidden and 200 output LIF neurons, whose spikes should be the dark
    pixels of a picture (Gygax & Zenke 2025, on a picture of ours). All three learn as published: the error
    of an output is the difference of its spikes from the target, taken as it is (no derivative of the
    output's spikes); what differs is the derivative of hidden spikes. Neurons have no reset, as in the
    published runs. Steps are Adam's, with rates that rise over the first tenth of the epochs (large first
    steps silence hidden neurons for good) and then fall to zero along a cosine. Distances have the
    published normalisation; how the published L2 distances are normalised is not known, ours are half the
    number of wrong steps per neuron. Weights of stochastic networks work better without noise than with it;
    those of deterministic ones do not bear noise.
    """

    title = "spike-train matching"
    source = "Gygax & Zenke 2025 (spike-train matching, one seed, another picture)"
    shows = (
        "Deterministic and stochastic networks learn to draw a picture with their spikes; the "
        "multilayer-spiker rule comes less near. Hidden neurons fire more in stochastic networks."
    )
    size: int = 200
    """Inputs, hidden and output neurons."""
    steps: int = 189
    """Of 1 ms."""
    epochs: int = 1500
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    trials: int = 10
    """Over which a stochastic network's gradient is averaged."""
    rate: float = 50.0
    """Of the inputs, in Hz."""
    steepness: tuple[float, float] = (10.0, 100.0)
    """Of hidden and output neurons (beta)."""
    learning_rates: tuple[float, float, float] = (0.02, 0.02, 0.003)
    """Of the three methods, at their largest."""
    second_moment_decay: float = 0.99
    """Of Adam (b2). With 0.999 it remembers the first, large gradients for too long."""
    reset: str = "none"
    validate_every: int = 10
    """Epochs from one look at the other dynamics to the next."""
    repeats: int = 50
    """Trials for statistics after training."""
    window: int = 20
    """For Fano factors, in ms."""
    image: str | None = None
    """File of a user's picture (as Matplotlib reads it); default the project's."""

    @classmethod
    def quick(cls) -> Self:
        """A tenth of the epochs and one seed."""
        return cls(epochs=150, seeds=(1,), trials=4, repeats=20, learning_rates=(0.03, 0.03, 0.01))

    @property
    def raster(self) -> SpikeRaster:
        """The picture as a task."""
        return SpikeRaster(num_steps=self.steps, neurons=self.size, image=self.image)

    def cases(self) -> dict[Trained, Any]:
        """Each method and seed."""
        cases = [Trained(method, seed) for method in METHODS for seed in self.seeds]
        return {case: functools.partial(self.trained, case) for case in cases}

    def network(self, method: str, key: Array) -> Stack:
        """Hidden and output layer; derivatives of outputs are constant for every method."""
        keys = jax.random.split(key, 3)
        layers = [
            LIFCell(
                self.size,
                self.size,
                surrogate=surrogate,
                reset=self.reset,  # type: ignore[arg-type]
                feedforward_only=True,
                key=k,
            )
            for surrogate, k in zip(
                (SuperSpike(self.steepness[0]), StraightThrough()), keys, strict=False
            )
        ]
        stack = fluctuation_driven(Stack(layers), rate=self.rate, key=keys[2])
        return with_escape(stack, self.escapes(method))

    def escapes(self, method: str) -> list[EscapeNoise | None]:
        """Of hidden and output neurons."""
        hidden, output = self.steepness
        if method == "deterministic":
            return [None, None]
        if method == "stochastic":
            return [SigmoidNoise(hidden), SigmoidNoise(output, rule="constant")]
        return [
            ExponentialNoise(width=0.133, rule="spike_train"),
            ExponentialNoise(width=0.013, rule="constant"),
        ]

    def trained(self, case: Trained, report: Report) -> xr.Dataset:
        """Curves of training, and statistics of spikes after it; rasters of the first seed."""
        keys = jax.random.split(jax.random.key(case.seed), 4)
        input_key, network_key, train_key, look_key = keys
        inputs = frozen_poisson(input_key, num_steps=self.steps, inputs=self.size, rate=self.rate)
        network = self.network(case.method, network_key)
        trials = self.trials if network.noise_size else 1
        other = "stochastic" if case.method == "deterministic" else "deterministic"
        other_trials = self.trials if other == "stochastic" else 1
        blocks = max(1, self.epochs // self.validate_every)
        keys = jax.random.split(train_key, (blocks, self.epochs // blocks))
        task = Picture(self.raster, inputs, keys.ravel(), network.noise_size)
        optimiser = Rising(
            learning_rate=self.learning_rates[METHODS.index(case.method)],
            second_moment_decay=self.second_moment_decay,
        )
        trainer = Trainer(
            task, optimiser, None, self.epochs, trials, state=at_rest, outputs=side_by_side
        )
        before = _look(network, task, 1, look_key)[0][1]
        state, curves, validation = begin(stacked([network]), trainer), [], []
        for some in keys:
            swapped = with_escape(one_of(state.networks, 0), self.escapes(other))
            _, distance = _look(swapped, task, other_trials, jax.random.fold_in(some[0], 1))
            validation.append(float(distance))
            state, metrics = train_block(state, train_key[None], len(some), len(some), trainer)
            curves.append({name: m.value[:, 0] for name, m in metrics.metrics.items()})
            report(f"distance {float(curves[-1]['distance'][-1]):.3g}")
        repeats = self.repeats if trials > 1 else 2
        (hidden, output), _ = _look(one_of(state.networks, 0), task, repeats, look_key)
        joined = jax.tree.map(lambda *x: np.concatenate(x).astype(float), *curves)
        summary = self.summary(joined, np.array(validation), np.asarray(hidden), np.asarray(output))
        if case.seed != self.seeds[0]:
            return summary
        target = self.raster.sample(look_key).targets
        rasters = {"target": target, "before": before[0], "after": output[0]}
        return summary.assign(
            {n: (("step", "neuron"), np.asarray(x, np.int8)) for n, x in rasters.items()}
        )

    def summary(
        self,
        curves: dict[str, np.ndarray],
        other: np.ndarray,
        hidden: np.ndarray,
        output: np.ndarray,
    ) -> xr.Dataset:
        """Curves thinned out, their ends, and statistics of spikes, shape (trial, step, neuron)."""
        count = len(curves["distance"])
        epochs = np.arange(0, count, -(-count // SHOWN))
        rasters = {"hidden": hidden, "output": output}
        ends = {f"{name}_end": values[-1] for name, values in curves.items()}
        rates = {f"{name}_rate": firing_rates(x).mean() for name, x in rasters.items()}
        fano = {name: fano_factors(x, window=self.window) for name, x in rasters.items()}
        variation = {n: interval_variation(x[:10], min_intervals=10) for n, x in rasters.items()}
        values = {
            "rate": firing_rates(hidden),
            "interval": np.concatenate([interspike_intervals(train) for train in hidden[0].T]),
            "variation": variation["hidden"],
            "fano": fano["hidden"],
        }
        return xr.Dataset(
            {f"{n}_course": ("epoch", values[epochs]) for n, values in curves.items()}
            | {"other_dynamics_course": ("look", other), "other_dynamics_end": other[-1]}
            | {"distance_start": curves["distance"][0]}
            | ends
            | rates
            | {f"{name}_fano": mean_known(x) for name, x in fano.items()}
            | {f"{name}_variation": mean_known(x) for name, x in variation.items()}
            | {f"{n}_count": (f"{n}_bin", _counts(x, BINS[n])) for n, x in values.items()},
            {"epoch": epochs, "look": np.arange(len(other)) * (count // len(other))},
        )

    def mean(self, data: Data, name: str, method: str) -> float:
        """Mean of a number over the seeds."""
        return float(np.mean([data[Trained(method, seed)][name].item() for seed in self.seeds]))

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Networks come as near to the picture as published, and noise makes hidden neurons fire more."""
        for method, value in PUBLISHED.items():
            start, end = (self.mean(data, f"distance_{x}", method) for x in ("start", "end"))
            yield Claim.at_most(
                f"{method}: van Rossum distance after {self.epochs} epochs, mean of "
                f"{len(self.seeds)} seeds (start {start:.3g})",
                end,
                value,
                published=value,
                source=self.source,
            )
        plain, noisy = (self.mean(data, "hidden_rate", method) for method in METHODS[:2])
        yield Claim.at_least(
            f"hidden rate, stochastic minus deterministic (Hz): {noisy:.1f} - {plain:.1f}",
            noisy - plain,
            0,
            published=31,
            source=self.source,
        )

    def figure(self, data: Data, published: Published) -> Figure:
        """Distances and rates in training, rasters, and statistics of hidden spikes."""
        records = {m: [data[Trained(m, seed)] for seed in self.seeds] for m in METHODS}
        return spike_train_figure(records, PUBLISHED, self)


def _counts(values: np.ndarray, bins: np.ndarray) -> np.ndarray:
    return np.histogram(values[np.isfinite(values)], bins)[0]


def mean_known(values: np.ndarray) -> float:
    """The mean of the finite values; NaN if there is none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


class Picture(Given):
    """The picture as a task for networks whose outputs are hidden and output spikes."""

    raster: SpikeRaster = eqx.field(static=True)
    inputs: Any
    keys: Any
    """Of the noise in each update."""
    noise_size: int = eqx.field(static=True)

    def batch(self, key: Any, number: Any, size: int) -> Trial:
        """Trials with the noise of that update."""
        return self.trials(self.keys[number], size)

    def trials(self, key: Any, count: int) -> Trial:
        """So many trials, whose inputs are the same."""
        target = self.raster.sample(key).targets
        many, wanted = (jnp.broadcast_to(x, (count, *x.shape)) for x in (self.inputs, target))
        if not self.noise_size:
            return Trial(many, wanted)
        shape = (len(self.inputs), count, self.noise_size)
        uniform = jax.random.uniform(key, shape, self.inputs.dtype)
        return Trial(Noisy(many, jnp.swapaxes(uniform, 0, 1)), wanted)

    def loss(self, outputs: tuple, trial: Trial) -> Any:
        """Squared distance of the output spikes."""
        return self.raster.loss(outputs[1], trial)

    def metrics(self, outputs: tuple, trial: Trial) -> dict[str, Metric]:
        """Distances, and rates in Hz."""
        hidden, output = (Metric(1e3 * spikes.mean(), unit="Hz") for spikes in outputs)
        return {
            "distance": self.raster.metrics(outputs[1], trial)["van Rossum distance"],
            "squared": Metric(self.loss(outputs, trial), higher_is_better=False),
            "hidden_rate": hidden,
            "output_rate": output,
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rising(OptimiserSpec):
    """Adam with a rate that rises over the first tenth of the epochs and then falls to zero."""

    learning_rate: float
    second_moment_decay: float

    def build(self, epochs: int) -> optax.GradientTransformation:
        """Adam for so many epochs."""
        rate = optax.warmup_cosine_decay_schedule(0.0, self.learning_rate, epochs // 10, epochs)
        return optax.adam(rate, b2=self.second_moment_decay)


@eqx.filter_jit
def _look(network: Stack, task: Picture, count: int, key: Any) -> tuple[tuple, Any]:
    """Spikes of hidden and output neurons, and the distance, in so many trials."""
    trial = dataclasses.replace(task, noise_size=network.noise_size).trials(key, count)
    outputs = side_by_side(network, trial.inputs)
    return outputs, task.metrics(outputs, trial)["distance"].value
