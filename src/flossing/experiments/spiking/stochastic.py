"""Surrogate Lyapunov exponents of networks with escape noise, along their noise; small noise; flossing.

A unit spikes where a uniform number is below the escape probability ``p``, a logistic function of its
membrane; the derivative of ``p`` is the matching surrogate (Gygax & Zenke 2025). The uniform numbers come
with the input, so a noisy network is a deterministic step, and has exponents along its noise. Large binary
networks are compared with mean-field theory, LIF networks with the same networks without noise.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from matplotlib.figure import Figure

from ...cells import BinaryCell, LIFCell, with_escape
from ...escape_noise import EscapeNoise, Noisy, SigmoidNoise
from ...runs.plots import COLOURS, style
from ...surrogates import Sigmoid, Surrogate
from ...tasks import Copy
from ..lab.claims import Claim, Result
from ..lab.driven import Inputs, Plan, Poisson, firing_rates, floss, spectra
from ..lab.lif import at_rate, lif_networks
from ..lab.mean_field import binary_exponent


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    units: int = 800
    """Of the binary networks; large, because mean-field theory is compared."""
    steepnesses: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    """Of the escape noise of binary networks, and of their surrogate."""
    binary_networks: int = 4
    neurons: int = 64
    networks: int = 3
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
    phases: tuple[tuple[int, float], ...] = ((800, 2e-3), (200, 2e-4))
    window: int = 160
    warmup: int = 80
    """Steps of the window that turn the basis; no gradient goes through them."""
    starts: int = 2
    measured_steps: int = 1000
    shown: int = 32
    """Exponents measured before and after flossing."""
    seed: int = 4


QUICK = Settings(
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


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has fewer, smaller networks and fewer noise levels."""
    settings = settings or (QUICK if quick else Settings())
    binary = _binary(settings)
    lif = _small_noise(settings)
    flossed = _flossed(settings)
    numbers = {
        "binary": {
            str(b): {
                "stochastic": v["stochastic"].round(4).tolist(),
                "deterministic": v["deterministic"].round(4).tolist(),
                "mean_field": v["mean_field"],
            }
            for b, v in binary.items()
        },
        "small_noise": {
            str(b): {"first": v["first"].round(4).tolist(), "rate": v["rate"].round(2).tolist()}
            for b, v in lif.items()
        },
        "flossed": {
            when: {"exponents": v["exponents"].round(4).tolist(), "rate": v["rate"].round(2).tolist()}
            for when, v in flossed.items()
        },
    }  # fmt: skip
    return Result(
        name="stochastic",
        title="surrogate exponents of stochastic networks along their noise",
        source="escape noise as in Gygax & Zenke 2025; no published numbers",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=_claims(binary, lif, flossed, settings),
        figure=_figure(binary, lif, flossed, settings),
    )


def _binary(settings: Settings) -> dict[float, dict[str, Any]]:
    """First exponents with noise and matching surrogate, and with that surrogate but no noise."""
    keys = jax.random.split(jax.random.key(settings.seed), settings.binary_networks)
    found, bits = {}, Copy(1).sample_inputs
    for steepness in settings.steepnesses:
        values = jnp.full(len(keys), steepness)
        cells = eqx.filter_vmap(
            lambda key, b: BinaryCell(
                1, settings.units, surrogate=Sigmoid(b, normalise="area"), key=key
            )
        )(keys, values)
        noisy = eqx.filter_vmap(
            lambda key, b: BinaryCell(1, settings.units, escape=SigmoidNoise(b), key=key)
        )(keys, values)
        found[steepness] = {
            "stochastic": _first(noisy, keys, WithNoise(bits, settings.units), settings),
            "deterministic": _first(cells, keys, bits, settings),
            "mean_field": [binary_exponent(steepness, noisy) for noisy in (True, False)],
        }
    return found


def _first(cells: Any, keys: jax.Array, inputs: Any, settings: Settings) -> np.ndarray:
    return spectra(cells, keys, inputs, 1, settings.measured_steps)[:, 0]


def _lif(settings: Settings, keys: jax.Array, width: float) -> LIFCell:
    cells = lif_networks(keys, Poisson(100), settings.neurons)
    cells, _ = at_rate(cells, keys, Poisson(100), settings.rate)
    surrogate = eqx.filter_vmap(lambda b: Sigmoid(b, normalise="area"))(jnp.full(len(keys), width))
    return eqx.tree_at(lambda c: c.surrogate, cells, surrogate)


def _small_noise(settings: Settings) -> dict[float, dict[str, np.ndarray]]:
    """First exponents of LIF networks by noise seed; infinite steepness is no noise."""
    keys = jax.random.split(jax.random.key(settings.seed + 1), settings.networks)
    cells, inputs = _lif(settings, keys, settings.width), Poisson(100)
    found = {
        np.inf: {
            "first": _first(cells, keys, inputs, settings)[None],
            "rate": firing_rates(cells, keys, inputs),
        }
    }
    for steepness in settings.lif_steepnesses:
        noise = eqx.filter_vmap(SigmoidNoise)(jnp.full(len(keys), steepness))
        noisy = with_escape(cells, NoiseBesideSurrogate(noise, cells.surrogate))
        each = [
            WithNoise(inputs, settings.neurons, jnp.asarray(seed))
            for seed in range(settings.noise_seeds)
        ]
        found[steepness] = {
            "first": np.array([_first(noisy, keys, noise, settings) for noise in each]),
            "rate": firing_rates(noisy, keys, each[0]),
        }
    return found


