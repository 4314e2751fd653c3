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
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, PyTree
from matplotlib.figure import Figure

from ..._norms import tree_norm, with_norm
from ...cells import Cell, TanhCell
from ...floss import Before, Flosser
from ...runs.plots import COLOURS, style
from ...training import Network, measure_exponents
from ...training.streams import Stream, fold
from ..lab.claims import Claim, Result
from ..lab.flossed import FlossingSettings, Networks
from ..lab.published import curves
from .gains import starting_at

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
    num_starts: int = 64
    delay: int = 20
    measured_steps: int = 2500
    repeats: int = 4
    """Trajectories of so many steps on which exponents are measured."""
    seed: int = 3


QUICK = Settings(
    hidden_size=40, epochs=60, num_starts=16, state_warmup=100, measured_steps=1000, repeats=2
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShortestSteps(Before):
    """Floss by the shortest change of the weights that takes the averaged exponent to its target."""

    def optimiser(self) -> optax.GradientTransformation:
        """Polyak's steps, no longer than the learning rate."""
        return polyak_descent(self.learning_rate)

    def flosser(self, step: Callable[[Any], Any]) -> Flosser:
        """As usual, but nothing is propagated back through the warm-up."""
        return dataclasses.replace(super().flosser(step), detach_warmup=True)


def polyak_descent(longest: float) -> optax.GradientTransformationExtraArgs:
    """Gradient descent for a mean of squares that can become zero; its steps follow from its value.

    The step is ``-2 loss / |gradient|^2 * gradient``, and at most ``longest`` long (Euclidean norm over all
    arrays). That is twice Polyak's step size for a lowest loss of 0, and along the gradient of a quadratic
    loss it ends nearest to the solution. With a single residual it is Newton's method: the shortest change
    that takes the residual to zero, to first order. Nothing is remembered between steps. ``update`` needs
    the loss as ``value``.

    Source: B. Polyak, Introduction to Optimization, 1987, section 5.3; with a bound: Loizou et al. 2021.
    """

    def update(
        updates: PyTree, state: PyTree, params: PyTree = None, **more: Any
    ) -> tuple[PyTree, PyTree]:
        del params
        slope = tree_norm(updates)
        length = jnp.minimum(longest, 2 * more["value"] / jnp.where(slope > 0, slope, 1))
        return with_norm(updates, -length), state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


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
    networks = dataclasses.replace(settings, networks=len(starts)).build()
    networks.fresh = _networks_starting_at(starts, networks, settings)
    ours = {target: _drive(networks, target, settings) for target in TARGETS}
    moments = [epoch for epoch in _MOMENTS if epoch <= settings.epochs]
    errors, in_window, theirs, claims = {}, {}, {}, []
    for target, track in ours.items():
        known = theirs_all[target].values()
        theirs[target] = {e: _median([np.interp(e, *c.T) for c in known], target) for e in moments}
        errors[target] = {e: _median(track["measured"][e], target) for e in moments}
        in_window[target] = {e: _median(track["in_window"][e - 1], target) for e in moments}
        claims += [
            Claim(
                f"target {target:g}, epoch {e}: median |lambda_1 - target|, on new input (in the flossing "
                f"window: {in_window[target][e]:.4f}); limit: published",
                errors[target][e],
                theirs[target][e],
                theirs[target][e],
            )
            for e in moments
        ]
    numbers: dict[str, Any] = {
        "starts": starts.tolist(),
        "median_error": _plain(errors),
        "median_error_in_window": _plain(in_window),
        "published_median_error": _plain(theirs),
        "measured": _plain({t: track["measured"] for t, track in ours.items()}),
        "standard_error": _plain({t: track["scatter"] for t, track in ours.items()}),
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


def _plain(by_target: dict[float, dict[int, Any]]) -> dict[str, dict[str, Any]]:
    """Numbers by target and epoch, for JSON; lists are rounded."""
    return {
        str(target): {
            str(e): v if isinstance(v, float) else v.round(5).tolist() for e, v in x.items()
        }
        for target, x in by_target.items()
    }


def _median(exponents: Any, target: float) -> float:
    return float(np.median(np.abs(np.asarray(exponents) - target)))


def _networks_starting_at(starts: np.ndarray, networks: Networks, settings: Settings) -> Network:
    """Networks whose first exponents are ``starts``."""

    @eqx.filter_jit
    @eqx.filter_vmap
    def build(first_exponent: Array, key: Array) -> Network:
        cell_key, network_key = jax.random.split(key)

        def network(cell: Cell) -> Network:
            return Network(cell, 1, key=network_key)

        cell = starting_at(
            first_exponent,
            TanhCell(1, settings.hidden_size, key=cell_key),
            networks.task,
            lambda cell: network(cell).initial_state,
            key=fold(key, Stream.MEASURE, 0),
        )
        return network(cell)

    return build(jnp.asarray(starts, jnp.float32), networks.keys)


def _drive(networks: Networks, target: float, settings: Settings) -> dict[str, Any]:
    schedule = ShortestSteps(
        num_exponents=1,
        targets=(target,),
        window=settings.window,
        warmup=settings.warmup,
        state_warmup=settings.state_warmup,
        num_starts=settings.num_starts,
        learning_rate=settings.learning_rate,
    )
    fold_in = jax.vmap(jax.random.fold_in, (0, None))
    streams = [fold_in(networks.keys, number) for number in range(settings.repeats)]
    trainer, measured, scatter = networks.trainer(None), {}, {}

    def measure(epoch: int, current: Network) -> None:
        steps = settings.measured_steps
        found = [measure_exponents(current, keys, trainer, 1, steps)[:, 0] for keys in streams]
        measured[epoch] = np.mean(found, 0)
        scatter[epoch] = np.std(found, 0, ddof=1) / np.sqrt(settings.repeats)

    _, in_window = networks.flossed(schedule, settings.epochs, measure, _BLOCK)
    return {"measured": measured, "scatter": scatter, "in_window": in_window[:, :, 0]}


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
