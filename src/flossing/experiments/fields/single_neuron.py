"""Surrogate gradients of stochastic neurons: exact for one, biased with depth (Gygax & Zenke 2025).

One neuron: the surrogate gradient is the exact gradient of the expected output, for every escape noise.
Networks of two layers and more: the expectation of estimators against exact enumeration, over depth, width
and steepness; then bias, variance and cost of every estimator from samples, and the z-scores of those that
are unbiased.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from ... import surrogates, theory
from ...runs.plots import style
from ..lab.claims import Claim, Result
from .single_neuron_figure import draw

ESTIMATORS: dict[str, theory.Estimator] = {
    "score function": theory.ScoreFunction(),
    "score function, baseline": theory.ScoreFunction("mean"),
    "stochastic derivative, right": theory.StochasticDerivative("right"),
    "stochastic derivative, left": theory.StochasticDerivative("left"),
    "stochastic derivative": theory.StochasticDerivative(),
    "stochastic derivative, pruned": theory.StochasticDerivative(pruned=True),
    "surrogate": theory.Surrogate(),
    "smoothed, right": theory.SmoothedStochasticDerivative("right"),
    "smoothed, left": theory.SmoothedStochasticDerivative("left"),
    "smoothed": theory.SmoothedStochasticDerivative(),
    "straight through": theory.StraightThrough(),
    "finite differences": theory.FiniteDifference(0.1),
}
ENUMERATED = ("surrogate", "smoothed, right", "smoothed, left", "straight through")
NOISES: dict[str, theory.EscapeNoise] = {
    "sigmoid, 1": theory.SigmoidNoise(1.0),
    "sigmoid, 10": theory.SigmoidNoise(10.0),
    "exponential, hidden": theory.ExponentialNoise(),
    "exponential, output": theory.ExponentialNoise(width=0.013),
    "exponential hazard": theory.ExponentialNoise(saturation="hazard"),
    **{
        name: theory.ShapeNoise(getattr(surrogates, name)(10.0, normalise="area"))
        for name in ("SuperSpike", "Arctan", "Triangular", "Gaussian", "Exponential")
    },
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    inputs: int = 3
    width: int = 4
    """Neurons of each hidden layer; the output is one neuron."""
    depths: tuple[int, ...] = (1, 2, 3, 4)
    widths: tuple[int, ...] = (2, 4, 8, 12)
    """With two layers."""
    steepnesses: tuple[float, ...] = (1.0, 3.0, 10.0)
    """Sharpness of the sigmoid escape noise."""
    steepness: float = 3.0
    """Where it is not varied."""
    gain: float = 1.0
    networks: int = 50
    sampled_depths: tuple[int, ...] = (1, 2, 3)
    sampled_steepnesses: tuple[float, ...] = (1.0, 3.0)
    samples: int = 2000
    least_events: int = 25
    """z-scores count where every neuron is expected to spike, and to be silent, at least so often."""
    seed: int = 1


QUICK = Settings(
    width=3, depths=(1, 2, 3), widths=(2, 4), networks=10, sampled_depths=(1, 2), samples=300
)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has fewer and smaller networks."""
    settings = settings or (QUICK if quick else Settings())
    with jax.enable_x64(True):
        one = _one_neuron()
        depth = {
            (d, b): _enumerate((settings.width,) * (d - 1), b, settings)
            for d in settings.depths
            for b in settings.steepnesses
        }
        width = {w: _enumerate((w,), settings.steepness, settings) for w in settings.widths}
        sampled = {
            (d, b): _sample((settings.width,) * (d - 1), b, settings)
            for d in settings.sampled_depths
            for b in settings.sampled_steepnesses
        }
    numbers = {
        "one_neuron_largest_relative_error": one["errors"],
        "bias_by_depth": {f"depth {d}, steepness {b:g}": _table(v) for (d, b), v in depth.items()},
        "bias_by_width": {f"width {w}": _table(v) for w, v in width.items()},
        "sampled": {
            f"depth {d}, steepness {b:g}": v["estimators"] for (d, b), v in sampled.items()
        },
    }
    return Result(
        name="single-neuron",
        title="surrogate gradients of stochastic neurons against exact gradients",
        source="Gygax & Zenke 2025; no published numbers",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=_claims(one, depth, sampled, settings),
        figure=_figure(one, depth, width, sampled, settings),
    )


