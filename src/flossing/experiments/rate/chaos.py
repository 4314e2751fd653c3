"""Chaotic networks: exponents, dimension and entropy rate against N and g, and flossing them.

Networks ``x' = J tanh(x)`` with ``J_ij ~ N(0, g^2/N)`` and no input are chaotic above g = 1. Their
exponents are compared with mean-field theory and with published values at N = 4096 (Engelken, Wolf &
Abbott 2023). Then the first exponent of chaotic networks is driven to zero. Gradients of an exponent over
T steps grow like exp(lambda_1 T), so windows have to be short; trajectories and tangents are carried on
from window to window.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ...lyapunov import entropy_rate, kaplan_yorke_dimension
from ..lab import mean_field as _mean_field
from ..lab.claims import Claim, Result
from . import random_networks as networks
from .chaos_figure import figure

PUBLISHED = {
    2.0: (0.15425, 0.13257, 0.010608, 0.25659),
    3.0: (0.30958, 0.15259, 0.025106, 0.28717),
}
"""First exponent, fraction of positive exponents, entropy rate and dimension per unit, N = 4096, by g."""
MEASURES = ("fraction positive", "entropy rate / N", "dimension / N")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    gains: tuple[float, ...] = (0.5, 0.8, 1.2, 1.5, 2.0, 2.5, 3.0)
    sizes: tuple[tuple[int, int], ...] = ((64, 6), (128, 3), (256, 2), (512, 1))
    """Units N and number of networks; the largest size only at the gains with published values."""
    counted: int = 800
    flossed_gains: tuple[float, ...] = (1.5, 2.0, 3.0)
    flossed_size: int = 80
    flossed_networks: int = 3
    windows: tuple[int, ...] = (1, 3, 10, 30, 100)
    """Steps through which gradients go."""
    trajectory_steps: int = 300
    """Window times number of trajectories of one flossing step."""
    steps: int = 300
    learning_rate: float = 3e-3
    clip: float = 0.1
    recommended: str = "at once, window 1"
    """Way of flossing for which a claim is made."""
    measured_steps: int = 3000
    seed: int = 1


QUICK = Settings(
    gains=(0.5, 2.0, 3.0),
    sizes=((64, 2), (128, 1)),
    counted=300,
    flossed_gains=(2.0,),
    flossed_networks=2,
    windows=(1, 30),
    steps=80,
    learning_rate=5e-3,
    measured_steps=1000,
)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has fewer and smaller networks."""
    settings = settings or (QUICK if quick else Settings())
    measured = {g: _spectra(g, settings) for g in settings.gains}
    gradients = {g: _gradients(g, settings) for g in settings.flossed_gains}
    flossed = {g: _flossed(g, settings) for g in settings.flossed_gains}
    return Result(
        name="chaos",
        title="chaotic networks and flossing them",
        source="Engelken, Wolf & Abbott 2023 at N = 4096; mean-field theory",
        settings=dataclasses.asdict(settings),
        numbers={
            "mean_field": {
                str(g): dict(zip(MEASURES, _mean_field.densities(g), strict=True))
                | {"first exponent": _mean_field.first_exponent(g)}
                for g in settings.gains
            },
            "published": {str(g): list(values) for g, values in PUBLISHED.items()},
            "measured": {
                str(g): {
                    str(n): {name: np.round(v, 5).tolist() for name, v in found.items()}
                    for n, found in by_size.items()
                }
                for g, by_size in measured.items()
            },
            "log_gradient_norms": {str(g): v.round(3).tolist() for g, v in gradients.items()},
            "flossed": {
                str(g): {
                    way: {name: np.round(v, 4).tolist() for name, v in found.items()}
                    for way, found in ways.items()
                }
                for g, ways in flossed.items()
            },
        },
        claims=_claims(measured, gradients, flossed, settings),
        figure=figure(measured, gradients, flossed, settings, PUBLISHED),
    )


def _spectra(gain: float, settings: Settings) -> dict[int, dict[str, np.ndarray]]:
    """By size: exponents (networks, k), and the three measures (networks, 3)."""
    found = {}
    for size, count in settings.sizes:
        if size == max(settings.sizes)[0] and len(settings.sizes) > 1 and gain not in PUBLISHED:
            continue
        weights, states = networks.draw(gain, size, count, settings.seed)
        k = round((0.4 if gain > 1 else 0.9) * size)
        exponents = np.asarray(networks.spectra(weights, states, k, settings.counted))
        found[size] = {
            "exponents": exponents,
            "measures": np.array([_measures(e, size) for e in exponents]),
        }
    return found


def _measures(exponents: np.ndarray, size: int) -> tuple[float, float, float]:
    """``MEASURES``; a first exponent that is zero within scatter (a cycle) counts as not chaotic."""
    if exponents[0] < 1e-3:
        return 0.0, 0.0, 0.0
    values = jnp.asarray(exponents)
    return (
        float((exponents > 0).sum()) / size,
        float(entropy_rate(values)) / size,
        float(kaplan_yorke_dimension(values)) / size,
    )


