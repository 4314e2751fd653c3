"""Two layers learn to fire a picture: deterministic, stochastic with matched surrogate, multilayer spiker.

200 frozen Poisson inputs drive 200 hidden and 200 output LIF neurons, whose spikes should be the dark pixels
of a picture (Gygax & Zenke 2025, on a picture of ours). All three learn as published: the error of an output
is the difference of its spikes from the target, taken as it is (no derivative of the output's spikes); what
differs is the derivative of hidden spikes. Neurons have no reset, as in the published runs. Steps are Adam's,
with rates that rise over the first tenth of the epochs (large first steps silence hidden neurons for good)
and then fall to zero along a cosine. Distances have the published normalisation.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...cells import LIFCell, Stack, fluctuation_driven, with_escape
from ...escape_noise import ExponentialNoise, Noisy, SigmoidNoise
from ...optimisers import OptimiserSpec
from ...spike_statistics import fano_factors, firing_rates, interval_variation
from ...surrogates import StraightThrough, SuperSpike
from ...tasks import Metric, SpikeRaster, Trial, frozen_poisson
from ...training import Trainer, begin, train_block
from ..lab.claims import Claim, Result
from ..lab.classifier import Given, at_rest, side_by_side
from ..lab.small_classifier import one_of, stacked
from . import spike_train_figure as figure

METHODS = ("deterministic", "stochastic", "multilayer spiker")
PUBLISHED = {"deterministic": 0.11, "stochastic": 0.15}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    size: int = 200
    steps: int = 189
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

    @property
    def raster(self) -> SpikeRaster:
        """The picture as a task."""
        return SpikeRaster(num_steps=self.steps, neurons=self.size, image=self.image)


QUICK = Settings(epochs=150, seeds=(1,), trials=4, repeats=20, learning_rates=(0.03, 0.03, 0.01))


def run(
    quick: bool = False,
    settings: Settings | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Result:
    """Runs the experiment; the quick version has a tenth of the epochs and one seed."""
    settings = settings or (QUICK if quick else Settings())
    target = settings.raster.sample(jax.random.key(0)).targets
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for method in METHODS:
        for seed in settings.seeds:
            runs[method].append(_train(settings, method, seed))
            report(f"{method}, seed {seed}: distance {runs[method][-1]['distance'][-1]:.3g}")
    numbers = {method: _numbers(settings, records) for method, records in runs.items()}
    ends = {m: float(np.mean([r["distance"][-1] for r in runs[m]])) for m in METHODS}
    starts = {m: float(np.mean([r["distance"][0] for r in runs[m]])) for m in METHODS}
    hidden = {m: float(np.mean(numbers[m]["hidden_rate_hz"])) for m in METHODS}
    claims = [
        Claim(
            f"{method}: van Rossum distance after {settings.epochs} epochs, mean of "
            f"{len(settings.seeds)} seeds (start {starts[method]:.3g})",
            ends[method],
            published,
            published,
        )
        for method, published in PUBLISHED.items()
    ]
    claims.append(
        Claim(
            f"hidden rate, stochastic minus deterministic (Hz): {hidden['stochastic']:.1f} - "
            f"{hidden['deterministic']:.1f}",
            hidden["stochastic"] - hidden["deterministic"],
            0.0,
            31.0,
            below=False,
        )
    )
    return Result(
        name="spike-train-matching",
        title="spike-train matching",
        source="Gygax & Zenke 2025 (spike-train matching, one seed, another picture)",
        settings=dataclasses.asdict(settings),
        numbers={"target_rate_hz": round(1e3 * float(target.mean()), 1), **numbers},
        claims=claims,
        figure=figure.make(settings, target, runs, PUBLISHED),
    )


def _network(settings: Settings, method: str, key: Any) -> Stack:
    """Hidden and output layer; derivatives of outputs are constant for every method."""
    keys = jax.random.split(key, 3)
    layers = [
        LIFCell(
            settings.size,
            settings.size,
            surrogate=surrogate,
            reset=settings.reset,  # type: ignore[arg-type]
            feedforward_only=True,
            key=k,
        )
        for surrogate, k in zip(
            (SuperSpike(settings.steepness[0]), StraightThrough()), keys, strict=False
        )
    ]
    stack = fluctuation_driven(Stack(layers), rate=settings.rate, key=keys[2])
    return with_escape(stack, _escapes(settings, method))


def _escapes(settings: Settings, method: str) -> list[Any]:
    hidden, output = settings.steepness
    if method == "deterministic":
        return [None, None]
    if method == "stochastic":
        return [SigmoidNoise(hidden), SigmoidNoise(output, rule="constant")]
    return [
        ExponentialNoise(width=0.133, rule="spike_train"),
        ExponentialNoise(width=0.013, rule="constant"),
    ]


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


def _train(settings: Settings, method: str, seed: int) -> dict[str, Any]:
    """Trains one network; returns curves, and spikes before and after."""
    input_key, network_key, train_key, look_key = jax.random.split(jax.random.key(seed), 4)
    inputs = frozen_poisson(
        input_key, num_steps=settings.steps, inputs=settings.size, rate=settings.rate
    )
    network = _network(settings, method, network_key)
    trials = settings.trials if network.noise_size else 1
    other = "stochastic" if method == "deterministic" else "deterministic"
    other_trials = settings.trials if other == "stochastic" else 1
    blocks = max(1, settings.epochs // settings.validate_every)
    keys = jax.random.split(train_key, (blocks, settings.epochs // blocks))
    task = Picture(settings.raster, inputs, keys.ravel(), network.noise_size)
    optimiser = Rising(
        learning_rate=settings.learning_rates[METHODS.index(method)],
        second_moment_decay=settings.second_moment_decay,
    )
    trainer = Trainer(
        task, optimiser, None, settings.epochs, trials, state=at_rest, outputs=side_by_side
    )
    (before, _), state = _look(network, task, 1, look_key), begin(stacked([network]), trainer)
    curves, validation = [], []
    for some in keys:
        swapped = with_escape(one_of(state.networks, 0), _escapes(settings, other))
        found = _look(swapped, task, other_trials, jax.random.fold_in(some[0], 1))
        validation.append(float(found[1]))
        state, metrics = train_block(state, train_key[None], len(some), len(some), trainer)
        curves.append({name: m.value[:, 0] for name, m in metrics.metrics.items()})
    repeats = settings.repeats if trials > 1 else 2
    (hidden, output), _ = _look(one_of(state.networks, 0), task, repeats, look_key)
    return {
        **jax.tree.map(lambda *x: np.concatenate(x).astype(float), *curves),
        "validation": np.array(validation),
        "before": [np.asarray(x[0]) for x in before],
        "hidden": np.asarray(hidden),
        "output": np.asarray(output),
    }


def _numbers(settings: Settings, records: list[dict[str, Any]]) -> dict[str, Any]:
    """Curves thinned out, and statistics after training, one entry per seed."""
    every = max(1, settings.epochs // 100)

    def fano(spikes: np.ndarray) -> float:
        return float(np.nanmean(fano_factors(spikes, window=settings.window)))

    def mean(values: list) -> list[float]:
        return [round(float(v), 4) for v in values]

    ends = [r["distance"][-1] for r in records]
    relative = [r["distance"][-1] / r["distance"][0] for r in records]
    return {
        "van_rossum_end": mean(ends),
        "van_rossum_end_mean_and_spread": mean([np.mean(ends), np.std(ends)]),
        "van_rossum_start": mean([r["distance"][0] for r in records]),
        "end_over_start": mean(relative),
        "squared_end": mean([r["squared"][-1] for r in records]),
        "van_rossum_end_other_dynamics": mean([r["validation"][-1] for r in records]),
        "hidden_rate_hz": mean([firing_rates(r["hidden"]).mean() for r in records]),
        "output_rate_hz": mean([firing_rates(r["output"]).mean() for r in records]),
        "hidden_fano": mean([fano(r["hidden"]) for r in records]),
        "output_fano": mean([fano(r["output"]) for r in records]),
        "hidden_cv_isi": mean([_variation(r["hidden"]) for r in records]),
        "output_cv_isi": mean([_variation(r["output"]) for r in records]),
        "curve_epochs": list(range(0, settings.epochs, every)),
        "curve": np.mean([r["distance"][::every] for r in records], 0).round(4).tolist(),
    }


def _variation(spikes: np.ndarray) -> float:
    values = interval_variation(spikes[:10], min_intervals=10)
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