def _output(spikes: Any) -> Any:
    return spikes.sum()


def _one_neuron() -> dict[str, Any]:
    """For every escape noise: the slope of the probability and the expected surrogate gradient."""
    # An odd shift: no point lies on a kink.
    x = jnp.linspace(-1, 1, 400) + 1.234e-4
    curves, errors = {}, {}
    for name, noise in NOISES.items():
        probability, exact, declared = (np.asarray(v) for v in _neuron(noise, x))
        curves[name] = {"x": np.asarray(x), "exact": exact, "surrogate": declared}
        curves[name]["probability"] = probability
        errors[name] = float(np.abs(declared - exact).max() / np.abs(exact).max())
    return {"curves": curves, "errors": errors}


@eqx.filter_jit
def _neuron(noise: theory.EscapeNoise, x: Any) -> tuple:
    def expected(x: Any) -> tuple:
        p, exact = jax.value_and_grad(noise.probability)(x)
        silent, spiked = (jax.grad(lambda x, u=u: noise(x, jnp.asarray(u)))(x) for u in (2.0, -1.0))
        return p, exact, p * spiked + (1 - p) * silent

    return jax.vmap(expected)(x)


def _networks(hidden: tuple[int, ...], steepness: float, settings: Settings) -> tuple:
    keys = jax.random.split(jax.random.key(settings.seed), settings.networks)
    sizes = (settings.inputs, *hidden, 1)

    @eqx.filter_jit
    def make(keys: Any, steepness: Any) -> tuple:
        def one(key: Any) -> tuple:
            net_key, input_key, draw_key = jax.random.split(key, 3)
            noise = theory.SigmoidNoise(steepness)
            net = theory.StochasticNet(sizes, noise, gain=settings.gain, bias=0.2, key=net_key)
            return net, jax.random.uniform(input_key, (settings.inputs,), minval=-1.0), draw_key

        return jax.vmap(one)(keys)

    return make(keys, jnp.asarray(steepness))


def _enumerate(hidden: tuple[int, ...], steepness: float, settings: Settings) -> dict[str, Any]:
    """Relative bias of each estimator, exactly, for every network."""
    nets, inputs, _ = _networks(hidden, steepness, settings)
    found = _enumerated(nets, inputs, tuple(ESTIMATORS[name] for name in ENUMERATED))
    return dict(zip(ENUMERATED, (np.asarray(v) for v in found), strict=True))


@eqx.filter_jit
def _enumerated(nets: Any, inputs: Any, estimators: tuple) -> tuple:
    def one(args: tuple) -> tuple:
        net, input = args
        exact = jax.flatten_util.ravel_pytree(theory.exact_gradient(net, input, _output))[0]
        biases = []
        for estimator in estimators:
            mean = theory.expected_gradient(estimator, net, input, _output)
            off = jax.flatten_util.ravel_pytree(mean)[0] - exact
            biases.append(jnp.linalg.norm(off) / jnp.linalg.norm(exact))
        return tuple(biases)

    return jax.lax.map(one, (nets, inputs))


