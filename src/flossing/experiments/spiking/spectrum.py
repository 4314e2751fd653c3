"""Surrogate Lyapunov spectrum of LIF networks before, during and after flossing (Engelken & Abbott 2024)."""

import dataclasses
import functools
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
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.driven import (
    WARMUP,
    Plan,
    Poisson,
    activity,
    firing_rates,
    floss,
    in_double,
    jacobians,
    spectra,
)
from ..lab.experiment import Experiment, Report
from ..lab.lif import at_rate, lif_networks, with_input_gain
from ..lab.published import Published
from .panels import MEMBRANE, SYNAPSE
from .spectrum_figure import mean_of_networks, spectrum_figure

RESETS = {
    "to zero, exact (spike detached)": ("to_zero", "detached"),
    "to zero, spike differentiated": ("to_zero", "differentiated"),
    "to zero, derivative ignored": ("to_zero", "ignored"),
    "subtract, spike detached": ("subtract", "detached"),
    "subtract, spike differentiated": ("subtract", "differentiated"),
    "no reset": ("none", "detached"),
}
"""Kinds of resets, and their derivatives, by description."""


@dataclasses.dataclass(frozen=True)
class Flossing:
    """The networks at the usual rate: flossing, other surrogates of the same spikes, lost directions."""


@dataclasses.dataclass(frozen=True)
class Reset:
    """Networks with another reset, whose inputs are scaled to the usual rate."""

    kind: str
    """A name in ``RESETS``."""


