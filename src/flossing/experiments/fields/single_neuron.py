"""Surrogate gradients of stochastic neurons: exact for one, biased with depth (Gygax & Zenke 2025)."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ... import surrogates, theory
from ...plots import style
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.published import Published
from ..lab.statistics import median_over
from . import single_neuron_figure as panels

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
UNBIASED = [name for name, estimator in ESTIMATORS.items() if estimator.unbiased]
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
class OneNeuron:
    """A neuron with every escape noise."""


@dataclasses.dataclass(frozen=True)
class Enumerated:
    """Networks whose spike patterns are all enumerated."""

    layers: int
    width: int
    """Neurons of each hidden layer."""
    steepness: float


@dataclasses.dataclass(frozen=True)
class Sampled:
    """Networks whose gradients are estimated from samples."""

    layers: int
    steepness: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SingleNeuron(Experiment):
    """Estimators of the gradient of the expected output, against exact enumeration.

    One neuron: the surrogate gradient is the exact gradient of the expected output, for every escape noise.
    Networks of two layers and more: the expectation of estimators against exact enumeration, over depth,
    width and steepness; then bias, variance and direction of every estimator from samples, and the z-scores
    of those that are unbiased. z-scores count in networks in which every outcome occurs many times. The
    surrogate has the smallest variance and the best direction of all single samples, and a bias that no
    number of samples removes. All in double precision.
    """

    title = "surrogate gradients of stochastic neurons against exact gradients"
    source = "Gygax & Zenke 2025; no published numbers"
    shows = (
        "The surrogate gradient of one stochastic neuron is the exact gradient of its expected output. In "
        "networks of two layers and more it is biased, by some 5 % of the gradient."
    )
    inputs: int = 3
    width: int = 4
    """Neurons of each hidden layer; the output is one neuron."""
    depths: tuple[int, ...] = (1, 2, 3, 4)
    """Layers, the output among them."""
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

    @classmethod
    def quick(cls) -> Self:
        """Fewer and smaller networks."""
        return cls(
            width=3,
            depths=(1, 2, 3),
            widths=(2, 4),
            networks=10,
            sampled_depths=(1, 2),
            samples=300,
        )

    def cases(self) -> dict[Any, Callable[[Report], xr.Dataset]]:
        """One neuron, networks that are enumerated, networks that are sampled."""
        enumerated = [
            *(Enumerated(d, self.width, b) for d in self.depths for b in self.steepnesses),
            *(Enumerated(2, w, self.steepness) for w in self.widths),
        ]
        sampled = [Sampled(d, b) for d in self.sampled_depths for b in self.sampled_steepnesses]
        return {
            OneNeuron(): one_neuron,
            **{case: functools.partial(self.enumerated, case) for case in enumerated},
            **{case: functools.partial(self.sampled, case) for case in sampled},
        }

    @jax.enable_x64(True)
    def enumerated(self, case: Enumerated, report: Report) -> xr.Dataset:
        """``bias`` (estimator, network): of the expectation, exactly, over the size of the gradient."""
        nets, inputs, _ = self._networks(case.layers, case.width, case.steepness)
        by_estimator = _enumerated(nets, inputs, tuple(ESTIMATORS[name] for name in ENUMERATED))
        biases = np.array([np.asarray(bias) for bias in by_estimator])
        return xr.Dataset(
            {"bias": (("estimator", "network"), biases)}, coords={"estimator": list(ENUMERATED)}
        )

    @jax.enable_x64(True)
    def sampled(self, case: Sampled, report: Report) -> xr.Dataset:
        """Numbers of every estimator, shape (estimator, network); z-scores only where networks allow them."""
        nets, inputs, keys = self._networks(case.layers, self.width, case.steepness)
        rarest, exact, *samples = _sampled(
            nets, inputs, keys, tuple(ESTIMATORS.values()), self.samples
        )
        tested = np.asarray(rarest) * self.samples >= self.least_events
        compared = {
            name: [
                theory.summarise(np.asarray(e), np.asarray(v))
                for e, v in zip(exact, values, strict=True)
            ]
            for name, values in zip(ESTIMATORS, samples, strict=True)
        }
        by_name = dict(zip(ESTIMATORS, map(np.asarray, samples), strict=True))
        off = np.abs(by_name["surrogate"] - by_name["smoothed"]).max()
        scores = np.array([[c.z_score for c in compared[name]] for name in UNBIASED])
        numbers = {
            name: (
                ("estimator", "network"),
                np.array([[getattr(c, name) for c in row] for row in compared.values()]),
            )
            for name in ("bias", "variance", "sample_cosine")
        }
        return xr.Dataset(
            {
                **numbers,
                "z_score": (("unbiased", "network"), np.where(tested, scores, np.nan)),
                "tested": ("network", tested),
                "surrogate_minus_smoothed": off / np.abs(by_name["surrogate"]).max(),
            },
            coords={"estimator": list(ESTIMATORS), "unbiased": UNBIASED},
        )

    def _networks(self, layers: int, width: int, steepness: float) -> tuple:
        """Networks, inputs and random keys."""
        keys = jax.random.split(jax.random.key(self.seed), self.networks)
        sizes = (self.inputs, *(width,) * (layers - 1), 1)

        @eqx.filter_jit
        def make(keys: Any, steepness: Any) -> tuple:
            def network_and_input(key: Any) -> tuple:
                net_key, input_key, draw_key = jax.random.split(key, 3)
                noise = theory.SigmoidNoise(steepness)
                net = theory.StochasticNet(sizes, noise, gain=self.gain, bias=0.2, key=net_key)
                return net, jax.random.uniform(input_key, (self.inputs,), minval=-1.0), draw_key

            return jax.vmap(network_and_input)(keys)

        return make(keys, jnp.asarray(steepness))

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """One neuron and one layer are exact, deeper networks are not, and what is unbiased passes."""
        slopes = data[OneNeuron()]
        errors = np.abs(slopes["surrogate"] - slopes["exact"]).max("x", skipna=False)
        worst = (errors / np.abs(slopes["exact"]).max("x", skipna=False)).max(skipna=False)
        text = f"one neuron, {len(NOISES)} escape noises: largest relative error of the surrogate gradient"
        yield Claim.at_most(text, float(worst), 1e-12)
        for d in self.depths:
            biases = data[Enumerated(d, self.width, self.steepness)]["bias"]
            biases = biases.sel(estimator="surrogate").values
            if d == 1:
                text = "one layer: bias of the surrogate gradient, largest of all networks"
                yield Claim.at_most(text, float(biases.max()), 1e-12)
            else:
                text = (
                    f"{d} layers, steepness {self.steepness:g}: median bias over |gradient| of "
                    f"{self.networks} networks, lower end of its 95 % interval"
                )
                yield Claim.at_least(text, median_over(biases).low, 0.01)
        sampled = list(data.where(Sampled).values())
        scores = z_scores(sampled)
        text = f"unbiased estimators: largest |z| of {len(scores)}"
        yield Claim.at_most(text, float(np.abs(scores).max()), 4.0)
        same = np.max([part["surrogate_minus_smoothed"].item() for part in sampled])
        text = "surrogate against smoothed stochastic derivative, largest relative difference"
        yield Claim.at_most(text, float(same), 1e-13)

    def figure(self, data: Data, published: Published) -> Figure:
        """One neuron, bias over depth and width, estimators from samples."""
        enumerated, sampled = data.where(Enumerated), data.where(Sampled)
        with style():
            figure = Figure(figsize=(10.5, 6.4), layout="constrained")
            top, bottom = figure.subplots(2, 3)
            panels.neuron(top[0], data[OneNeuron()])
            depths = {
                b: enumerated.over("layers", width=self.width, steepness=b)["bias"]
                for b in self.steepnesses
            }
            panels.depth(top[1], depths)
            widths = enumerated.over("width", layers=2, steepness=self.steepness)["bias"]
            panels.width(top[2], widths.sel(width=list(self.widths)))
            top[2].set_title(f"two layers, steepness {self.steepness:g}")
            shown = sampled.over("layers", steepness=self.steepness)
            panels.samples(bottom[0], shown["variance"].median("network"))
            bottom[0].set(ylabel="variance / |gradient|$^2$", yscale="log")
            bottom[0].set_title(f"variance of one sample, steepness {self.steepness:g}")
            panels.samples(bottom[1], shown["sample_cosine"].mean("network"))
            bottom[1].set(ylabel="cosine with the gradient", title="direction of one sample")
            handles, labels = bottom[1].get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
            panels.scores(bottom[2], z_scores(list(sampled.values())))
        return figure


def z_scores(parts: Sequence[xr.Dataset]) -> np.ndarray:
    """Those of all unbiased estimators in networks that allow it; a single NaN if none does."""
    scores = [part["z_score"].values[:, part["tested"].values.astype(bool)] for part in parts]
    scores = np.concatenate([values.ravel() for values in scores])
    return scores if scores.size else np.array([np.nan])


@jax.enable_x64(True)
def one_neuron(report: Report) -> xr.Dataset:
    """The slope of the probability and the expected surrogate gradient, shape (noise, x)."""
    # An odd shift: no point lies on a kink.
    x = jnp.linspace(-1, 1, 400) + 1.234e-4
    slopes = np.array([[np.asarray(v) for v in _neuron(noise, x)] for noise in NOISES.values()])
    return xr.Dataset(
        {name: (("noise", "x"), slopes[:, i]) for i, name in enumerate(("exact", "surrogate"))},
        coords={"noise": list(NOISES), "x": np.asarray(x)},
    )


def _output(spikes: Any) -> Any:
    return spikes.sum()


@eqx.filter_jit
def _neuron(noise: theory.EscapeNoise, x: Any) -> tuple:
    def expected(x: Any) -> tuple:
        p, exact = jax.value_and_grad(noise.probability)(x)
        silent, spiked = (jax.grad(lambda x, u=u: noise(x, jnp.asarray(u)))(x) for u in (2.0, -1.0))
        return exact, p * spiked + (1 - p) * silent

    return jax.vmap(expected)(x)


@eqx.filter_jit
def _enumerated(nets: Any, inputs: Any, estimators: tuple) -> tuple:
    def of_network(args: tuple) -> tuple:
        net, input = args
        exact = jax.flatten_util.ravel_pytree(theory.exact_gradient(net, input, _output))[0]
        biases = []
        for estimator in estimators:
            mean = theory.expected_gradient(estimator, net, input, _output)
            off = jax.flatten_util.ravel_pytree(mean)[0] - exact
            biases.append(jnp.linalg.norm(off) / jnp.linalg.norm(exact))
        return tuple(biases)

    return jax.lax.map(of_network, (nets, inputs))


@eqx.filter_jit
def _sampled(nets: Any, inputs: Any, keys: Any, estimators: tuple, num_samples: int) -> tuple:
    def of_network(args: tuple) -> tuple:
        net, input, key = args
        exact = jax.flatten_util.ravel_pytree(theory.exact_gradient(net, input, _output))[0]
        samples = (
            theory.gradient_samples(e, net, input, _output, num_samples, key) for e in estimators
        )
        rates = jnp.concatenate(theory.expected_spikes(net, input))
        return jnp.minimum(rates, 1 - rates).min(), exact, *samples

    return jax.lax.map(of_network, (nets, inputs, keys))