def _sample(hidden: tuple[int, ...], steepness: float, settings: Settings) -> dict[str, Any]:
    """Every estimator's comparison with the exact gradient, for every network."""
    nets, inputs, keys = _networks(hidden, steepness, settings)
    rarest, exact, *samples = _sampled(
        nets, inputs, keys, tuple(ESTIMATORS.values()), settings.samples
    )
    rows, z_scores = {}, {}
    testable = np.asarray(rarest) * settings.samples >= settings.least_events
    first = jax.tree.map(lambda a: a[0], nets)
    for (name, estimator), values in zip(ESTIMATORS.items(), samples, strict=True):
        passes = estimator.passes(first)
        found = [
            theory.summarise(np.asarray(e), np.asarray(v), passes)
            for e, v in zip(exact, values, strict=True)
        ]
        rows[name] = {
            "passes": passes,
            "bias": _middle([c.bias for c in found]),
            "variance": float(np.median([c.variance for c in found])),
            "sample_cosine": float(np.mean([c.sample_cosine for c in found])),
            "samples_for_20_percent": float(np.median([c.samples_for(0.2) for c in found])),
        }
        if rows[name]["samples_for_20_percent"] == float("inf"):
            rows[name]["samples_for_20_percent"] = None
        if estimator.unbiased:
            z_scores[name] = [c.z_score for c, t in zip(found, testable, strict=True) if t]
            rows[name]["largest_z"] = float(np.max(np.abs(z_scores[name]), initial=0))
            rows[name]["networks_tested"] = int(testable.sum())
    index = {name: i for i, name in enumerate(ESTIMATORS)}
    one, two = (np.asarray(samples[index[n]]) for n in ("surrogate", "smoothed"))
    largest = float(np.abs(one - two).max() / np.abs(one).max())
    return {"estimators": rows, "z_scores": z_scores, "surrogate_minus_smoothed": largest}


@eqx.filter_jit
def _sampled(nets: Any, inputs: Any, keys: Any, estimators: tuple, num_samples: int) -> tuple:
    def one(args: tuple) -> tuple:
        net, input, key = args
        exact = jax.flatten_util.ravel_pytree(theory.exact_gradient(net, input, _output))[0]
        samples = (
            theory.gradient_samples(e, net, input, _output, num_samples, key) for e in estimators
        )
        rates = jnp.concatenate(theory.expected_spikes(net, input))
        return jnp.minimum(rates, 1 - rates).min(), exact, *samples

    return jax.lax.map(one, (nets, inputs, keys))


def _middle(values: Any) -> dict[str, float]:
    """Median over networks and its 95 % confidence interval, from the order of the values."""
    values = np.sort(np.asarray(values, float))
    # The number of values below the median is binomial with probability one half.
    spread = 0.98 * np.sqrt(len(values))
    low = max(int(np.floor(len(values) / 2 - spread)), 0)
    return {
        "median": float(np.median(values)),
        "low": float(values[low]),
        "high": float(values[len(values) - 1 - low]),
    }


def _table(biases: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {name: _middle(values) for name, values in biases.items()}


def _claims(one: dict, depth: dict, sampled: dict, settings: Settings) -> list[Claim]:
    worst = max(one["errors"], key=one["errors"].__getitem__)
    claims = [
        Claim(
            f"one neuron, {len(NOISES)} escape noises: largest relative error of the surrogate "
            f"gradient (at {worst})",
            one["errors"][worst],
            1e-12,
        )
    ]
    for (d, b), biases in depth.items():
        if b != settings.steepness:
            continue
        found = _middle(biases["surrogate"])
        if d == 1:
            text = "one layer: bias of the surrogate gradient, largest of all networks"
            claims.append(Claim(text, float(biases["surrogate"].max()), 1e-12))
        else:
            text = (
                f"{d} layers, steepness {b:g}: median bias over |gradient| of {settings.networks} networks "
                f"{found['median']:.3f}, 95 % interval to {found['high']:.3f} from"
            )
            claims.append(Claim(text, found["low"], 0.01, below=False))
    scores = [abs(z) for v in sampled.values() for zs in v["z_scores"].values() for z in zs]
    tested = sum(len(v["z_scores"]["score function"]) for v in sampled.values())
    text = f"unbiased estimators: largest |z| of {len(scores)}, in {tested} networks"
    claims.append(Claim(text, max(scores), 4.0))
    same = max(v["surrogate_minus_smoothed"] for v in sampled.values())
    claims.append(
        Claim(
            "surrogate against smoothed stochastic derivative, largest relative difference",
            same,
            1e-13,
        )
    )
    return claims


def _figure(one: dict, depth: dict, width: dict, sampled: dict, settings: Settings) -> Figure:
    with style():
        figure = Figure(figsize=(10.5, 6.4), layout="constrained")
        tables = {
            "depth": {k: _table(v) for k, v in depth.items()},
            "width": {k: _table(v) for k, v in width.items()},
        }
        draw(figure, one["curves"], tables, sampled, settings)
    return figure
