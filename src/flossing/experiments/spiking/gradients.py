"""Surrogate Lyapunov exponents of LIF networks predict how error gradients grow (Engelken & Abbott 2024)."""

import dataclasses
from collections.abc import Iterator
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array
from matplotlib.figure import Figure

from ...cells import LIFCell
from ...lyapunov import gradient_norms
from ...plots import COLOURS, networks_and_median, style
from ...tasks import binary_cross_entropy
from ...training.devices import over_realisations
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.driven import Plan, Poisson, firing_rates, floss, spectra
from ..lab.experiment import Experiment, Report
from ..lab.lif import at_rate, lif_networks
from ..lab.published import Published
from .panels import MEMBRANE, SYNAPSE, time_scales


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Networks whose constants are drawn at random."""


@dataclasses.dataclass(frozen=True)
class Flossing:
    """Networks of the published constants, before and after flossing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingGradients(Experiment):
    """Exponents beside gradients, in networks with random constants.

    Sharpness, recurrent gain, time constants and firing rate are random. The first exponent is measured on
    one trajectory; the norm of the surrogate gradient of a loss, against the time it has been sent back, on
    others. The prediction is ``|dL/dh_{T-h}| ~ exp(lambda_1 h)``. Some networks of the published constants
    are then flossed through their recurrent weights. The first exponent overshoots zero there: the gradient
    grows where it shrank.
    """

    title = "surrogate exponents of LIF networks predict their gradients"
    source = "Engelken & Abbott 2024 (talk), a claim without published numbers"
    shows = (
        "Surrogate gradients grow or vanish at the rate of the first surrogate exponent, measured on other "
        "trajectories. Flossing creates tangent modes far slower than membranes and synapses."
    )
    neurons: int = 64
    channels: int = 100
    networks: int = 128
    sharpness: tuple[float, float] = (0.5, 8.0)
    """Ends of a log-uniform distribution, as in the four settings that follow."""
    gain: tuple[float, float] = (0.2, 3.0)
    """Of the recurrent weights."""
    membrane: tuple[float, float] = (5.0, 40.0)
    """Time constants in ms."""
    synapse: tuple[float, float] = (2.5, 20.0)
    """Time constants in ms."""
    rate: tuple[float, float] = (5.0, 40.0)
    """Mean firing rates in Hz."""
    measured_steps: int = 1000
    horizon: int = 300
    """Steps over which gradients are sent back."""
    skip: int = 50
    """First steps of the way back, in which the error signal turns into the slowest direction."""
    trials: int = 4
    at: int = 100
    """Horizon at which norms themselves are compared."""
    flossed_networks: int = 3
    flossed: int = 16
    """Exponents."""
    phases: tuple[tuple[int, float], ...] = ((150, 1e-3), (50, 2e-4))
    """Flossing steps and learning rates."""
    window: int = 100
    warmup: int = 20
    shown: int = 64
    """Exponents measured before and after flossing."""
    seed: int = 2

    @classmethod
    def quick(cls) -> Self:
        """Fewer, smaller networks and shorter trajectories."""
        return cls(
            neurons=32,
            networks=24,
            measured_steps=500,
            trials=3,
            flossed_networks=2,
            flossed=8,
            phases=((40, 3e-3), (10, 1e-3)),
            window=100,
            shown=32,
        )

    def cases(self) -> dict[Any, Any]:
        """Random networks, and flossed ones."""
        return {Drawn(): self.drawn_networks, Flossing(): self.flossing}

    @property
    def inputs(self) -> Poisson:
        """What drives the networks."""
        return Poisson(self.channels)

    def drawn_networks(self, report: Report) -> xr.Dataset:
        """First exponents and gradients of networks with random constants."""
        random = np.random.default_rng(self.seed)

        def log_uniform(ends: tuple[float, float]) -> np.ndarray:
            return np.exp(random.uniform(*np.log(ends), self.networks))

        names = ("sharpness", "gain", "membrane", "synapse", "rate")
        constants = {name: log_uniform(getattr(self, name)) for name in names}
        keys, inputs = jax.random.split(jax.random.key(self.seed), self.networks), self.inputs
        rate = constants.pop("rate")
        report("scaling the input of random networks")
        cells, _ = at_rate(
            lif_networks(keys, inputs, self.neurons, **constants), keys, inputs, rate, 7
        )
        report("exponents and gradients")
        by_network = constants | {
            "rate": firing_rates(cells, keys, inputs),
            "first_exponent": spectra(cells, keys, inputs, 1, self.measured_steps)[:, 0],
        }
        return xr.Dataset(
            {name: ("network", values) for name, values in by_network.items()}
            | {"log_gradient": (("network", "horizon"), self.log_gradients(cells, keys))}
        )

    def flossing(self, report: Report) -> xr.Dataset:
        """Exponents and gradients of networks of the published constants, before and after flossing."""
        keys = jax.random.split(jax.random.key(self.seed + 1), self.flossed_networks)
        plain = lif_networks(
            keys, self.inputs, self.neurons, gain=0.5, membrane=MEMBRANE, synapse=SYNAPSE
        )
        cells, _ = at_rate(plain, keys, self.inputs, 20.0)
        plan = Plan(
            num_exponents=self.flossed,
            phases=self.phases,
            window=self.window,
            warmup=self.warmup,
        )
        report("flossing")
        flossed, _ = floss(cells, keys, self.inputs, plan)
        report("exponents and gradients")
        variables: dict[str, Any] = {}
        for when, c in (("before", cells), ("after", flossed)):
            exponents = spectra(c, keys, self.inputs, self.shown, self.measured_steps)
            variables[f"exponents_{when}"] = (("network", "index"), exponents)
            variables[f"log_gradient_{when}"] = (
                ("network", "horizon"),
                self.log_gradients(c, keys),
            )
            variables[f"rate_{when}"] = ("network", firing_rates(c, keys, self.inputs))
        return xr.Dataset(variables)

    def log_gradients(self, cells: LIFCell, keys: Array) -> np.ndarray:
        """Mean over trials of log |dL/dh_{T-h}|, shape (networks, horizon + 1), by h.

        The loss is the cross-entropy of a random readout of the spikes at the end of a trial.
        """
        return np.asarray(_log_gradients(cells, keys, self.inputs, self.horizon, self.trials))

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Gradients grow as the first exponent says, and flossed modes are slow."""
        exponents = data[Drawn()]["first_exponent"].values
        logs = data[Drawn()]["log_gradient"].values
        growth = slopes(logs, self.skip)
        near = ~(np.abs(exponents) >= 0.1)  # with those that are not known
        yield Claim.at_least(
            f"R^2 of gradient growth = lambda_1 (no fit), {len(exponents)} networks",
            r_squared(exponents, growth),
            0.9,
        )
        yield Claim.at_least(
            f"the same, {near.sum()} networks with |lambda_1| < 0.1 per ms",
            r_squared(exponents[near], growth[near]),
            0.9,
        )
        slope = slope_of(exponents, growth)
        yield Claim.at_most(
            f"|slope - 1| of a straight line (slope {slope:.3f})", abs(slope - 1), 0.1
        )
        yield Claim.at_least(
            f"R^2 of log |dL/dh| ratio at {self.at} ms = lambda_1 * {self.at} ms",
            r_squared(exponents * self.at, logs[:, self.at] - logs[:, 0]),
            0.9,
        )
        flossed = np.abs(data[Flossing()]["exponents_after"].values[:, : self.flossed])
        yield Claim.at_least(
            f"flossed: median time scale of {self.flossed} modes in ms (tau_mem 10, tau_syn 5)",
            np.median(1 / np.median(flossed, 0)),
            100,
        )

    def figure(self, data: Data, published: Published) -> Figure:
        """Gradients against horizon, growth against exponent, and slow modes."""
        drawn, modes = data[Drawn()], data[Flossing()]
        exponents, logs = drawn["first_exponent"].values, drawn["log_gradient"].values
        growth = slopes(logs, self.skip)
        with style():
            figure = Figure(figsize=(10.5, 6.2), layout="constrained")
            (traces, scatter, norms), (flat, slow, errors) = figure.subplots(2, 3)
            self._traces(traces, exponents, logs)
            gain = np.log10(drawn["gain"].values)
            _identity(scatter, exponents, growth, gain)
            scatter.set(
                xlabel="surrogate exponent $\\lambda_1$ (per ms)",
                ylabel="growth of the gradient (per ms)",
                title=f"{len(exponents)} networks",
            )
            ratio = (logs[:, self.at] - logs[:, 0]) / np.log(10)
            points = _identity(norms, exponents * self.at / np.log(10), ratio, gain)
            figure.colorbar(points, ax=norms).set_label("log$_{10}$ recurrent gain")
            norms.set(
                xlabel=f"log$_{{10}}$ exp($\\lambda_1$ {self.at} ms)",
                ylabel=f"log$_{{10}}$ gradient ratio at {self.at} ms", title="norms",
            )  # fmt: skip
            colours = {"before": "0.4", "after": COLOURS[0]}
            for when, colour in colours.items():
                lines = modes[f"log_gradient_{when}"].values / np.log(10)
                horizon = np.arange(lines.shape[1])
                networks_and_median(flat, horizon, lines - lines[:, :1], colour, when)
            _horizon(flat, f"k = {self.flossed} flossed, {self.flossed_networks} networks")
            shown = {when: modes[f"exponents_{when}"].values for when in colours}
            time_scales(slow, shown, list(colours.values()))
            slow.axvline(self.flossed + 0.5, color="k", linewidth=0.6, linestyle=":")
            errors.hist(np.abs(growth - exponents), bins=20, color=COLOURS[0])
            errors.set(xlabel="|growth - $\\lambda_1$| (per ms)", ylabel="networks", title="errors")
        return figure

    def _traces(self, axis: Any, exponents: np.ndarray, logs: np.ndarray) -> None:
        """Gradients of four networks, with the slopes that their exponents predict."""
        order = np.argsort(exponents)
        for place, colour in zip((0.05, 0.35, 0.65, 0.95), COLOURS, strict=False):
            i = order[round(place * (len(order) - 1))]
            line = (logs[i] - logs[i, 0]) / np.log(10)
            axis.plot(line, color=colour, label=f"$\\lambda_1$ = {exponents[i]:+.3f}")
            horizon = np.arange(self.skip, len(line))
            predicted = exponents[i] / np.log(10) * horizon
            offset = np.mean(line[self.skip :] - predicted)
            axis.plot(horizon, offset + predicted, "--", color="k", linewidth=0.9)
        _horizon(axis, "four networks; dashed: slope $\\lambda_1$")


@eqx.filter_jit
def _log_gradients(
    cells: LIFCell, keys: Array, inputs: Poisson, horizon: int, trials: int
) -> Array:
    def of_network(cell: LIFCell, key: Array) -> Array:
        def trial(key: Array) -> Array:
            input_key, state_key, readout_key, label_key = jax.random.split(key, 4)
            given = inputs(input_key, 200 + horizon)
            start = cell.initial_state(key=state_key)
            start = jax.lax.scan(lambda s, u: (cell(s, u), None), start, given[:200])[0]
            readout = jax.random.normal(readout_key, (cell.hidden_size,))
            label = jax.random.bernoulli(label_key, 0.5, (1, 1)).astype(float)

            def loss(state: Any) -> Array:
                output = jnp.dot(readout, cell.output(state)) / cell.hidden_size**0.5
                return binary_cross_entropy(output[None, None], label, jnp.ones(1, bool))

            return gradient_norms(cell, start, given[200:], loss=loss, log=True)

        each = jax.random.split(jax.random.fold_in(key, 97), trials)
        return jnp.mean(jax.vmap(trial)(each), 0)[::-1]

    return over_realisations(of_network, cells, keys)


def slopes(logs: np.ndarray, skip: int) -> np.ndarray:
    """Growth per step of each row from ``skip`` on, by least squares."""
    steps = np.arange(logs.shape[1])[skip:]
    return slope_of(steps, logs[:, skip:])


def slope_of(x: np.ndarray, y: np.ndarray) -> Any:
    """Slope of the straight line through points, along the last axis; NaN where one of them is."""
    centred = x - x.mean()
    return (y * centred).sum(-1) / (centred**2).sum()


def r_squared(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the variance of ``y`` that ``y = x`` explains, without a fit; NaN if there are no points."""
    if not len(y):
        return float("nan")
    return float(1 - np.sum((y - x) ** 2) / np.sum((y - y.mean()) ** 2))


def _identity(axis: Any, x: np.ndarray, y: np.ndarray, shade: np.ndarray) -> Any:
    """Points and the line on which they should lie."""
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    axis.plot(ends, ends, color="k", linewidth=0.8, linestyle=":")
    return axis.scatter(x, y, c=shade, s=10, cmap="viridis")


def _horizon(axis: Any, title: str) -> None:
    axis.set(
        xlabel="horizon h (ms)", title=title,
        ylabel="log$_{10}$ $|\\partial L / \\partial h_{T-h}|$, relative",
    )  # fmt: skip
    axis.legend()
