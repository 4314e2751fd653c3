"""Surrogate Lyapunov exponents of networks with escape noise, along their noise; small noise; flossing."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

from ...cells import BinaryCell, LIFCell, with_escape
from ...escape_noise import EscapeNoise, Noisy, SigmoidNoise
from ...plots import COLOURS, spectra as spectra_panel, style
from ...surrogates import Sigmoid, Surrogate
from ...tasks import Copy
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.driven import Inputs, Plan, Poisson, firing_rates, floss, spectra
from ..lab.experiment import Experiment, Report
from ..lab.lif import at_rate, lif_networks
from ..lab.mean_field import binary_exponent
from ..lab.published import Published


@dataclasses.dataclass(frozen=True)
class Binary:
    """Large binary networks, with and without noise, by steepness."""


@dataclasses.dataclass(frozen=True)
class SmallNoise:
    """LIF networks with little noise, by steepness of the noise."""


@dataclasses.dataclass(frozen=True)
class Flossing:
    """Noisy LIF networks, before and after flossing."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stochastic(Experiment):
    """Exponents along the noise, as that of a deterministic step.

    A unit spikes where a uniform number is below the escape probability ``p``, a logistic function of its
    membrane; the derivative of ``p`` is the matching surrogate (Gygax & Zenke 2025). The uniform numbers come
    with the input, so a noisy network is a deterministic step, and has exponents along its noise. Large
    binary networks are compared with mean-field theory, which 400 units still miss by 0.056, LIF networks
    with the same networks without noise.
    """

    title = "surrogate exponents of stochastic networks along their noise"
    source = "escape noise as in Gygax & Zenke 2025; no published numbers"
    shows = (
        "Surrogate exponents of stochastic networks are well defined: mean-field theory predicts them, they "
        "hardly depend on the draw of the noise, and they tend to those without noise. Flossing works on "
        "fresh noise."
    )
    units: int = 800
    """Of the binary networks; large, because mean-field theory is compared."""
    steepnesses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    """Of the escape noise of binary networks, and of their surrogate."""
    binary_networks: int = 4
    neurons: int = 64
    networks: int = 3
    """With LIF neurons."""
    rate: float = 20.0
    """Of the LIF networks without noise, in Hz."""
    width: float = 4.0
    """Steepness of the fixed surrogate of the LIF networks (area one, so its peak is 1)."""
    lif_steepnesses: tuple[float, ...] = (6.0, 12.0, 25.0, 50.0, 100.0, 200.0)
    """Of the escape noise of LIF networks; the surrogate stays."""
    noise_seeds: int = 4
    noise: float = 8.0
    """Steepness of the escape noise of the flossed networks, and of their surrogate."""
    flossed: int = 8
    """Exponents."""
    phases: tuple[tuple[int, float], ...] = ((800, 2e-3), (200, 2e-4))
    """Flossing steps and learning rates."""
    window: int = 160
    warmup: int = 80
    """Steps of the window that turn the basis; no gradient goes through them."""
    starts: int = 2
    measured_steps: int = 1000
    shown: int = 32
    """Exponents measured before and after flossing."""
    seed: int = 4

    @classmethod
    def quick(cls) -> Self:
        """Fewer, smaller networks and fewer noise levels."""
        return cls(
            units=100,
            steepnesses=(0.5, 4.0, 16.0),
            binary_networks=2,
            neurons=32,
            networks=2,
            lif_steepnesses=(6.0, 50.0),
            noise_seeds=2,
            flossed=8,
            phases=((150, 5e-3), (30, 1e-3)),
            window=100,
            warmup=40,
            measured_steps=300,
            shown=16,
        )

    def cases(self) -> dict[Any, Any]:
        """The three parts."""
        return {Binary(): self.binary, SmallNoise(): self.small_noise, Flossing(): self.flossing}

    def first(self, cells: Any, keys: Array, inputs: Inputs) -> np.ndarray:
        """First exponents by network."""
        return spectra(cells, keys, inputs, 1, self.measured_steps)[:, 0]

    def binary(self, report: Report) -> xr.Dataset:
        """First exponents with noise and matching surrogate, and with that surrogate but no noise."""
        keys = jax.random.split(jax.random.key(self.seed), self.binary_networks)
        bits, exponents = Copy(1).sample_inputs, {"stochastic": [], "deterministic": []}
        for steepness in self.steepnesses:
            report(f"binary networks, steepness {steepness:g}")
            values = jnp.full(len(keys), steepness)
            cells = eqx.filter_vmap(
                lambda key, b: BinaryCell(
                    1, self.units, surrogate=Sigmoid(b, normalise="area"), key=key
                )
            )(keys, values)
            noisy = eqx.filter_vmap(
                lambda key, b: BinaryCell(1, self.units, escape=SigmoidNoise(b), key=key)
            )(keys, values)
            exponents["stochastic"].append(self.first(noisy, keys, WithNoise(bits, self.units)))
            exponents["deterministic"].append(self.first(cells, keys, bits))
        return xr.Dataset(
            {name: (("steepness", "network"), values) for name, values in exponents.items()},
            {"steepness": list(self.steepnesses)},
        )

    def lif(self, keys: Array, width: float) -> LIFCell:
        """LIF networks at the firing rate, with a logistic surrogate of that steepness."""
        inputs = Poisson(100)
        cells, _ = at_rate(lif_networks(keys, inputs, self.neurons), keys, inputs, self.rate)
        surrogate = eqx.filter_vmap(lambda b: Sigmoid(b, normalise="area"))(
            jnp.full(len(keys), width)
        )
        return eqx.tree_at(lambda c: c.surrogate, cells, surrogate)

    def small_noise(self, report: Report) -> xr.Dataset:
        """First exponents of LIF networks by draw of the noise, and without noise."""
        keys = jax.random.split(jax.random.key(self.seed + 1), self.networks)
        cells, inputs = self.lif(keys, self.width), Poisson(100)
        first, rates = [], []
        each = [WithNoise(inputs, self.neurons, jnp.asarray(n)) for n in range(self.noise_seeds)]
        for steepness in self.lif_steepnesses:
            report(f"LIF networks, steepness of noise {steepness:g}")
            noise = eqx.filter_vmap(SigmoidNoise)(jnp.full(len(keys), steepness))
            noisy = with_escape(cells, NoiseBesideSurrogate(noise, cells.surrogate))
            first.append([self.first(noisy, keys, draw) for draw in each])
            rates.append(firing_rates(noisy, keys, each[0]))
        return xr.Dataset(
            {
                "first": (("steepness", "draw", "network"), first),
                "rate": (("steepness", "network"), rates),
                "first_without_noise": ("network", self.first(cells, keys, inputs)),
                "rate_without_noise": ("network", firing_rates(cells, keys, inputs)),
            },
            {"steepness": list(self.lif_steepnesses)},
        )

    def flossing(self, report: Report) -> xr.Dataset:
        """Leading exponents of noisy LIF networks before and after flossing, on noise never seen."""
        keys = jax.random.split(jax.random.key(self.seed + 2), self.networks)
        inputs = WithNoise(Poisson(100), self.neurons)
        noise = eqx.filter_vmap(SigmoidNoise)(jnp.full(len(keys), self.noise))
        cells = with_escape(self.lif(keys, self.noise), noise)
        plan = Plan(
            num_exponents=self.flossed,
            phases=self.phases,
            window=self.window,
            warmup=self.warmup,
            keep_row_means=True,
            detach_warmup=True,
            num_starts=self.starts,
        )
        report("flossing")
        flossed, _ = floss(cells, keys, inputs, plan)
        report("exponents")
        variables: dict[str, Any] = {}
        for when, c in (("before", cells), ("after", flossed)):
            exponents = spectra(c, keys, inputs, self.shown, self.measured_steps)
            variables[f"exponents_{when}"] = (("network", "index"), exponents)
            variables[f"rate_{when}"] = ("network", firing_rates(c, keys, inputs))
        return xr.Dataset(variables)

    @functools.cached_property
    def mean_field(self) -> dict[str, list[float]]:
        """First exponents of binary networks by theory, with and without noise."""
        return {
            kind: [binary_exponent(steepness, noisy) for steepness in self.steepnesses]
            for kind, noisy in (("stochastic", True), ("deterministic", False))
        }

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Theory fits, draws agree, little noise is like none, and noisy networks can be flossed."""
        binary, small, modes = data[Binary()], data[SmallNoise()], data[Flossing()]
        errors = [binary[kind].values.mean(1) - theory for kind, theory in self.mean_field.items()]
        yield Claim.at_most(
            "binary: largest |lambda_1 - mean field|, with and without noise",
            np.abs(errors).max(),
            0.05,
        )
        last = binary["stochastic"].values[-2:].mean(1)
        slope = float(np.diff(last)[0] / np.diff(np.log(self.steepnesses[-2:]))[0])
        yield Claim.at_most(
            f"binary, matched surrogate, little noise: |d lambda_1 / d ln steepness - 1/2| ({slope:.2f})",
            abs(slope - 0.5),
            0.1,
        )
        first = small["first"].values
        least = first[np.argmax(self.lif_steepnesses)].mean(0)
        yield Claim.at_most(
            "LIF, fixed surrogate: |lambda_1 with least noise - without| (mean of networks), per ms",
            np.abs(least - small["first_without_noise"].values).mean(),
            0.01,
        )
        scatter = first.std(1, ddof=1).mean(1).max()
        yield Claim.at_most(
            "LIF: standard deviation of lambda_1 between noises, per ms", scatter, 0.01
        )
        k = self.flossed
        before, after = (
            np.abs(modes[f"exponents_{when}"].values[:, :k].mean(0)).max()
            for when in ("before", "after")
        )
        yield Claim.at_most(
            f"noisy LIF, flossed: largest |lambda_i|, i <= {k}, per ms (before {before:.2f})",
            after,
            0.03,
        )

    def figure(self, data: Data, published: Published) -> Figure:
        """Exponents of binary and LIF networks against noise, and spectra before and after flossing."""
        with style():
            figure = Figure(figsize=(10.5, 3.4), layout="constrained")
            steep, small, spectrum = figure.subplots(1, 3)
            names = {"stochastic": ("with noise", "o"), "deterministic": ("without", "s")}
            for (kind, (name, mark)), colour in zip(names.items(), COLOURS, strict=False):
                values, theory = data[Binary()][kind].values, self.mean_field[kind]
                common = {"color": colour, "linewidth": 1.0, "markersize": 3.5}
                steep.plot(self.steepnesses, theory, **common)
                steep.plot(self.steepnesses, values, mark, fillstyle="none", **common)
                steep.plot([], mark + "-", label=name, **common)
            steep.set(
                xscale="log", xlabel="steepness of noise and of surrogate",
                ylabel="first exponent $\\lambda_1$ (nats per step)",
                title=f"binary, N = {self.units}; lines: mean field",
            )  # fmt: skip
            steep.legend()
            self._small_noise(small, data[SmallNoise()])
            modes = {w: data[Flossing()][f"exponents_{w}"].values for w in ("before", "after")}
            spectra_panel(spectrum, modes, unit="per ms", colours=("0.4", COLOURS[0]))
            spectrum.axvline(self.flossed + 0.5, color="k", linewidth=0.6, linestyle=":")
            spectrum.set_title(f"noisy LIF, k = {self.flossed} flossed, fresh noise")
            spectrum.legend(loc="lower left")
        return figure

    def _small_noise(self, axis: Any, small: xr.Dataset) -> None:
        """Exponents of each network against its noise: mean and spread of draws, and without noise."""
        noise = 1 / np.array(self.lif_steepnesses)
        for network, colour in zip(range(self.networks), COLOURS, strict=False):
            values = small["first"].values[:, :, network]
            axis.errorbar(
                noise, values.mean(1), values.std(1), color=colour, marker="o",
                markersize=3, linewidth=1.0,
            )  # fmt: skip
            none = small["first_without_noise"].values[network]
            axis.axhline(none, color=colour, linewidth=0.9, linestyle=":")
        axis.set(
            xscale="log", xlabel="noise: 1 / steepness of escape (threshold 1)",
            ylabel="first exponent $\\lambda_1$ (per ms)",
            title="LIF, same surrogate; dotted: no noise",
        )  # fmt: skip


class NoiseBesideSurrogate(EscapeNoise):
    """Logistic escape noise whose spikes have the derivative of a surrogate, whatever the noise."""

    noise: SigmoidNoise
    surrogate: Surrogate
    rule: str = eqx.field(static=True, default="surrogate")

    @property
    def width(self) -> Any:
        """That of the noise."""
        return self.noise.width

    def probability(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Probability of a spike, between 0 and 1."""
        return self.noise.probability(x)

    def slope(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Derivative of the probability."""
        return self.noise.slope(x)

    def derivative(
        self, x: Float[Array, "*shape"], spikes: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """The declared derivative of the spikes."""
        return self.surrogate.derivative(x)


class WithNoise(eqx.Module):
    """Input together with the uniform numbers of ``units`` stochastic units.

    With another ``seed`` (a number or an array) the same key gives the same input and other noise.
    """

    inputs: Inputs
    units: int
    seed: Any = 0

    def __call__(self, key: PRNGKeyArray, num_steps: int) -> Noisy:
        """Input and uniform numbers."""
        noise = jax.random.fold_in(key, self.seed + 1)
        return Noisy(
            self.inputs(key, num_steps), jax.random.uniform(noise, (num_steps, self.units))
        )
