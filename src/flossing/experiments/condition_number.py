"""Singular values, condition number and gradients of the long-term Jacobian against the horizon.

The condition number of the long-term Jacobian over t steps, restricted to its m slowest directions, grows
like exp((lambda_1 - lambda_m) t) (Engelken 2023). Flossing k exponents makes it grow slowly in k directions.
Singular values are found by orthogonal iteration with QR at every step, so that each keeps its own relative
precision over any number of decades.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import numpy as np
from matplotlib.figure import Figure

from ..floss import Flossing
from ..lyapunov import gradient_norms, log_singular_values
from ..runs.config import CellConfig, TaskConfig
from ..runs.plots import COLOURS, style
from ..training import Network
from ..training.devices import over_realisations, spread
from ._flossed import Networks
from ._result import Claim, Result

DIRECTIONS = (2, 16, 32, 64)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    hidden_size: int = 80
    flossed: tuple[int, ...] = (0, 1, 16, 32, 75)
    """Numbers k of flossed exponents; 0 for none."""
    networks: int = 5
    steps: int = 300
    learning_rate: float = 5e-3
    window: int = 100
    basis_warmup: int = 25
    horizons: tuple[int, ...] = (1, 2, 5, 10, 20, 40, 60, 80, 100)
    max_sweeps: int = 10
    measured_steps: int = 2000
    delay: int = 40
    seed: int = 1


QUICK = Settings(networks=2, steps=60, horizons=(1, 5, 20, 40), max_sweeps=5, measured_steps=500)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has two networks and shorter horizons."""
    settings = settings or (QUICK if quick else Settings())
    networks = Networks(
        CellConfig(hidden_size=settings.hidden_size),
        TaskConfig("xor", settings.delay),
        settings.networks,
        settings.seed,
    )
    found = {}
    for k in settings.flossed:
        current = networks.fresh
        if k:
            flossing = Flossing(
                num_exponents=k,
                window=settings.window,
                basis_warmup=settings.basis_warmup,
                learning_rate=settings.learning_rate,
            )
            current = networks.flossed(flossing, settings.steps)[0]
        found[k] = _measure(networks, current, settings)
    slopes = {k: _slopes(track, settings) for k, track in found.items()}
    return Result(
        name="condition-number",
        title="condition number and gradients of the long-term Jacobian",
        source="Engelken 2023 (gradient flossing); prediction exp((lambda_1 - lambda_m) t)",
        settings=dataclasses.asdict(settings),
        numbers={
            "horizons": list(settings.horizons),
            **{
                str(k): {name: np.asarray(v).round(4).tolist() for name, v in track.items()}
                for k, track in found.items()
            },
            "slopes": {
                str(k): {str(m): [round(x, 5) for x in s] for m, s in by_m.items()}
                for k, by_m in slopes.items()
            },
        },
        claims=_claims(found, slopes, settings),
        figure=_figure(found, settings),
    )


def _measure(networks: Networks, current: Network, settings: Settings) -> dict[str, np.ndarray]:
    """Log singular values (networks, horizons, n), log gradient norms (networks, steps), exponents."""
    n = settings.hidden_size
    last = max(settings.horizons)

    @eqx.filter_jit
    def measured(current: Network) -> Any:
        def one(network: Network, key: Any) -> Any:
            input_key, basis_key = jax.random.split(key)
            inputs = networks.task.sample_inputs(input_key, 200 + last)
            start = jax.lax.scan(
                lambda s, u: (network.cell(s, u), None), network.initial_state, inputs[:200]
            )[0]
            values = [
                log_singular_values(
                    network.cell,
                    start,
                    inputs[200 : 200 + horizon],
                    num_directions=n,
                    max_sweeps=settings.max_sweeps,
                    key=basis_key,
                )
                for horizon in settings.horizons
            ]
            norms = gradient_norms(network.cell, start, inputs[200:], log=True, key=basis_key)
            return values, norms[::-1]

        return spread(
            lambda part: (over_realisations(one, *part),), (current, networks.keys), axes=(0,)
        )[0]

    values, norms = measured(current)
    return {
        "log_singular_values": np.stack([np.asarray(v) for v in values], axis=1),
        "log_gradient_norms": np.asarray(norms),
        "exponents": networks.spectra(current, n, settings.measured_steps),
    }


def _directions(settings: Settings) -> list[int]:
    return [m for m in DIRECTIONS if m <= settings.hidden_size]


def _log_condition(track: dict[str, np.ndarray], m: int) -> np.ndarray:
    """Of the m slowest directions, shape (networks, horizons)."""
    logs = track["log_singular_values"]
    return logs[:, :, 0] - logs[:, :, m - 1]