def _networks(gain: float, settings: Settings) -> tuple[jax.Array, jax.Array]:
    count = settings.flossed_networks
    weights, _ = networks.draw(gain, settings.flossed_size, count, settings.seed + 1)
    return weights, jax.random.split(jax.random.key(settings.seed), count)


def _gradients(gain: float, settings: Settings) -> np.ndarray:
    """Log gradient norms, shape (networks, trajectories, windows)."""
    return np.asarray(networks.log_gradient_norms(*_networks(gain, settings), settings.windows, 8))


def _flossed(gain: float, settings: Settings) -> dict[str, dict[str, np.ndarray]]:
    """By window and way of flossing: exponents in the windows, and measured before and after."""
    weights, keys = _networks(gain, settings)
    before = _first(weights, keys, settings)
    at_once = jnp.zeros(settings.steps)
    gradual = jnp.maximum(0, 1 - jnp.arange(settings.steps) / (0.6 * settings.steps))
    ways = {
        "at once": (at_once, jnp.inf),
        "clipped": (at_once, settings.clip),
        "stepwise": (gradual, settings.clip),
    }
    found = {}
    for window in settings.windows:
        how = networks.Chaotic(
            window,
            max(1, settings.trajectory_steps // window),
            settings.steps,
            settings.learning_rate,
        )
        for way, (targets, clip) in ways.items():
            track = networks.floss(weights, keys, how, targets, jnp.asarray(clip))
            found[f"{way}, window {window}"] = {
                "in_window": np.asarray(track.exponents),
                "gradient_norms": np.asarray(track.gradient_norms),
                "skipped": np.asarray(track.skipped).sum(1),
                "before": before,
                "after": _first(track.weights, keys, settings),
            }
    return found


def _first(weights: jax.Array, keys: jax.Array, settings: Settings) -> np.ndarray:
    """First exponents over many steps from states that flossing never saw."""
    states = jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, 9), weights.shape[-1:]))
    return np.asarray(networks.spectra(weights, states(keys), 1, settings.measured_steps))[:, 0]


def growth(logs: np.ndarray, windows: tuple[int, ...]) -> float:
    """Growth per step of the gradient norm of ``T lambda_1(T)``, from the two longest windows."""
    medians = np.median(logs.reshape(-1, len(windows)), axis=0) + np.log(windows)
    return float((medians[-1] - medians[-2]) / (windows[-1] - windows[-2]))


def _claims(
    measured: dict[float, dict[int, dict[str, np.ndarray]]],
    gradients: dict[float, np.ndarray],
    flossed: dict[float, dict[str, dict[str, np.ndarray]]],
    settings: Settings,
) -> list[Claim]:
    size = max(settings.sizes)[0]
    claims = []
    for gain in (g for g in PUBLISHED if g in measured):
        first, *densities = PUBLISHED[gain]
        found = measured[gain][size]
        ours = [*found["measures"].mean(0)]
        theory = _mean_field.densities(gain)
        claims.append(
            Claim(
                f"g = {gain:g}, N = {size}: |lambda_1 - published|",
                abs(float(found["exponents"][:, 0].mean()) - first),
                0.01,
            )
        )
        for name, known, value, predicted in zip(MEASURES, densities, ours, theory, strict=True):
            claims += [
                Claim(
                    f"g = {gain:g}, N = {size}: {name} ({value:.4f}), relative distance to the "
                    f"published value at N = 4096 ({known:.4f})",
                    abs(value / known - 1),
                    0.08,
                ),
                Claim(
                    f"g = {gain:g}: {name} of mean-field theory ({predicted:.4f}), the same distance",
                    abs(predicted / known - 1),
                    0.02,
                ),
            ]
    for gain in (g for g in measured if g < 1):
        n, found = max(measured[gain].items())
        exponents = found["exponents"].mean(0)
        fraction = (np.arange(len(exponents)) + 0.5) / n
        distance = np.abs(exponents - _mean_field.spectrum(gain, fraction))
        claims.append(
            Claim(
                f"g = {gain:g}, N = {n}: mean |lambda(i/N) - (ln g + ln(1 - i/N)/2)|, i/N < 0.75",
                float(distance[fraction < 0.75].mean()),
                0.03,
            )
        )
    for gain, ways in flossed.items():
        before = next(iter(ways.values()))["before"]
        if len(settings.windows) > 2:
            slope = growth(gradients[gain], settings.windows)
            claims.append(
                Claim(
                    f"g = {gain:g}: growth of the gradient per step of window ({slope:.3f}) over the "
                    f"first exponent ({before.mean():.3f}), distance from 1",
                    abs(slope / float(before.mean()) - 1),
                    0.4,
                )
            )
        claims.append(
            Claim(
                f"g = {gain:g}: largest |lambda_1| of the networks after {settings.steps} flossing "
                f"steps ({settings.recommended}; before {before.min():.3f} to {before.max():.3f})",
                float(np.abs(ways[settings.recommended]["after"]).max()),
                0.03,
            )
        )
    return claims
