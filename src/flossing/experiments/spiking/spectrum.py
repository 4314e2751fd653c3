"""Surrogate Lyapunov spectrum of a LIF network before, during and after flossing (Engelken & Abbott 2024).

The network of the published minimal example: 64 current-based LIF neurons (10 ms membranes, 5 ms
synapses), 100 Poisson inputs of 100 Hz, centred weights, two variables per neuron; 50 of the 128
exponents are flossed, in steps that keep the weights centred. The published Jacobian leaves out the factor
of the reset: networks are flossed in this way and with the exact derivative, and measured with both.
Recurrent gain and firing rate are ours: the published ones are not known. An exact reset maps directions to
zero; they are counted, never hidden.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ...cells import LIFCell
from ...surrogates import SuperSpike
from ..lab.claims import Claim, Result
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
from ..lab.lif import at_rate, lif_networks, with_input_gain
from .figures import mean_of_networks, spectrum_figure

RESETS = {
    "to zero, exact (spike detached)": ("to_zero", "detached"),
    "to zero, spike differentiated": ("to_zero", "differentiated"),
    "to zero, derivative ignored": ("to_zero", "ignored"),
    "subtract, spike detached": ("subtract", "detached"),
    "subtract, spike differentiated": ("subtract", "differentiated"),
    "no reset": ("none", "detached"),
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

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
    short: int = 40
    """Steps in which lost directions are compared with spikes."""
    sharpnesses: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    rates: tuple[float, ...] = (2.5, 5.0, 10.0, 20.0, 40.0, 80.0)
    resets: tuple[str, ...] = tuple(RESETS)
    """Which of ``RESETS`` are compared."""
    leading: int = 8
    """Exponents computed in the scans over sharpness and rate."""
    seed: int = 1


QUICK = Settings(
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


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has two small networks and fewer steps."""
    settings = settings or (QUICK if quick else Settings())
    inputs = Poisson(settings.channels, settings.input_rate)
    keys = jax.random.split(jax.random.key(settings.seed), settings.networks)
    plain = _build(keys, inputs, settings)
    cells, factor = at_rate(plain, keys, inputs, settings.rate)
    size = 2 * settings.neurons
    track: dict[int, np.ndarray] = {}

    def look(step: int, cells: LIFCell) -> None:
        track[step] = _measure(cells, keys, inputs, settings, size)

    plan = Plan(
        num_exponents=settings.flossed,
        phases=settings.phases,
        window=settings.window,
        warmup=settings.warmup,
        keep_row_means=True,
        detach_warmup=True,
    )
    smooth = _with_reset(cells, keys, inputs, settings, "ignored")
    flossed, _ = floss(smooth, keys, inputs, plan, look, settings.look_every)
    flossed = _with_reset(flossed, keys, inputs, settings, "detached")
    few = dataclasses.replace(plan, num_exponents=settings.flossed_exactly)
    flossed_exactly, _ = floss(cells, keys, inputs, few)
    exact = {
        when: _measure(c, keys, inputs, settings, size)
        for when, c in (
            ("before", cells),
            ("after", flossed),
            ("flossed_exactly", flossed_exactly),
        )
    }
    resets = {
        name: _reset_at_rate(keys, inputs, settings, RESETS[name]) for name in settings.resets
    }
    scans = _scans(plain, cells, keys, inputs, settings)
    lost = _dead(cells, keys, inputs, settings)
    numbers = {
        "without_reset_factor_by_flossing_step": {str(s): _plain(v) for s, v in track.items()},
        "exact": {k: _plain(v) for k, v in exact.items()},
        "by_reset": {k: {"rate": r, "spectra": _plain(v)} for k, (r, v) in resets.items()},
        "by_sharpness": {str(k): _plain(v) for k, v in scans["sharpness"].items()},
        "by_rate": {str(k): _plain(v) for k, v in scans["rate"].items()},
        "lost": {
            **{when: _count_lost(values) for when, values in exact.items()},
            f"within_{settings.short}_ms": lost,
        },
        "input_weight_factor": factor.round(4).tolist(),
        "rate_before": firing_rates(cells, keys, inputs).round(2).tolist(),
        "rate_after": firing_rates(flossed, keys, inputs).round(2).tolist(),
        "rate_flossed_exactly": firing_rates(flossed_exactly, keys, inputs).round(2).tolist(),
        "surrogate": SuperSpike(settings.sharpness).describe(),
    }
    return Result(
        name="spiking-spectrum",
        title="surrogate spectrum of LIF networks before, during and after flossing",
        source="Engelken & Abbott 2024 (minimal example); no published numbers",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=_claims(track, exact, scans, lost, settings),
        figure=spectrum_figure(track, exact, {k: v for k, (_, v) in resets.items()}, scans, settings),
    )  # fmt: skip