def _flossed(settings: Settings) -> dict[str, dict[str, np.ndarray]]:
    """Leading exponents of noisy LIF networks before and after flossing, on noise never seen."""
    keys = jax.random.split(jax.random.key(settings.seed + 2), settings.networks)
    inputs = WithNoise(Poisson(100), settings.neurons)
    noise = eqx.filter_vmap(SigmoidNoise)(jnp.full(len(keys), settings.noise))
    cells = with_escape(_lif(settings, keys, settings.noise), noise)
    plan = Plan(
        num_exponents=settings.flossed,
        phases=settings.phases,
        window=settings.window,
        warmup=settings.warmup,
        keep_row_means=True,
        detach_warmup=True,
        num_starts=settings.starts,
    )
    flossed, _ = floss(cells, keys, inputs, plan)
    return {
        when: {
            "exponents": spectra(c, keys, inputs, settings.shown, settings.measured_steps),
            "rate": firing_rates(c, keys, inputs),
        }
        for when, c in (("before", cells), ("after", flossed))
    }


def _claims(
    binary: dict[float, dict[str, Any]],
    lif: dict[float, dict[str, np.ndarray]],
    flossed: dict[str, dict[str, np.ndarray]],
    settings: Settings,
) -> list[Claim]:
    errors = [
        abs(v[kind].mean() - theory)
        for v in binary.values()
        for kind, theory in zip(("stochastic", "deterministic"), v["mean_field"], strict=True)
    ]
    last = list(binary)[-2:]
    slope = np.diff([binary[b]["stochastic"].mean() for b in last])[0] / np.diff(np.log(last))[0]
    none = lif[np.inf]["first"][0]
    smallest = lif[max(settings.lif_steepnesses)]["first"]
    scatter = max(v["first"].std(0, ddof=1).mean() for b, v in lif.items() if np.isfinite(b))
    k = settings.flossed
    before, after = (np.abs(flossed[w]["exponents"][:, :k].mean(0)) for w in ("before", "after"))
    return [
        Claim("binary: largest |lambda_1 - mean field|, with and without noise", max(errors), 0.05),
        Claim(
            f"binary, matched surrogate, little noise: |d lambda_1 / d ln steepness - 1/2| ({slope:.2f})",
            abs(slope - 0.5),
            0.1,
        ),
        Claim(
            "LIF, fixed surrogate: |lambda_1 with least noise - without| (mean of networks), per ms",
            float(np.abs(smallest.mean(0) - none).mean()),
            0.01,
        ),
        Claim("LIF: standard deviation of lambda_1 between noises, per ms", float(scatter), 0.01),
        Claim(
            f"noisy LIF, flossed: largest |lambda_i|, i <= {k}, per ms (before {before.max():.2f})",
            float(after.max()),
            0.03,
        ),
    ]


def _figure(
    binary: dict[float, dict[str, Any]],
    lif: dict[float, dict[str, np.ndarray]],
    flossed: dict[str, dict[str, np.ndarray]],
    settings: Settings,
) -> Figure:
    with style():
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        steep, small, spectrum = figure.subplots(1, 3)
        for place, (kind, marker) in enumerate((("stochastic", "o"), ("deterministic", "s"))):
            colour = COLOURS[place]
            theory = [v["mean_field"][place] for v in binary.values()]
            values = np.array([v[kind] for v in binary.values()])
            name = "with noise" if place == 0 else "without"
            steep.plot(list(binary), theory, color=colour, linewidth=1.0)
            steep.plot(list(binary), values, marker, color=colour, markersize=3.5, fillstyle="none")
            steep.plot([], marker + "-", color=colour, linewidth=1.0, markersize=3.5, label=name)
        steep.set(
            xscale="log", xlabel="steepness of noise and of surrogate",
            ylabel="first exponent $\\lambda_1$ (nats per step)",
            title=f"binary, N = {settings.units}; lines: mean field",
        )  # fmt: skip
        steep.legend()
        levels = [b for b in lif if np.isfinite(b)]
        for network, colour in enumerate(COLOURS[: settings.networks]):
            values = np.array([lif[b]["first"][:, network] for b in levels])
            small.errorbar(
                1 / np.array(levels), values.mean(1), values.std(1), color=colour, marker="o",
                markersize=3, linewidth=1.0,
            )  # fmt: skip
            small.axhline(lif[np.inf]["first"][0, network], color=colour, linewidth=0.9, ls=":")
        small.set(
            xscale="log", xlabel="noise: 1 / steepness of escape (threshold 1)",
            ylabel="first exponent $\\lambda_1$ (per ms)",
            title="LIF, same surrogate; dotted: no noise",
        )  # fmt: skip
        for (when, mode), colour in zip(flossed.items(), ("0.4", COLOURS[0]), strict=True):
            index = np.arange(1, mode["exponents"].shape[1] + 1)
            spectrum.plot(index, mode["exponents"].T, color=colour, linewidth=0.4, alpha=0.6)
            spectrum.plot(index, mode["exponents"].mean(0), color=colour, label=when)
        spectrum.axhline(0, color="k", linewidth=0.6, linestyle=":")
        spectrum.axvline(settings.flossed + 0.5, color="k", linewidth=0.6, linestyle=":")
        spectrum.set(
            xlabel="index i", ylabel="surrogate exponent $\\lambda_i$ (per ms)",
            title=f"noisy LIF, k = {settings.flossed} flossed, fresh noise",
        )  # fmt: skip
        spectrum.legend(loc="lower left")
    return figure
