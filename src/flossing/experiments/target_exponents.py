"""The first Lyapunov exponent of ten tanh networks, driven to -1, -0.5 and 0 (Engelken 2023).

The published networks start between -0.05 and -2.7. Ours are given the same starts: the gain of each
recurrent matrix is found by bisection. The exponent of a short window scatters from window to window,
so each flossing step averages it over many trajectories; a network whose exponent is near zero forgets
where it started only slowly, so these begin long before their windows. Each step is the shortest change of
the weights that takes the averaged exponent to its target, to first order. Results are measured
on long trajectories that flossing never saw. Published errors are those of the window that is being
optimised, which can be fitted; ours are also given for the flossing windows.
"""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from ..cells import TanhCell
from ..initialisers import Gaussian
from ..runs.plots import COLOURS, style
from ..tasks import DelayedXOR
from ..training import (
    Network,
    Training,
    begin,
    floss_block,
    measure_exponents,
    networks_starting_at,
)
from ._flossed import FlossingSettings
from ._published import curves
from ._result import Claim, Result

TARGETS = (-1.0, -0.5, 0.0)
_MOMENTS = (20, 40, 60)
_BLOCK = 20


@dataclasses.dataclass(frozen=True)
class Settings(FlossingSettings):
    """What may be varied."""

    networks: int = 10
    epochs: int = 100
    learning_rate: float = 0.2
    """The largest length of a step, all weights together."""
    state_warmup: int = 500
    window: int = 200
    warmup: int = 100
    starts: int = 64
    delay: int = 20
    measured_steps: int = 2500
    repeats: int = 4
    """Trajectories of so many steps on which exponents are measured."""
    seed: int = 3


QUICK = Settings(
    hidden_size=40, epochs=60, starts=16, state_warmup=100, measured_steps=1000, repeats=2
)


def published() -> dict[float, dict[str, np.ndarray]]:
    """Published curves: target, realisation, and rows of (epoch, first exponent per step)."""
    return curves(
        "rate_first_exponent_to_target", "target", "realisation", "epoch", "first_exponent_per_step"
    )


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has smaller networks and fewer epochs."""
    settings = settings or (QUICK if quick else Settings())
    theirs_all = published()
    starts = np.array([curve[0, 1] for curve in theirs_all[0.0].values()])[: settings.networks]
    keys = jax.random.split(jax.random.key(settings.seed), len(starts))
    networks = _networks_starting_at(starts, keys, settings)
    ours = {target: _drive(networks, keys, target, settings) for target in TARGETS}
    moments = [epoch for epoch in _MOMENTS if epoch <= settings.epochs]
    errors, in_window, theirs, claims = {}, {}, {}, []
    for target, track in ours.items():
        known = theirs_all[target].values()
        theirs[target] = {e: _median([_at(c, e) for c in known], target) for e in moments}
        errors[target] = {e: _median(track["measured"][e], target) for e in moments}
        in_window[target] = {e: _median(track["in_window"][e - 1], target) for e in moments}
        claims += [
            _claim(target, e, track["measured"][e], in_window[target][e], theirs[target][e])
            for e in moments
        ]
    numbers: dict[str, Any] = {
        "starts": starts.tolist(),
        "median_error": {str(t): {str(e): v for e, v in x.items()} for t, x in errors.items()},
        "median_error_in_window": {
            str(t): {str(e): v for e, v in x.items()} for t, x in in_window.items()
        },
        "published_median_error": {
            str(t): {str(e): v for e, v in x.items()} for t, x in theirs.items()
        },
        "measured": {
            str(t): {str(e): v.round(5).tolist() for e, v in x["measured"].items()}
            for t, x in ours.items()
        },
        "standard_error": {
            str(t): {str(e): v.round(5).tolist() for e, v in x["scatter"].items()}
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


def _median(exponents: Any, target: float) -> float:
    return float(np.median(np.abs(np.asarray(exponents) - target)))


def _claim(
    target: float, epoch: int, measured: np.ndarray, in_window: float, known: float
) -> Claim:
    """No worse than published."""
    return Claim(
        f"target {target:g}, epoch {epoch}: median |lambda_1 - target|, on new input (in the flossing "
        f"window: {in_window:.4f}); limit: published",
        _median(measured, target),
        known,
        known,
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

    task = DelayedXOR(settings.delay)
    return networks_starting_at(jnp.asarray(starts, jnp.float32), partial(build, keys), keys, task)


def _drive(networks: Network, keys: jax.Array, target: float, settings: Settings) -> dict[str, Any]:
    training, task = Training(), DelayedXOR(settings.delay)
    flossing = dataclasses.replace(
        settings.flossing(1, target),
        optimiser="polyak",
        state_warmup=settings.state_warmup,
        detach_warmup=True,
    )
    state = begin(networks, training, flossing)
    fold = jax.vmap(jax.random.fold_in, (0, None))
    streams = [fold(keys, number) for number in range(settings.repeats)]
    measured, scatter, in_window = {}, {}, []

    def measure(epoch: int) -> None:
        steps = settings.measured_steps
        found = [measure_exponents(state.networks, k, task, 1, steps)[:, 0] for k in streams]
        measured[epoch] = np.mean(found, 0)
        scatter[epoch] = np.std(found, 0, ddof=1) / np.sqrt(settings.repeats)

    measure(0)
    for epoch in range(_BLOCK, settings.epochs + 1, _BLOCK):
        count = jnp.asarray(_BLOCK)
        state, metrics = floss_block(state, keys, count, _BLOCK, task, training, flossing)
        in_window.append(np.asarray(metrics.exponents)[:, :, 0])
        measure(epoch)
    return {"measured": measured, "scatter": scatter, "in_window": np.concatenate(in_window)}


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
                    label="ours, on new input" if i == 0 else None,
                )  # fmt: skip
            axis.axhline(target, color="k", linewidth=0.8, linestyle=":")
            axis.set(xlabel="flossing step (epoch)", title=f"target {target:g}", ylim=(-2.8, 0.3))
        figure.axes[0].set_ylabel("first Lyapunov exponent $\\lambda_1$ (nats per step)")
        figure.axes[0].legend(loc="lower right")
    return figure
