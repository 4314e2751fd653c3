"""The first Lyapunov exponent of ten tanh networks, driven to -1, -0.5 and 0 (Engelken 2023).

The published networks start between -0.05 and -2.7. Ours are given the same starts: the gain of each
recurrent matrix is found by bisection. The exponent of a short window scatters from window to window,
so each flossing step averages it over several trajectories, and results are measured afterwards on
one long trajectory that flossing never saw.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from ..cells import TanhCell
from ..floss import Flossing
from ..initialisers import Gaussian
from ..runs.plots import COLOURS, style
from ..tasks import DelayedXOR
from ..training import Network, Training, begin, floss_block, measure_exponents
from ._published import curves
from ._result import Claim, Result

TARGETS = (-1.0, -0.5, 0.0)
_MOMENTS = (20, 40, 60)
_TASK = DelayedXOR(20)
_MEASURED_STEPS = 2000


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    hidden_size: int = 80
    epochs: int = 100
    learning_rate: float = 3e-3
    window: int = 120
    basis_warmup: int = 20
    starts: int = 64
    seed: int = 3


QUICK = Settings(hidden_size=40, epochs=60, starts=16)


def published() -> dict[float, dict[str, np.ndarray]]:
    """Published curves: target, realisation, and rows of (epoch, first exponent per step)."""
    return curves(
        "rate_first_exponent_to_target", "target", "realisation", "epoch", "first_exponent_per_step"
    )


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has smaller networks and fewer epochs."""
    settings = settings or (QUICK if quick else Settings())
    theirs_all = published()
    starts = np.array([curve[0, 1] for curve in theirs_all[0.0].values()])
    keys = jax.random.split(jax.random.key(settings.seed), len(starts))
    networks = _networks_starting_at(starts, keys, settings)
    ours = {target: _drive(networks, keys, target, settings) for target in TARGETS}
    errors = {
        target: {
            epoch: float(np.median(np.abs(track["measured"][epoch] - target)))
            for epoch in _MOMENTS
            if epoch in track["measured"]
        }
        for target, track in ours.items()
    }
    theirs = {
        target: {
            epoch: float(
                np.median([abs(_at(c, epoch) - target) for c in theirs_all[target].values()])
            )
            for epoch in _MOMENTS
        }
        for target in TARGETS
    }
    claims = [
        Claim(
            f"median |lambda_1 - ({target:g})| at epoch 60, all networks",
            errors[target][60],
            0.02,
            theirs[target][60],
        )
        for target in TARGETS
    ]
    numbers: dict[str, Any] = {
        "starts": starts.tolist(),
        "median_error": {str(t): {str(e): v for e, v in x.items()} for t, x in errors.items()},
        "published_median_error": {
            str(t): {str(e): v for e, v in x.items()} for t, x in theirs.items()
        },
        "measured": {
            str(t): {str(e): v.round(5).tolist() for e, v in x["measured"].items()}
            for t, x in ours.items()
        },
        "in_window": {str(t): x["in_window"].round(4).tolist() for t, x in ours.items()},
    }
    return Result(
        name="target-exponents",
        title="first Lyapunov exponent driven to a target",
        source="Engelken 2023 (gradient flossing), curves read from the published figure",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=claims,
        figure=_figure(ours, theirs_all),
    )


def _at(curve: np.ndarray, epoch: int) -> float:
    return float(np.interp(epoch, curve[:, 0], curve[:, 1]))


def _networks_starting_at(starts: np.ndarray, keys: jax.Array, settings: Settings) -> Network:
    """Networks whose first exponents are ``starts``, by bisection of their gains on a log scale."""

    @eqx.filter_vmap
    def build(key: jax.Array, gain: jax.Array) -> Network:
        cell_key, network_key = jax.random.split(key)
        cell = TanhCell(1, settings.hidden_size, recurrent=Gaussian(1.0), key=cell_key)
        scaled = eqx.tree_at(lambda c: c.recurrent_weight, cell, gain * cell.recurrent_weight)
        return Network(scaled, 1, key=network_key)

    low, high = np.full(len(starts), 0.01), np.full(len(starts), 4.0)
    for _ in range(15):
        middle = np.sqrt(low * high)
        networks = build(keys, jnp.asarray(middle, jnp.float32))
        found = np.asarray(measure_exponents(networks, keys, _TASK, 1, 1000))[:, 0]
        low, high = np.where(found < starts, middle, low), np.where(found < starts, high, middle)
    return networks


def _drive(networks: Network, keys: jax.Array, target: float, settings: Settings) -> dict[str, Any]:
    training = Training()
    flossing = Flossing(
        num_exponents=1,
        targets=(target,),
        window=settings.window,
        basis_warmup=settings.basis_warmup,
        starts=settings.starts,
        learning_rate=settings.learning_rate,
    )
    state = begin(networks, training, flossing)
    measured, in_window = {}, []

    def measure() -> np.ndarray:
        return np.asarray(measure_exponents(state.networks, keys, _TASK, 1, _MEASURED_STEPS))[:, 0]

    measured[0] = measure()
    for epoch in range(20, settings.epochs + 1, 20):
        state, metrics = floss_block(state, keys, jnp.asarray(20), 20, _TASK, training, flossing)
        in_window.append(np.asarray(metrics.exponents)[:, :, 0])
        measured[epoch] = measure()
    return {"measured": measured, "in_window": np.concatenate(in_window)}


def _figure(
    ours: dict[float, dict[str, Any]], theirs: dict[float, dict[str, np.ndarray]]
) -> Figure:
    with style():
        figure = Figure(figsize=(10.5, 3.3), layout="constrained")
        for axis, target, colour in zip(
            figure.subplots(1, 3, sharey=True), TARGETS, COLOURS, strict=False
        ):
            for i, curve in enumerate(theirs[target].values()):
                label = "published" if i == 0 else None
                axis.plot(*curve.T, color="0.7", linewidth=0.8, label=label)
            track = ours[target]
            axis.plot(track["in_window"], color=colour, linewidth=0.8, alpha=0.7)
            axis.plot([], color=colour, linewidth=0.8, label="ours, in the flossing windows")
            for i, (epoch, values) in enumerate(track["measured"].items()):
                axis.plot(
                    np.full(len(values), epoch), values, ".", color="k", markersize=4,
                    label="ours, measured over 2000 steps" if i == 0 else None,
                )  # fmt: skip
            axis.axhline(target, color="k", linewidth=0.8, linestyle=":")
            axis.set(xlabel="flossing step (epoch)", title=f"target {target:g}", ylim=(-2.8, 0.3))
        figure.axes[0].set_ylabel("first Lyapunov exponent $\\lambda_1$ (nats per step)")
        figure.axes[0].legend(loc="lower right")
    return figure