def _measure(
    cells: LIFCell, keys: jax.Array, inputs: Poisson, settings: Settings, k: int
) -> np.ndarray:
    return spectra(cells, keys, inputs, k, settings.measured_steps)


def _build(
    keys: jax.Array,
    inputs: Poisson,
    settings: Settings,
    kind: tuple[str, str] = ("to_zero", "detached"),
) -> LIFCell:
    return lif_networks(
        keys,
        inputs,
        settings.neurons,
        sharpness=settings.sharpness,
        gain=settings.gain,
        reset=kind[0],
        reset_gradient=kind[1],
    )


def _with_reset(
    cells: LIFCell, keys: jax.Array, inputs: Poisson, settings: Settings, gradient: str
) -> LIFCell:
    """The same networks, on the same trajectories, with another derivative of the reset."""
    other = _build(keys, inputs, settings, ("to_zero", gradient))
    weights = cells.recurrent_weight, cells.input_weight
    return eqx.tree_at(lambda c: (c.recurrent_weight, c.input_weight), other, weights)


def _reset_at_rate(
    keys: jax.Array, inputs: Poisson, settings: Settings, kind: tuple[str, str]
) -> tuple[float, np.ndarray]:
    """Another kind of reset changes the activity, so the input weights are scaled again."""
    cells, _ = at_rate(_build(keys, inputs, settings, kind), keys, inputs, settings.rate)
    rate = float(firing_rates(cells, keys, inputs).mean())
    return rate, _measure(cells, keys, inputs, settings, 2 * settings.neurons)


def _scans(
    plain: LIFCell, cells: LIFCell, keys: jax.Array, inputs: Poisson, settings: Settings
) -> dict[str, dict[float, np.ndarray]]:
    """Leading exponents against sharpness at fixed rate, and against rate at fixed sharpness.

    Spikes do not depend on the surrogate: the trajectories of the first scan are all the same.
    """
    found: dict[str, dict[float, np.ndarray]] = {"sharpness": {}, "rate": {}}
    for sharpness in settings.sharpnesses:
        other = eqx.tree_at(
            lambda c: c.surrogate.sharpness, cells, jnp.full(len(keys), sharpness, jnp.float32)
        )
        found["sharpness"][sharpness] = _measure(other, keys, inputs, settings, settings.leading)
    for rate in settings.rates:
        other, _ = at_rate(plain, keys, inputs, rate)
        found["rate"][rate] = _measure(other, keys, inputs, settings, settings.leading)
    return found