def _slopes(
    track: dict[str, np.ndarray], settings: Settings
) -> dict[int, tuple[float, float, float]]:
    """Predicted and measured growth of the log condition number per step, and its decades, by m.

    The measured slope is that of the mean over networks, by least squares over horizons of 10 steps
    and more: over fewer steps singular values are not yet those of the exponents.
    """
    horizons = np.array(settings.horizons)
    long = horizons >= 10
    found = {}
    for m in _directions(settings):
        logs = _log_condition(track, m).mean(0)
        exponents = track["exponents"]
        predicted = float((exponents[:, 0] - exponents[:, m - 1]).mean())
        measured = float(np.polyfit(horizons[long], logs[long], 1)[0])
        found[m] = (predicted, measured, float((logs[-1]) / np.log(10)))
    return found


def _claims(
    found: dict[int, dict[str, np.ndarray]],
    slopes: dict[int, dict[int, tuple[float, float, float]]],
    settings: Settings,
) -> list[Claim]:
    claims = []
    for k, by_m in slopes.items():
        for m, (predicted, measured, decades) in by_m.items():
            if decades >= 6:
                claims.append(
                    Claim(
                        f"k = {k}: slope of log condition number in {m} directions, relative error "
                        f"of exp((lambda_1 - lambda_{m}) t), over {decades:.0f} decades",
                        abs(measured / predicted - 1),
                        0.1,
                    )
                )
    most, m = max(settings.flossed), _shown(settings)
    fresh, flossed = (_log_condition(found[k], m)[:, -1].mean() / np.log(10) for k in (0, most))
    lost, kept = (
        float(np.abs(found[k]["log_gradient_norms"][:, -1]).mean() / np.log(10)) for k in (0, most)
    )
    return [
        *claims,
        Claim(
            f"decades of the condition number in {m} directions at the longest horizon, k = {most} "
            f"(not flossed: {fresh:.1f})",
            float(flossed),
            float(fresh) / 4,
        ),
        Claim(
            f"decades by which the gradient norm changes over the longest horizon, k = {most} "
            f"(not flossed: {lost:.1f})",
            kept,
            1.5,
        ),
    ]


def _shown(settings: Settings) -> int:
    return min(32, settings.hidden_size)


def effective_rank(log_singular_values: np.ndarray) -> np.ndarray:
    """Participation ratio of squared singular values: in how many directions errors arrive.

    Args:
        log_singular_values: shape (..., n).
    """
    weights = np.exp(2 * (log_singular_values - log_singular_values.max(-1, keepdims=True)))
    return weights.sum(-1) ** 2 / np.square(weights).sum(-1)


def _figure(found: dict[int, dict[str, np.ndarray]], settings: Settings) -> Figure:
    horizons = np.array(settings.horizons)
    m = _shown(settings)
    with style():
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        condition, gradient, rank = figure.subplots(1, 3)
        for (k, track), colour in zip(found.items(), ("0.4", *COLOURS), strict=False):
            label = "not flossed" if k == 0 else f"k = {k}"
            logs = _log_condition(track, m) / np.log(10)
            exponents = track["exponents"]
            slope = (exponents[:, 0] - exponents[:, m - 1]).mean() / np.log(10)
            offset = (logs.mean(0) - slope * horizons)[horizons >= 10].mean()
            condition.plot(horizons, logs.T, color=colour, linewidth=0.4, alpha=0.6)
            condition.plot(horizons, logs.mean(0), "o", color=colour, markersize=3.5, label=label)
            condition.plot(horizons, offset + slope * horizons, color=colour, linewidth=1.2)
            norms = track["log_gradient_norms"] / np.log(10)
            gradient.plot(norms.T, color=colour, linewidth=0.4, alpha=0.6)
            gradient.plot(norms.mean(0), color=colour, label=label)
            ranks = effective_rank(track["log_singular_values"])
            rank.plot(horizons, ranks.mean(0), "o-", color=colour, markersize=3, label=label)
        condition.set(
            xlabel="horizon t (steps)",
            ylabel=f"log$_{{10}}$ condition number, {m} directions",
            title=f"points: measured; lines: exp(($\\lambda_1-\\lambda_{{{m}}}$) t)",
        )
        gradient.set(
            xlabel="steps back in time",
            ylabel="log$_{10}$ gradient norm",
            title="a random error signal, sent back",
        )
        rank.set(
            xlabel="horizon t (steps)",
            ylabel="effective rank of the Jacobian",
            title="directions in which errors arrive",
            yscale="log",
        )
        condition.legend(loc="upper left")
    return figure