@dataclasses.dataclass(frozen=True)
class Rates:
    """Networks whose inputs are scaled to other rates."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingSpectrum(Experiment):
    """Spectra with and without the factor of the reset, before, during and after flossing.

    The network is that of the published minimal example: 64 current-based LIF neurons (10 ms membranes, 5
    ms synapses), 100 Poisson inputs of 100 Hz, centred weights, two variables per neuron. 50 of the 128
    exponents are flossed, in steps that keep the weights centred. The published Jacobian leaves out the
    factor of the reset: networks are flossed in this way and with the exact derivative, and measured with
    both. Recurrent gain and firing rate are ours: the published ones are not known. An exact reset maps
    directions to zero; they are counted, never hidden.
    """

    title = "surrogate spectrum of LIF networks before, during and after flossing"
    source = "Engelken & Abbott 2024 (minimal example); no published numbers"
    shows = (
        "Flossing brings the first 50 surrogate exponents of LIF networks near zero, so that tangent modes "
        "outlast membranes and synapses about tenfold. With the same spikes, exponents fall as the surrogate "
        "gets steeper, and they fall as the rate rises."
    )
    neurons: int = 64
    channels: int = 100
    input_rate: float = 100.0
    """Of each input, in Hz."""
    networks: int = 3
    rate: float = 20.0
    """Mean firing rate in Hz that the input weights are scaled to."""
    gain: float = 0.5
    """Of the recurrent weights."""
    sharpness: float = 1.0
    """Of the surrogate derivative ``1 / (sharpness |x| + 1)^2``."""
    flossed: int = 50
    """Exponents, with the reset factor left out of the derivatives, as published."""
    flossed_exactly: int = 50
    """Exponents, with exact derivatives."""
    phases: tuple[tuple[int, float], ...] = ((600, 2e-3), (150, 2e-4))
    """Flossing steps and learning rates."""
    window: int = 160
    warmup: int = 80
    """Steps of the window that turn the basis; no gradient goes through them."""
    measured_steps: int = 400
    look_every: int = 125
    """Flossing steps from one measurement to the next."""
    short: int = 40
    """Steps in which lost directions are compared with spikes."""
    sharpnesses: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    rates: tuple[float, ...] = (2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
    """In Hz."""
    resets: tuple[str, ...] = tuple(RESETS)
    """Which of ``RESETS`` are compared."""
    leading: int = 8
    """Exponents computed in the scans over sharpness and rate."""
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Two small networks and fewer steps."""
        return cls(
            neurons=32,
            networks=2,
            flossed=24,
            flossed_exactly=8,
            phases=((40, 3e-3), (10, 1e-3)),
            window=100,
            warmup=40,
            measured_steps=300,
            sharpnesses=(0.5, 2.0, 8.0),
            rates=(5.0, 20.0, 80.0),
            resets=tuple(RESETS)[:3],
        )

    def cases(self) -> dict[Any, Any]:
        """Flossing, each kind of reset, and other rates."""
        resets = {Reset(kind): functools.partial(self.reset, kind) for kind in self.resets}
        return {Flossing(): self.flossing, **resets, Rates(): self.other_rates}

    @property
    def inputs(self) -> Poisson:
        """What drives the networks."""
        return Poisson(self.channels, self.input_rate)

    @property
    def keys(self) -> Array:
        """One for each network."""
        return jax.random.split(jax.random.key(self.seed), self.networks)

    def build(self, reset: str = "to_zero", gradient: str = "detached") -> LIFCell:
        """Networks, before their inputs are scaled."""
        return lif_networks(
            self.keys,
            self.inputs,
            self.neurons,
            sharpness=self.sharpness,
            gain=self.gain,
            membrane=MEMBRANE,
            synapse=SYNAPSE,
            reset=reset,
            reset_gradient=gradient,
        )

    def with_reset_gradient(self, cells: LIFCell, gradient: str) -> LIFCell:
        """The same networks, on the same trajectories, with another derivative of the reset."""
        weights = cells.recurrent_weight, cells.input_weight
        other = self.build(gradient=gradient)
        return eqx.tree_at(lambda c: (c.recurrent_weight, c.input_weight), other, weights)

    def spectra(self, cells: LIFCell, count: int) -> np.ndarray:
        """Exponents, shape (network, index), per ms; minus infinity where a direction is lost."""
        return spectra(cells, self.keys, self.inputs, count, self.measured_steps)

    def flossing(self, report: Report) -> xr.Dataset:
        """Spectra before, during and after flossing, for other surrogates, and lost directions."""
        size, track = 2 * self.neurons, {}
        cells, _ = at_rate(self.build(), self.keys, self.inputs, self.rate)

        def measure(step: int, cells: LIFCell) -> None:
            track[step] = self.spectra(cells, size)
            report(f"flossing step {step}")

        plan = Plan(
            num_exponents=self.flossed,
            phases=self.phases,
            window=self.window,
            warmup=self.warmup,
            keep_row_means=True,
            detach_warmup=True,
        )
        smooth = self.with_reset_gradient(cells, "ignored")
        flossed, _ = floss(smooth, self.keys, self.inputs, plan, measure, self.look_every)
        report("flossing with exact derivatives")
        exactly = dataclasses.replace(plan, num_exponents=self.flossed_exactly)
        when = {
            "before": cells,
            "after": self.with_reset_gradient(flossed, "detached"),
            "flossed_exactly": floss(cells, self.keys, self.inputs, exactly)[0],
        }
        report("other surrogates, and lost directions")
        sharpnesses = jnp.asarray(self.sharpnesses, jnp.float32)
        others = [
            eqx.tree_at(lambda c: c.surrogate.sharpness, cells, jnp.full(self.networks, value))
            for value in sharpnesses
        ]
        exact = {f"exact_{name}": self.spectra(c, size) for name, c in when.items()}
        rates = {f"rate_{n}": firing_rates(c, self.keys, self.inputs) for n, c in when.items()}
        return xr.Dataset(
            {"without_reset_factor": (("step", "network", "index"), list(track.values()))}
            | {name: (("network", "index"), values) for name, values in exact.items()}
            | {
                "by_sharpness": (
                    ("sharpness", "network", "lead"),
                    [self.spectra(other, self.leading) for other in others],
                )
            }
            | {name: ("network", values) for name, values in (rates | self.lost(cells)).items()},
            {"step": list(track), "sharpness": list(self.sharpnesses)},
        )

    def lost(self, cells: LIFCell) -> dict[str, np.ndarray]:
        """Directions that resets remove within a short window, in double precision, by network.

        Without recurrence every neuron that fires loses its membrane direction, and no other is lost: that
        many singular values of the long-term Jacobian are zero. The spectrum finds fewer of them, because a
        direction that hardly lies in the last tangents any more leaves rounding errors that look like growth.
        """
        keys, inputs = self.keys, self.inputs
        with jax.enable_x64(True):
            coupled = in_double(cells)
            weights = coupled.recurrent_weight
            alone = eqx.tree_at(lambda c: c.recurrent_weight, coupled, jnp.zeros_like(weights))
            silent = in_double(with_input_gain(alone, np.zeros(self.networks)))
            size, steps, counts = 2 * self.neurons, self.short, {}
            for name, c in (("without_recurrence", alone), ("with_recurrence", coupled)):
                spikes = activity(c, keys, inputs, WARMUP + steps)[:, WARMUP - 1 : -1] > 0
                exponents = spectra(c, keys, inputs, size, steps, warmup=0)
                rank = np.linalg.matrix_rank(jacobians(c, keys, inputs, steps), rtol=1e-11)
                counts[f"lost_{name}"] = size - rank
                counts[f"lost_in_spectrum_{name}"] = np.isneginf(exponents).sum(1)
                counts[f"fired_{name}"] = spikes.any(1).sum(1)
                counts[f"most_at_once_{name}"] = spikes.sum(2).max(1)
            # Membrane and synapse directions part like exp(-0.1 t): 100 steps are not enough for 1e-6.
            at_rest = spectra(silent, keys, inputs, size, 100, warmup=3 * WARMUP)
        anchors = np.repeat([-1 / MEMBRANE, -1 / SYNAPSE], self.neurons)
        return counts | {"error_at_rest": np.abs(at_rest - anchors).max(1)}

    def reset(self, kind: str, report: Report) -> xr.Dataset:
        """Spectra of one kind of reset; it changes the activity, so the input weights are scaled again."""
        report(kind)
        cells, _ = at_rate(self.build(*RESETS[kind]), self.keys, self.inputs, self.rate)
        return xr.Dataset(
            {
                "exponents": (("network", "index"), self.spectra(cells, 2 * self.neurons)),
                "rate": ("network", firing_rates(cells, self.keys, self.inputs)),
            }
        )

    def other_rates(self, report: Report) -> xr.Dataset:
        """Leading exponents against the firing rate."""
        plain, exponents = self.build(), []
        for rate in self.rates:
            report(f"{rate:g} Hz")
            cells, _ = at_rate(plain, self.keys, self.inputs, rate)
            exponents.append(self.spectra(cells, self.leading))
        return xr.Dataset(
            {"exponents": (("rate", "network", "lead"), exponents)}, {"rate": list(self.rates)}
        )

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Exact numbers at rest and at resets, slow modes after flossing, sharpness and rate matter."""
        numbers = data[Flossing()]
        k, few = self.flossed, self.flossed_exactly
        track = numbers["without_reset_factor"].values
        before, after = (mean_of_networks(track[step])[:k] for step in (0, -1))
        exact, flossed = (
            mean_of_networks(numbers[f"exact_{when}"].values)
            for when in ("before", "flossed_exactly")
        )
        yield Claim.at_most(
            "at rest: largest error of the exponents against -dt/tau_mem, -dt/tau_syn",
            numbers["error_at_rest"].values.max(),
            1e-6,
        )
        lost, fired = numbers["lost_without_recurrence"], numbers["fired_without_recurrence"]
        missing = (lost - fired).where(fired > 0)  # or nothing is shown
        yield Claim.at_most(
            f"without recurrence: |lost directions - neurons that fired in {self.short} ms|, largest",
            np.abs(missing.values).max(),
            0,
        )
        yield Claim.at_most(
            f"reset factor left out: mean |lambda_i|, i <= {k}, after flossing, per ms"
            f" (before {np.abs(before).mean():.3f})",
            np.abs(after).mean(),
            0.03,
        )
        yield Claim.at_least(
            f"median time scale 1/|lambda_i| of these {k}, in ms (tau_mem 10, tau_syn 5)",
            np.median(1 / np.abs(after)),
            100,
        )
        yield Claim.at_most(
            f"exact reset: mean |lambda_i|, i <= {few}, flossed, per ms"
            f" (before {np.abs(exact[:few]).mean():.3f})",
            np.abs(flossed[:few]).mean(),
            0.03,
        )
        yield Claim.at_least(
            f"exact reset: mean change of the first {k} exponents, before flossing",
            np.abs(exact[:k] - before).mean(),
            0.005,
        )
        scans = {"sharpness": numbers["by_sharpness"], "rate": data[Rates()]["exponents"]}
        for name, scan in scans.items():
            first = scan.values[:, :, 0].mean(1)
            text = f"range of lambda_1 over {name} (from {first[0]:+.3f} to {first[-1]:+.3f})"
            yield Claim.at_least(text, np.ptp(first), 0.05)

    def figure(self, data: Data, published: Published) -> Figure:
        """Six panels: spectra, flossing, time scales, resets, sharpness, rate."""
        resets = {kind: data[Reset(kind)]["exponents"].values for kind in self.resets}
        return spectrum_figure(data[Flossing()], resets, data[Rates()]["exponents"], self)
