"""Stacks of recurrent LIF layers on a streaming task, with and without flossing of the whole stack."""

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

from ...cells import Stack
from ...tasks import Randman
from ...tasks.randman import LabelledSplit
from ..lab.claims import Claim
from ..lab.classifier import Schedule, hidden
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.published import Published
from ..lab.small_classifier import Shape, with_derivatives
from ..lab.statistics import over_seeds
from .layer_gradients import growth, layer_gradients, predicted_growth
from .stack_figure import stack_figure
from .stack_training import exponents, floss_each, floss_together, train_stacks
from .streaming import Streaming, stream

AREA, HEIGHT, STEEP, JOINT, EACH, KEPT = CONDITIONS = (
    "area one",
    "height one",
    "height one, steep",
    "first of the stack flossed",
    "each layer flossed",
    "each layer, before every epoch",
)
PLAIN = [AREA, HEIGHT, STEEP]
"""Conditions in which nothing is flossed."""


@dataclasses.dataclass(frozen=True)
class Stacks:
    """Stacks of one depth and seed, in all conditions."""

    layers: int
    """Of LIF neurons."""
    seed: int
    """Of data, weights, order of the samples and background."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingStack(Experiment):
    """Exponents of a joint step, whoever owns them, and exponents of each layer.

    A sample of Randman is shown, other spikes follow for many membrane time constants, and then the class is
    asked for. A step of the stack is a step of all layers, so its exponents are those of the joint state.
    Spikes go up and never down: the joint Jacobian is block triangular, and its exponents are those of all
    layers together, each layer driven by the spikes it receives.

    Flossing the first k exponents of the joint step is therefore blind to who owns them. They may all belong
    to one layer, and the others stay as they are; with k = 1 only one layer is flossed. Errors go down and
    never up, so the gradient of layer l follows the largest first exponent of layer l and those above, with a
    power of the lag where layers share it: a slow bottom layer does nothing for the layers over it. Here each
    layer is flossed to the target by itself, which gives the stack one leading exponent from each layer. To
    compare, the stack's first exponent alone is flossed, by a factor that the heights of all layers share.

    What is flossed are heights of surrogate derivatives: no spike changes, so all networks of a seed start
    with the same activity, and what differs is the gradient alone. Resets are not differentiated. Where
    nothing is flossed, heights follow a convention (area one, height one), or the steepness is one that
    happens to put the first exponents where flossing puts them.
    """

    title = "stacks of spiking layers on a streaming task, flossed and not"
    source = "a question of our own, nothing published"
    shows = (
        "The exponents of a stack are those of its layers together, and the gradient of each layer grows as "
        "the largest exponent from it upwards says. Stacks learn over five membrane time constants when they "
        "are flossed, and hardly otherwise."
    )
    task: Streaming = Streaming(
        Randman(
            classes=4,
            inputs=16,
            samples=200,
            frequencies=20,
            alpha=1.5,
            num_steps=25,
            spike_steps=25,
        ),
        gap=50,
        answer=10,
    )
    shape: Shape = Shape(neurons=48, readout_time_constant=20.0, reset="subtract", rate=20.0)
    """The number of layers is that of ``depths``."""
    depths: tuple[int, ...] = (2, 3)
    """Layers of LIF neurons."""
    schedule: Schedule = Schedule(
        epochs=30, batch_size=32, learning_rate=0.005, spike_limit=20.0, penalty=0.01
    )
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5)
    steepness: float = 5.0
    """Of all other logistic surrogate derivatives, in units of one over the threshold."""
    steep: float = 15.0
    """Of those whose height one alone puts the first exponents near the target."""
    target: float = -0.02
    """First exponent that heights are flossed to, nats per step."""
    trials_in_stream: int = 8
    """One after the other, for exponents."""
    num_exponents: int = 12
    """How many are measured, of the stack and of each layer."""
    trials_of_gradients: int = 32

    @classmethod
    def quick(cls) -> Self:
        """Two small stacks of two layers."""
        return cls(
            task=Streaming(
                Randman(
                    classes=2,
                    inputs=8,
                    samples=60,
                    frequencies=5,
                    alpha=2.0,
                    num_steps=15,
                    spike_steps=15,
                ),
                gap=20,
                answer=5,
            ),
            shape=Shape(neurons=12, readout_time_constant=20.0, reset="subtract", rate=30.0),
            depths=(2,),
            schedule=Schedule(
                epochs=6, batch_size=16, learning_rate=0.01, spike_limit=20.0, penalty=0.01
            ),
            seeds=(1, 2),
            trials_in_stream=6,
            num_exponents=4,
            trials_of_gradients=8,
        )

    def cases(self) -> dict[Stacks, Any]:
        """Each depth and seed."""
        cases = [Stacks(depth, seed) for depth in self.depths for seed in self.seeds]
        return {case: functools.partial(self.stacks, case) for case in cases}

    def stacks(self, case: Stacks, report: Report) -> xr.Dataset:
        """Stacks in all conditions, before, during and after training."""
        task, depth = self.task, case.layers
        names = ("data", "weights", "order", "given", "unseen", "basis", "floss", "background")
        seeds = jax.random.split(jax.random.key(case.seed), len(names))
        keys: dict[str, Array] = dict(zip(names, seeds, strict=True))
        data = jax.jit(lambda key: task.randman.split(key, validation=0.05, test=0.3))(keys["data"])
        length = self.trials_in_stream * task.num_steps
        given = stream(data.train.times, task, keys["given"], length)
        unseen = stream(data.test.times, task, keys["unseen"], length)
        start = self.started(depth, data, given, keys)
        times, labels = (x[: self.trials_of_gradients] for x in data.test)
        rasters = task.rasters(times, keys["background"])
        report("training")
        kept = [name == KEPT for name in CONDITIONS]
        target = jnp.asarray(self.target)
        trained, heights = train_stacks(
            start, task, data, self.schedule, kept, given, target, keys["order"]
        )
        report("measuring")
        variables: dict[str, Any] = {
            "accuracy": (("condition", "epoch"), [d.test["accuracy"] for d in trained]),
            "loss": (("condition", "epoch"), [d.train["cross-entropy"] for d in trained]),
            "rates": (
                ("condition", "epoch", "layer"),
                [1000 * d.test["rates"] / self.shape.time_step for d in trained],
            ),
            "heights": (("condition", "epoch", "layer"), heights),
            "skipped": ("condition", [d.skipped.sum() for d in trained]),
        }
        axes = {
            "stack": ("condition", "index"),
            "layers": ("condition", "layer", "index"),
            "gradients": ("condition", "layer", "step"),
            "rates": ("condition", "layer"),
        }
        for when, networks in (("start", start), ("end", [d.network for d in trained])):
            rows = [_measured(self, n, rasters, labels, unseen, keys["basis"]) for n in networks]
            for name, dims in axes.items():
                variables[f"{name}_{when}"] = (dims, [np.asarray(row[name]) for row in rows])
        shown = [np.asarray(row["raster"], np.int8) for row in rows]
        variables["raster"] = (("condition", "layer", "step", "neuron"), shown)
        return xr.Dataset(variables, {"condition": list(CONDITIONS)})

    def started(
        self, depth: int, data: LabelledSplit, given: Array, keys: dict[str, Array]
    ) -> list[Stack]:
        """Networks of all conditions before training; they have the same weights."""
        shape = dataclasses.replace(self.shape, layers=depth)
        plain = shape.build(self.task.randman, keys["weights"])
        target, ones = jnp.asarray(self.target), [1.0] * depth
        unit_height = with_derivatives(plain, self.steepness, ones)
        each = floss_each(unit_height, given, target, keys["floss"])
        networks = {
            AREA: with_derivatives(plain, self.steepness, [self.steepness / 4] * depth),
            HEIGHT: unit_height,
            STEEP: with_derivatives(plain, self.steep, ones),
            JOINT: floss_together(unit_height, given, target, keys["floss"]),
            EACH: each,
            KEPT: each,
        }
        return [networks[name] for name in CONDITIONS]

    def at_depth(self, data: Data, depth: int) -> xr.Dataset:
        """All stacks of a depth, seeds along the leading axis."""
        return data.over("seed", Stacks, layers=depth)

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Exponents of stacks are those of layers, gradients follow them, and flossed stacks learn."""
        for depth in self.depths:
            yield from self._claims_of(self.at_depth(data, depth), f"{depth} layers: ")

    def _claims_of(self, stacks: xr.Dataset, words: str) -> Iterator[Claim]:
        layers = stacks["layers_start"].values
        union = -np.sort(-layers.reshape(*layers.shape[:2], -1), -1)[..., : self.num_exponents]
        yield Claim.at_most(
            words + "largest |exponent of the stack - union of its layers| (nats per step)",
            np.abs(stacks["stack_start"].values - union).max(),
            0.02,
        )
        first = stacks["layers_start"].sel(condition=EACH).values[..., 0]
        yield Claim.at_most(
            words + "largest |first exponent of a layer - target|, flossed, unseen spikes",
            np.abs(first - self.target).max(),
            0.02,
        )
        grown = growth(stacks["gradients_start"].values, self.task)
        yield Claim.at_most(
            words + "median |growth of a layer's gradient - growth predicted from exponents|",
            np.median(np.abs(grown - predicted_growth(layers[..., 0], self.task))),
            0.02,
        )
        final = stacks["accuracy"][..., -1]
        best = final.sel(condition=PLAIN).max("condition", skipna=False)
        for name in (EACH, KEPT):
            gain = 100 * (final.sel(condition=name) - best).values
            low = over_seeds(lambda x: float(x.mean()), (gain,)).low
            text = f"{name}: points gained over the best unflossed network, lower limit"
            yield Claim.at_least(words + text, low, 0)

    def figure(self, data: Data, published: Published) -> Figure:
        """One row for each depth: accuracy, exponents, gradients by layer and lag, rates; rasters below."""
        by_depth = {depth: self.at_depth(data, depth) for depth in self.depths}
        return stack_figure(by_depth, (HEIGHT, KEPT), self)


@eqx.filter_jit
def _measured(
    settings: SpikingStack, network: Stack, rasters: Array, labels: Array, unseen: Array, key: Array
) -> dict[str, Array]:
    """Exponents of the stack and its layers, gradients by layer and step, rates in Hz, spikes of a trial."""
    joint, layers = exponents(network, unseen, settings.num_exponents, key)
    spikes = hidden(network).all_over_time(rasters)
    return {
        "stack": joint,
        "layers": layers,
        "gradients": layer_gradients(network, rasters, labels, settings.task),
        "rates": 1000 * jnp.stack([s.mean() for s in spikes]) / settings.shape.time_step,
        "raster": jnp.stack(spikes)[:, :, 0],
    }
