"""The first Lyapunov exponent of ten tanh networks, driven to -1, -0.5 and 0."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr
from jaxtyping import Array, PyTree
from matplotlib.figure import Figure

from ..._norms import tree_norm, with_norm
from ...cells import Cell, TanhCell, TanhSpec
from ...floss import Before, Flosser
from ...plots import COLOURS, style
from ...tasks import DelayedXOR
from ...training import Network, measure_exponents
from ...training.streams import Stream, fold
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.flossed import Networks
from ..lab.gains import starting_at
from ..lab.published import Published

_MOMENTS = (20, 40, 60)
"""Flossing steps at which errors are compared."""
_BLOCK = 20
"""Flossing steps between two measurements."""


@dataclasses.dataclass(frozen=True)
class Driven:
    """Networks whose first exponents are driven to a target."""

    target: float
    """In nats per step."""


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


@dataclasses.dataclass(frozen=True, kw_only=True)
class TargetExponents(Experiment):
    """Errors of the first exponent on new input, beside published ones.

    The published networks start between -0.05 and -2.7. Ours are given the same starts: the gain of each
    recurrent matrix is found by bisection. The exponent of a short window scatters from window to window,
    so each flossing step averages it over many trajectories; a network whose exponent is near zero forgets
    where it started only slowly, so these begin long before their windows. Each step is the shortest change
    of the weights that takes the averaged exponent to its target, to first order. Results are measured on
    long trajectories that flossing never saw. Published errors are those of the window that is being
    optimised, which can be fitted; ours are also given for the flossing windows.
    """

    title = "first Lyapunov exponent driven to a target"
    source = "Engelken 2023 (gradient flossing), curves read from the published figure"
    shows = (
        "Flossing drives the first exponent to any target, here -1, -0.5 and 0. On input that flossing never "
        "saw, the median error of ten networks is smaller than the published one in the flossing windows."
    )
    tables = ("rate_first_exponent_to_target",)
    targets: tuple[float, ...] = (-1.0, -0.5, 0.0)
    """In nats per step."""
    hidden_size: int = 80
    networks: int = 10
    """At most as many as there are published starts."""
    epochs: int = 100
    """Flossing steps."""
    learning_rate: float = 0.2
    """The largest length of a step, all weights together."""
    state_warmup: int = 500
    window: int = 200
    """Steps of a flossing step, the warm-up among them."""
    warmup: int = 100
    num_starts: int = 64
    """Trajectories over which a flossing step averages."""
    delay: int = 20
    """Of the delayed XOR whose bits drive the networks, in steps."""
    measured_steps: int = 2500
    repeats: int = 4
    """Trajectories of so many steps on which exponents are measured."""
    seed: int = 3

    @classmethod
    def quick(cls) -> Self:
        """Smaller networks and fewer steps."""
        return cls(
            hidden_size=40,
            epochs=60,
            num_starts=16,
            state_warmup=100,
            measured_steps=1000,
            repeats=2,
        )

    def cases(self) -> dict[Driven, Callable[[Report], xr.Dataset]]:
        """One for each target, from the same networks."""
        return {Driven(t): functools.partial(self.drive, t) for t in self.targets}

    def drive(self, target: float, report: Report) -> xr.Dataset:
        """First exponents ``measured`` (moment, network), with errors, and ``in_window`` (step, network)."""
        report("finding gains")
        networks = self._fresh()
        fold_in = jax.vmap(jax.random.fold_in, (0, None))
        streams = [fold_in(networks.keys, number) for number in range(self.repeats)]
        trainer, moments, measured, scatter = networks.trainer(None), [], [], []

        def measure(epoch: int, current: Network) -> None:
            steps = self.measured_steps
            exponents = [
                measure_exponents(current, keys, trainer, 1, steps)[:, 0] for keys in streams
            ]
            moments.append(epoch)
            measured.append(np.mean(exponents, 0))
            scatter.append(np.std(exponents, 0, ddof=1) / np.sqrt(self.repeats))
            report(f"flossing step {epoch} of {self.epochs}")

        schedule = self._schedule(target)
        _, in_window = networks.flossed(schedule, self.epochs, measure, _BLOCK)
        return xr.Dataset(
            {
                "measured": (("moment", "network"), np.array(measured)),
                "standard_error": (("moment", "network"), np.array(scatter)),
                "in_window": (("step", "network"), in_window[:, :, 0]),
            },
            {"moment": moments},
        )

    def _schedule(self, target: float) -> ShortestSteps:
        return ShortestSteps(
            num_exponents=1,
            targets=(target,),
            window=self.window,
            warmup=self.warmup,
            state_warmup=self.state_warmup,
            num_starts=self.num_starts,
            learning_rate=self.learning_rate,
        )

    def _fresh(self) -> Networks:
        """Networks whose first exponents are those with which the published ones start."""
        known = _curves(Published(self.tables), 0.0)
        starts = np.array([curve[0, 1] for curve in known], np.float32)[: self.networks]
        task = DelayedXOR(self.delay)
        networks = Networks(TanhSpec(self.hidden_size), task, len(starts), self.seed)

        @eqx.filter_jit
        @eqx.filter_vmap
        def build(first_exponent: Array, key: Array) -> Network:
            cell_key, network_key = jax.random.split(key)

            def network(cell: Cell) -> Network:
                return Network(cell, 1, key=network_key)

            cell = starting_at(
                first_exponent,
                TanhCell(1, self.hidden_size, key=cell_key),
                networks.task,
                lambda cell: network(cell).initial_state,
                key=fold(key, Stream.MEASURE, 0),
            )
            return network(cell)

        networks.fresh = build(jnp.asarray(starts), networks.keys)
        return networks

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Errors on new input are no larger than the published ones."""
        for target in self.targets:
            part, known = data[Driven(target)], _curves(published, target)
            for epoch in (e for e in _MOMENTS if e <= self.epochs):
                theirs = _error([np.interp(epoch, *curve.T) for curve in known], target)
                fitted = _error(part["in_window"][epoch - 1], target)
                text = (
                    f"target {target:g}, step {epoch}: median |lambda_1 - target|, on new input (in the "
                    f"flossing window: {fitted:.4f})"
                )
                ours = _error(part["measured"].sel(moment=epoch), target)
                source = "median of the published networks, in their flossing windows"
                yield Claim.at_most(text, ours, theirs, published=theirs, source=source)

    def figure(self, data: Data, published: Published) -> Figure:
        """First exponents against flossing steps, a panel for each target."""
        with style():
            figure = Figure(figsize=(10.5, 3.3), layout="constrained")
            axes = figure.subplots(1, len(self.targets), sharey=True, squeeze=False)[0]
            for axis, target, colour in zip(axes, self.targets, COLOURS, strict=False):
                for i, curve in enumerate(_curves(published, target)):
                    label = "published" if i == 0 else None
                    axis.plot(*curve.T, color="0.7", linewidth=0.8, label=label)
                part = data[Driven(target)]
                axis.plot(part["in_window"], color=colour, linewidth=0.8, alpha=0.7)
                axis.plot([], color=colour, linewidth=0.8, label="ours, in the flossing windows")
                lines = axis.plot(part["moment"], part["measured"], ".", color="k", markersize=4)
                lines[0].set_label("ours, on new input")
                axis.axhline(target, color="k", linewidth=0.8, linestyle=":")
                axis.set(xlabel="flossing step", title=f"target {target:g}", ylim=(-2.8, 0.3))
            axes[0].set_ylabel("first Lyapunov exponent $\\lambda_1$ (nats per step)")
            axes[0].legend(loc="lower right")
        return figure


def _curves(published: Published, target: float) -> list[np.ndarray]:
    """Published curves to a target: rows of (flossing step, first exponent per step) by network."""
    table = TargetExponents.tables[0]
    by_target = published.curves(table, "target", "realisation", "epoch", "first_exponent_per_step")
    return [*by_target[target].values()]


def _error(exponents: Any, target: float) -> float:
    return float(np.median(np.abs(np.asarray(exponents) - target)))
