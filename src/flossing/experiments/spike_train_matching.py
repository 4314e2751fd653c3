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

from ..cells import LIFCell, Stack, fluctuation_driven, with_escape
from ..escape_noise import ExponentialNoise, Noisy, SigmoidNoise
from ..spike_statistics import fano_factors, firing_rates, interval_variation
from ..surrogates import StraightThrough, SuperSpike
from ..tasks import frozen_poisson, spike_raster
from ..training import squared_distance, van_rossum_distance
from . import _spike_train_figure as figure
from ._result import Claim, Result

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
    image: str = ""
    """File of a user's picture (as Matplotlib reads it); default the project's."""


QUICK = Settings(epochs=150, seeds=(1,), trials=4, repeats=20, learning_rates=(0.03, 0.03, 0.01))


def run(
    quick: bool = False,
    settings: Settings | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> Result:
    """Runs the experiment; the quick version has a tenth of the epochs and one seed."""
    settings = settings or (QUICK if quick else Settings())
    target = _target(settings)
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in METHODS}
    for method in METHODS:
        for seed in settings.seeds:
            runs[method].append(_train(settings, method, seed, target))
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


def _target(settings: Settings) -> Any:
    image = None
    if settings.image:
        from matplotlib.image import imread

        image = imread(settings.image)
    return jnp.asarray(spike_raster(image, num_steps=settings.steps, neurons=settings.size))


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


def _spikes(network: Stack, inputs: Any, trials: int, key: Any) -> tuple[Any, Any]:
    """Hidden and output spikes, each of shape (trial, time, neuron)."""
    many = jnp.broadcast_to(inputs[:, None], (len(inputs), trials, inputs.shape[1]))
    if network.noise_size:
        shape = (len(inputs), trials, network.noise_size)
        many = Noisy(many, jax.random.uniform(key, shape, inputs.dtype))
    hidden, output = network.all_over_time(many)
    return jnp.moveaxis(hidden, 1, 0), jnp.moveaxis(output, 1, 0)


def _distance(output: Any, target: Any) -> Any:
    return van_rossum_distance(
        output,
        jnp.broadcast_to(target, output.shape),
        decay_time_constant=10.0,
        rise_time_constant=5.0,
        amplitude=0.2,
    )


def _train(settings: Settings, method: str, seed: int, target: Any) -> dict[str, Any]:
    """Trains one network; returns curves, and spikes before and after."""
    input_key, network_key, train_key, look_key = jax.random.split(jax.random.key(seed), 4)
    inputs = frozen_poisson(
        input_key, num_steps=settings.steps, inputs=settings.size, rate=settings.rate
    )
    network = _network(settings, method, network_key)
    trials = settings.trials if network.noise_size else 1
    learning_rate = settings.learning_rates[METHODS.index(method)]
    schedule = optax.warmup_cosine_decay_schedule(
        0.0, learning_rate, settings.epochs // 10, settings.epochs
    )
    optimiser = optax.adam(schedule, b2=settings.second_moment_decay)
    other = "stochastic" if method == "deterministic" else "deterministic"
    other_trials = settings.trials if other == "stochastic" else 1
    params, static = eqx.partition(network, eqx.is_inexact_array)

    def loss(params: Any, key: Any) -> tuple[Any, tuple]:
        hidden, output = _spikes(eqx.combine(params, static), inputs, trials, key)
        error = squared_distance(output, jnp.broadcast_to(target, output.shape))
        return error, (_distance(output, target), error, 1e3 * hidden.mean(), 1e3 * output.mean())

    def epoch(carry: tuple, key: Any) -> tuple[tuple, tuple]:
        params, state = carry
        gradient, metrics = jax.grad(loss, has_aux=True)(params, key)
        updates, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), metrics

    def block(carry: tuple, keys: Any) -> tuple[tuple, tuple]:
        """Some epochs, and the distance of the same weights with the other dynamics before them."""
        swapped = with_escape(eqx.combine(carry[0], static), _escapes(settings, other))
        _, output = _spikes(swapped, inputs, other_trials, jax.random.fold_in(keys[0], 1))
        carry, metrics = jax.lax.scan(epoch, carry, keys)
        return carry, (metrics, _distance(output, target))

    @eqx.filter_jit
    def look(network: Stack, repeats: int) -> Any:
        return _spikes(network, inputs, repeats, look_key)

    blocks = max(1, settings.epochs // settings.validate_every)
    keys = jax.random.split(train_key, (blocks, settings.epochs // blocks))
    before = [np.asarray(x[0]) for x in look(network, 1)]
    run = jax.jit(lambda carry: jax.lax.scan(block, carry, keys))
    (params, _), (metrics, validation) = run((params, optimiser.init(params)))
    network = eqx.combine(params, static)
    hidden, output = (np.asarray(x) for x in look(network, settings.repeats if trials > 1 else 2))
    curves = [np.asarray(x, float).ravel() for x in metrics]
    names = ("distance", "squared", "hidden_rate", "output_rate")
    return {
        **dict(zip(names, curves, strict=True)),
        "validation": np.asarray(validation, float),
        "before": before,
        "hidden": hidden,
        "output": output,
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
