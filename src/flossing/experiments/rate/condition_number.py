"""Singular values, condition number, gradients and tangent modes of the long-term Jacobian.

The condition number of the long-term Jacobian over t steps, restricted to its m slowest directions, grows
like exp((lambda_1 - lambda_m) t) (Engelken 2023). Flossing k exponents makes it grow slowly in k directions.
Singular values are found by orthogonal iteration with QR at every step, so that each keeps its own relative
precision over any number of decades. Over short horizons they are further apart than exponents say: values
next to each other repel until the horizon is long against the reciprocal distance of their exponents. Growth
is therefore measured over horizons of 100 to 400 steps.
"""

import dataclasses

import numpy as np

from ...training import Network
from ..lab.claims import Claim, Result
from ..lab.flossed import FlossingSettings, Networks
from .condition_figure import figure
from .tangent_modes import along_trajectories, effective_rank, log_condition, slow_modes

DIRECTIONS = (2, 16, 32, 64)


@dataclasses.dataclass(frozen=True)
class Settings(FlossingSettings):
    """What may be varied."""

    rate_of_many: float | None = 5e-3
    careful_with_many: bool = True
    flossed: tuple[int, ...] = (0, 1, 16, 32, 75)
    """Numbers k of flossed exponents; 0 for none."""
    networks: int = 5
    steps: int = 300
    horizons: tuple[int, ...] = (1, 4, 10, 20, 40, 70, 100, 200, 300, 400)
    slope_from: int = 100
    """Shortest horizon that counts for the growth of condition numbers."""
    gradient_steps: int = 100
    """Over how many steps the change of gradient norms is judged."""
    max_sweeps: int = 6
    modes: int = 64
    """Number of covariant vectors."""
    measured_steps: int = 2000


QUICK = Settings(
    networks=2,
    steps=60,
    learning_rate=5e-3,
    horizons=(1, 10, 20, 40),
    slope_from=10,
    gradient_steps=40,
    max_sweeps=5,
    measured_steps=500,
)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has two networks and shorter horizons."""
    settings = settings or (QUICK if quick else Settings())
    networks = settings.build()
    found = {}
    for k in settings.flossed:
        current = _flossed(networks, k, settings)
        found[k] = _measure(networks, current, settings)
    slopes = {k: _slopes(track, settings) for k, track in found.items()}
    ranks = {k: _gradient_rank(track) for k, track in found.items()}
    return Result(
        name="condition-number",
        title="condition number and gradients of the long-term Jacobian",
        source="Engelken 2023 (gradient flossing); prediction exp((lambda_1 - lambda_m) t)",
        settings=dataclasses.asdict(settings),
        numbers={
            "horizons": list(settings.horizons),
            **{
                str(k): {name: _rounded(v) for name, v in track.items()}
                for k, track in found.items()
            },
            "effective_rank_of_gradient": {str(k): r.round(3).tolist() for k, r in ranks.items()},
            "slow_modes": {
                str(k): slow_modes(track["exponents"], settings.delay).tolist()
                for k, track in found.items()
            },
            "slopes": {
                str(k): {str(m): [round(x, 5) for x in s] for m, s in by_m.items()}
                for k, by_m in slopes.items()
            },
        },
        claims=_claims(found, slopes, settings),
        figure=figure(found, slopes, settings, _shown(settings)),
    )


def _flossed(networks: Networks, k: int, settings: Settings) -> Network:
    if k == 0:
        return networks.fresh
    return networks.flossed(settings.schedule(k, settings.steps), settings.steps)[0]


def _rounded(values: np.ndarray) -> list:
    """Four significant digits: values of very different sizes are among them."""
    return np.vectorize(lambda x: float(f"{x:.4g}"), otypes=[float])(values).tolist()


def _measure(networks: Networks, current: Network, settings: Settings) -> dict[str, np.ndarray]:
    """What ``along_trajectories`` finds, and the exponents (networks, N)."""
    found = along_trajectories(
        current,
        networks.keys,
        networks.task,
        settings.horizons,
        settings.max_sweeps,
        min(settings.modes, settings.hidden_size),
    )
    exponents = networks.spectra(current, settings.hidden_size, settings.measured_steps)
    return {name: np.asarray(v) for name, v in found.items()} | {"exponents": exponents}


def _change_of_norm(track: dict[str, np.ndarray], settings: Settings) -> np.ndarray:
    return track["log_gradient_norms"][:, settings.gradient_steps]


def _gradient_rank(track: dict[str, np.ndarray]) -> np.ndarray:
    return effective_rank(np.log(track["singular_values_of_gradient"]))


def _shown(settings: Settings) -> int:
    return min(32, settings.hidden_size)


def _directions(settings: Settings) -> list[int]:
    return [m for m in DIRECTIONS if m <= settings.hidden_size]


def _slopes(
    track: dict[str, np.ndarray], settings: Settings
) -> dict[int, tuple[float, float, float]]:
    """Predicted and measured growth of the log condition number per step, and its decades, by m.

    The measured slope is that of the mean over networks, by least squares over horizons from
    ``slope_from`` on.
    """
    horizons = np.array(settings.horizons)
    long = horizons >= settings.slope_from
    found = {}
    for m in _directions(settings):
        logs = log_condition(track, m).mean(0)
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
    fresh, flossed = (log_condition(found[k], m)[:, -1].mean() / np.log(10) for k in (0, most))
    lost, kept = (
        float(np.abs(_change_of_norm(found[k], settings)).mean() / np.log(10)) for k in (0, most)
    )
    ranks = {k: float(_gradient_rank(found[k]).mean()) for k in (0, most)}
    slow = {k: float(slow_modes(found[k]["exponents"], settings.delay).mean()) for k in (0, most)}
    return [
        *claims,
        Claim(
            f"effective rank of the gradient of the task's loss, k = {most} "
            f"(not flossed: {ranks[0]:.2f})",
            ranks[most],
            ranks[0],
            below=False,
        ),
        Claim(
            f"modes that keep 1/e over {settings.delay} steps, k = {most} (not flossed: {slow[0]:.0f})",
            slow[most],
            settings.delay - 1,
            below=False,
        ),
        Claim(
            f"decades of the condition number in {m} directions at the longest horizon, k = {most} "
            f"(not flossed: {fresh:.1f})",
            float(flossed),
            float(fresh) / 4,
        ),
        Claim(
            f"decades by which the gradient norm changes over {settings.gradient_steps} steps, k = {most} "
            f"(not flossed: {lost:.1f})",
            kept,
            1.5,
        ),
    ]