def _dead(cells: LIFCell, keys: jax.Array, inputs: Poisson, settings: Settings) -> dict[str, list]:
    """Directions that resets remove within a short window, in double precision.

    Without recurrence every neuron that fires loses its membrane direction, and no other is lost: that
    many singular values of the long-term Jacobian are zero. The spectrum finds fewer of them, because a
    direction that hardly lies in the last tangents any more leaves rounding errors that look like growth.
    """
    with jax.enable_x64(True):
        coupled = in_double(cells)
        weights = coupled.recurrent_weight
        alone = eqx.tree_at(lambda c: c.recurrent_weight, coupled, jnp.zeros_like(weights))
        silent = in_double(with_input_gain(alone, np.zeros(len(keys))))
        size, steps = 2 * settings.neurons, settings.short
        found = {}
        for name, c in (("without_recurrence", alone), ("with_recurrence", coupled)):
            spikes = activity(c, keys, inputs, WARMUP + steps)[:, WARMUP - 1 : -1] > 0
            exponents = spectra(c, keys, inputs, size, steps, warmup=0)
            rank = np.linalg.matrix_rank(jacobians(c, keys, inputs, steps), rtol=1e-11)
            found[f"lost_{name}"] = (size - rank).tolist()
            found[f"lost_in_spectrum_{name}"] = _count_lost(exponents)
            found[f"fired_{name}"] = spikes.any(1).sum(1).tolist()
            found[f"most_at_once_{name}"] = spikes.sum(2).max(1).tolist()
        # Membrane and synapse directions part like exp(-0.1 t): 100 steps are not enough for 1e-6.
        at_rest = spectra(silent, keys, inputs, size, 100, warmup=3 * WARMUP)
    anchors = np.repeat([-0.1, -0.2], settings.neurons)
    return found | {"silent_error": np.abs(at_rest - anchors).max(1).tolist()}


def _count_lost(values: np.ndarray) -> list[int]:
    return np.isneginf(values).sum(1).tolist()


def _plain(values: np.ndarray) -> list:
    """Rounded, with ``None`` for the exponents of lost directions."""
    return [[None if np.isneginf(x) else round(float(x), 4) for x in row] for row in values]


def _claims(
    track: dict[int, np.ndarray],
    exact: dict[str, np.ndarray],
    scans: dict[str, dict[float, np.ndarray]],
    lost: dict[str, Any],
    settings: Settings,
) -> list[Claim]:
    k, few = settings.flossed, settings.flossed_exactly
    before, after = (mean_of_networks(track[step])[:k] for step in (0, max(track)))
    other = np.abs(mean_of_networks(exact["before"])[:k] - before)
    sizes = {when: np.abs(mean_of_networks(values)) for when, values in exact.items()}
    claims = [
        Claim(
            "at rest: largest error of the exponents against -dt/tau_mem, -dt/tau_syn",
            max(lost["silent_error"]),
            1e-6,
        ),
        Claim(
            f"without recurrence: |lost directions - neurons that fired in {settings.short} ms|, largest",
            float(
                np.abs(
                    np.subtract(lost["lost_without_recurrence"], lost["fired_without_recurrence"])
                ).max()
            ),
            0.5,
        ),
        Claim(
            f"reset factor left out: mean |lambda_i|, i <= {k}, after flossing, per ms"
            f" (before {np.abs(before).mean():.3f})",
            float(np.abs(after).mean()),
            0.03,
        ),
        Claim(
            f"median time scale 1/|lambda_i| of these {k}, in ms (tau_mem 10, tau_syn 5)",
            float(np.median(1 / np.abs(after))),
            100.0,
            below=False,
        ),
        Claim(
            f"exact reset: mean |lambda_i|, i <= {few}, flossed, per ms"
            f" (before {sizes['before'][:few].mean():.3f})",
            float(sizes["flossed_exactly"][:few].mean()),
            0.03,
        ),
        Claim(
            f"exact reset: mean change of the first {k} exponents, before flossing",
            float(np.nanmean(other)),
            0.005,
            below=False,
        ),
    ]
    for name, scan in scans.items():
        first = [float(v[:, 0].mean()) for v in scan.values()]
        claims.append(
            Claim(
                f"range of lambda_1 over {name} (from {first[0]:+.3f} to {first[-1]:+.3f})",
                max(first) - min(first),
                0.05,
                below=False,
            )
        )
    return claims
