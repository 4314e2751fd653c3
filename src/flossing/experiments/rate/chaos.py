"""Chaotic networks: exponents, dimension and entropy rate against N and g, and flossing them."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...lyapunov import entropy_rate, kaplan_yorke_dimension
from ..lab import mean_field
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.published import Published
from . import chaos_figure, random_networks
from .chaos_figure import MEASURES, PUBLISHED, WAYS

_AT = "Engelken, Wolf & Abbott 2023, N = 4096"


@dataclasses.dataclass(frozen=True)
class Spectrum:
    """Networks that are not flossed."""

    gain: float
    units: int


@dataclasses.dataclass(frozen=True)
class Chaotic:
    """Networks that are flossed later, as they are before."""

    gain: float


@dataclasses.dataclass(frozen=True)
class Flossed:
    """Networks that are flossed with windows of one length, in several ways."""

    gain: float
    window: int
    """In steps."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chaos(Experiment):
    """Spectra beside mean-field theory, and how gradients of exponents grow with the window.

    Networks ``x' = J tanh(x)`` with ``J_ij ~ N(0, g^2/N)`` and no input are chaotic above g = 1. Their
    exponents are compared with mean-field theory and with published values at N = 4096. Then the first
    exponent of chaotic networks is driven to zero. Gradients of an exponent over T steps grow like
    exp(lambda_1 T), so windows have to be short; trajectories and tangents are carried on from window to
    window. The target is zero at once, the same with clipped gradients, or falls to zero stepwise.
    """

    title = "chaotic networks and flossing them"
    source = "Engelken, Wolf & Abbott 2023 at N = 4096; mean-field theory"
    shows = (
        "Exponents, dimension and entropy rate of random networks agree with mean-field theory and with "
        "published values. Chaotic networks are flossed to zero with windows of a single step."
    )
    gains: tuple[float, ...] = (0.5, 0.8, 1.2, 1.5, 2.0, 2.5, 3.0)
    sizes: tuple[tuple[int, int], ...] = ((64, 6), (128, 3), (256, 2), (512, 1))
    """Units N and number of networks; the largest size only at the gains with published values."""
    counted: int = 800
    """Steps over which exponents are measured."""
    flossed_gains: tuple[float, ...] = (1.5, 2.0, 3.0)
    flossed_size: int = 80
    flossed_networks: int = 3
    windows: tuple[int, ...] = (1, 3, 10, 30, 100)
    """Steps through which gradients go."""
    trajectory_steps: int = 300
    """Window times number of trajectories of one flossing step."""
    steps: int = 300
    """Flossing steps."""
    learning_rate: float = 3e-3
    clip: float = 0.1
    """Largest gradient norm where gradients are clipped."""
    recommended_way: str = "at once"
    """Way of flossing for which a claim is made."""
    recommended_window: int = 1
    """Its window, in steps."""
    measured_steps: int = 3000
    """Over which first exponents are measured before and after flossing."""
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Fewer and smaller networks."""
        return cls(
            gains=(0.5, 2.0, 3.0), sizes=((64, 2), (128, 1)), counted=300, flossed_gains=(2.0,),
            flossed_networks=2, windows=(1, 30), steps=80, learning_rate=5e-3, measured_steps=1000,
        )  # fmt: skip

    def cases(self) -> dict[Any, Callable[[Report], xr.Dataset]]:
        """Spectra by gain and size; gradients and flossing by gain and window."""
        work: dict[Any, Callable[[Report], xr.Dataset]] = {}
        largest = max(self.sizes)[0] if len(self.sizes) > 1 else None
        for gain in self.gains:
            for units, count in self.sizes:
                if units != largest or gain in PUBLISHED:
                    work[Spectrum(gain, units)] = functools.partial(
                        self.spectrum, gain, units, count
                    )
        for gain in self.flossed_gains:
            work[Chaotic(gain)] = functools.partial(self.before, gain)
            for window in self.windows:
                work[Flossed(gain, window)] = functools.partial(self.floss, gain, window)
        return work

    def spectrum(self, gain: float, units: int, count: int, report: Report) -> xr.Dataset:
        """``exponents`` (network, index), three ``measures`` of them (network, measure), and ``theory``'s."""
        report("measuring")
        weights, states = random_networks.draw(gain, units, count, self.seed)
        k = round((0.4 if gain > 1 else 0.9) * units)
        exponents = np.asarray(random_networks.spectra(weights, states, k, self.counted))
        measures = np.array([_measures(values, units) for values in exponents])
        return xr.Dataset(
            {
                "exponents": (("network", "index"), exponents),
                "measures": (("network", "measure"), measures),
                "theory": ("measure", [*mean_field.densities(gain)]),
            },
            {"measure": [*MEASURES]},
        )

    def before(self, gain: float, report: Report) -> xr.Dataset:
        """``log_gradient_norms`` (network, trajectory, window) and ``first_exponent`` (network)."""
        report("measuring")
        weights, keys = self._networks(gain)
        logs = random_networks.log_gradient_norms(weights, keys, self.windows, 8)
        return xr.Dataset(
            {
                "log_gradient_norms": (("network", "trajectory", "window"), logs),
                "first_exponent": ("network", self._first(weights, keys)),
            },
            {"window": [*self.windows]},
        )

    def floss(self, gain: float, window: int, report: Report) -> xr.Dataset:
        """Exponents ``in_window`` (way, network, step), ``after`` (way, network), and updates ``skipped``."""
        weights, keys = self._networks(gain)
        at_once = jnp.zeros(self.steps)
        stepwise = jnp.maximum(0, 1 - jnp.arange(self.steps) / (0.6 * self.steps))
        ways = {
            "at once": (at_once, jnp.inf),
            "clipped": (at_once, self.clip),
            "stepwise": (stepwise, self.clip),
        }
        how = random_networks.Flossing(
            window, max(1, self.trajectory_steps // window), self.steps, self.learning_rate
        )
        in_window, skipped, after = [], [], []
        for way in WAYS:
            report(way)
            targets, clip = ways[way]
            track = random_networks.floss(weights, keys, how, targets, jnp.asarray(clip))
            in_window.append(np.asarray(track.exponents))
            skipped.append(np.asarray(track.skipped).sum(1))
            after.append(self._first(track.weights, keys))
        return xr.Dataset(
            {
                "in_window": (("way", "network", "step"), np.array(in_window)),
                "skipped": (("way", "network"), np.array(skipped)),
                "after": (("way", "network"), np.array(after)),
            },
            {"way": [*WAYS]},
        )

    def measure(self, case: Any, outcome: xr.Dataset) -> xr.Dataset:
        """All but exponents in windows, of which those of the recommended way are kept."""
        if not isinstance(case, Flossed):
            return outcome
        kept = outcome.drop_vars("in_window")
        if case.window == self.recommended_window:
            way = outcome.sel(way=self.recommended_way, drop=True)
            kept["in_window"] = way["in_window"]
        return kept

    def _networks(self, gain: float) -> tuple[jax.Array, jax.Array]:
        """Weights and random keys of the networks that are flossed."""
        count = self.flossed_networks
        weights, _ = random_networks.draw(gain, self.flossed_size, count, self.seed + 1)
        return weights, jax.random.split(jax.random.key(self.seed), count)

    def _first(self, weights: jax.Array, keys: jax.Array) -> np.ndarray:
        """First exponents over many steps from states that flossing never saw."""
        start = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, 9), weights.shape[-1:]))
        exponents = random_networks.spectra(weights, start(keys), 1, self.measured_steps)
        return np.asarray(exponents)[:, 0]

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Published values, mean-field theory, growth of gradients, and flossing to zero."""
        for gain in (g for g in PUBLISHED if g in self.gains):
            case = Spectrum(gain, max(self.sizes)[0])
            yield from _as_published(case, data[case])
        for gain in (g for g in self.gains if g < 1):
            units = max(case.units for case in data.where(Spectrum, gain=gain))
            exponents = data[Spectrum(gain, units)]["exponents"].values.mean(0)
            fraction = (np.arange(len(exponents)) + 0.5) / units
            distance = np.abs(exponents - mean_field.spectrum(gain, fraction))
            text = f"g = {gain:g}, N = {units}: mean |lambda(i/N) - (ln g + ln(1 - i/N)/2)|, i/N < 0.75"
            yield Claim.at_most(text, float(distance[fraction < 0.75].mean()), 0.03)
        for gain in self.flossed_gains:
            start = data[Chaotic(gain)]
            before = start["first_exponent"].values
            if len(self.windows) > 2:
                slope = growth(start["log_gradient_norms"].values, self.windows)
                text = (
                    f"g = {gain:g}: growth of the gradient per step of window ({slope:.3f}) over the "
                    f"first exponent ({before.mean():.3f}), distance from 1"
                )
                yield Claim.at_most(text, np.abs(slope / before.mean() - 1), 0.4)
            after = data[Flossed(gain, self.recommended_window)]["after"].sel(
                way=self.recommended_way
            )
            text = (
                f"g = {gain:g}: largest |lambda_1| of the networks after {self.steps} flossing steps "
                f"({self.recommended_way}, window {self.recommended_window}; before {before.min():.3f} to "
                f"{before.max():.3f})"
            )
            yield Claim.at_most(text, float(np.abs(after.values).max()), 0.03)

    def figure(self, data: Data, published: Published) -> Figure:
        """Four panels of spectra and what follows from them, and four of flossing."""
        spectra = {
            gain: {case.units: part for case, part in data.where(Spectrum, gain=gain).items()}
            for gain in self.gains
        }
        before = {gain: data[Chaotic(gain)] for gain in self.flossed_gains}
        flossed = {
            gain: {case.window: part for case, part in data.where(Flossed, gain=gain).items()}
            for gain in self.flossed_gains
        }
        recommended = (self.recommended_way, self.recommended_window)
        return chaos_figure.figure(spectra, before, flossed, recommended)


def _as_published(case: Spectrum, part: xr.Dataset) -> Iterator[Claim]:
    """The first exponent, and densities measured and of mean-field theory, beside those at N = 4096."""
    first, *densities = PUBLISHED[case.gain]
    setting = f"g = {case.gain:g}, N = {case.units}"
    exponent = float(part["exponents"].values[:, 0].mean())
    text = f"{setting}: first exponent (nats per step)"
    yield Claim.near(text, exponent, first, within=0.01, source=_AT)
    ours, theory = part["measures"].values.mean(0), part["theory"].values
    for name, known, value, predicted in zip(MEASURES, densities, ours, theory, strict=True):
        yield Claim.near(f"{setting}: {name}", value, known, relative=0.08, source=_AT)
        text = f"g = {case.gain:g}: {name} of mean-field theory"
        yield Claim.near(text, predicted, known, relative=0.02, source=_AT)


def _measures(exponents: np.ndarray, units: int) -> tuple[float, float, float]:
    """``MEASURES``; a first exponent that is zero within scatter (a cycle) counts as not chaotic."""
    if exponents[0] < 1e-3:
        return 0.0, 0.0, 0.0
    values = jnp.asarray(exponents)
    return (
        float((exponents > 0).sum()) / units,
        float(entropy_rate(values)) / units,
        float(kaplan_yorke_dimension(values)) / units,
    )


def growth(logs: np.ndarray, windows: tuple[int, ...]) -> np.floating:
    """Growth per step of the gradient norm of ``T lambda_1(T)``, from the two longest windows.

    Args:
        logs: log norms of ``d lambda_1(T) / dJ``, shape (networks, trajectories, windows).
        windows: T, in steps.
    """
    medians = np.median(logs.reshape(-1, len(windows)), axis=0) + np.log(windows)
    return (medians[-1] - medians[-2]) / (windows[-1] - windows[-2])
