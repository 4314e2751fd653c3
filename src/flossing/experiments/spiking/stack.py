"""Stacks of recurrent LIF layers on a streaming task, with and without flossing of the whole stack.

A sample of Randman is shown, other spikes follow for many membrane time constants, and then the class is
asked for. A step of the stack is a step of all layers, so its exponents are those of the joint state. Spikes
go up and never down: the joint Jacobian is block triangular, and its exponents are those of all layers
together, each layer driven by the spikes it receives.

Flossing the first k exponents of the joint step is therefore blind to who owns them. They may all belong to
one layer, and the others stay as they are; with k = 1 only one layer is flossed. Errors go down and never up,
so the gradient of layer l follows the largest first exponent of layer l and those above, with a power of the
lag where layers share it: a slow bottom layer does nothing for the layers over it. Here each layer is flossed
to the target by itself, which gives the stack one leading exponent from each layer. To compare, the stack's
first exponent alone is flossed, by a factor that the heights of all layers share.

What is flossed are heights of surrogate derivatives: no spike changes, so all networks of a seed start with
the same activity, and what differs is the gradient alone. Resets are not differentiated. Where nothing is
flossed, heights follow a convention (area one, height one), or the steepness is one that happens to put the
first exponents where flossing puts them.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ...cells import Stack
from ...tasks import Randman
from ..lab.claims import Claim, Result
from ..lab.classifier import Schedule, hidden
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


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

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
    """Of data, weights, order of the samples and background."""
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

    @property
    def seconds(self) -> float:
        """Of a step."""
        return self.shape.time_step / 1000


QUICK = Settings(
    task=Streaming(
        Randman(
            classes=2, inputs=8, samples=60, frequencies=5, alpha=2.0, num_steps=15, spike_steps=15
        ),
        gap=20,
        answer=5,
    ),
    shape=Shape(neurons=12, readout_time_constant=20.0, reset="subtract", rate=30.0),
    depths=(2,),
    schedule=Schedule(epochs=6, batch_size=16, learning_rate=0.01, spike_limit=20.0, penalty=0.01),
    seeds=(1, 2),
    trials_in_stream=6,
    num_exponents=4,
    trials_of_gradients=8,
)

KEYS = ("data", "weights", "order", "given", "unseen", "basis", "floss", "background")


def run(quick: bool = False, settings: Settings | None = None, report: Any = None) -> Result:
    """Runs the experiment; the quick version has two small stacks of two layers."""
    settings = settings or (QUICK if quick else Settings())
    found = {}
    for depth in settings.depths:
        rows = []
        for seed in settings.seeds:
            rows.append(_one_seed(settings, depth, seed))
            if report is not None:
                report(f"{depth} layers, seed {seed}: {rows[-1]['accuracy'][:, -1].round(3)}")
        found[depth] = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return _result(found, settings)


def _result(found: dict[int, dict[str, np.ndarray]], settings: Settings) -> Result:
    return Result(
        name="spiking-stack",
        title="stacks of spiking layers on a streaming task, flossed and not",
        source="a question of our own, nothing published",
        settings=dataclasses.asdict(settings),
        numbers={
            "conditions": list(CONDITIONS),
            "axes": ["seed", "condition", "epoch or layer", "layer, exponent or step"],
            "growth": {
                str(depth): _plain(growth(values["gradients_start"], settings.task))
                for depth, values in found.items()
            },
            **{
                str(depth): {k: _plain(v) for k, v in values.items() if k != "raster"}
                for depth, values in found.items()
            },
        },
        claims=[claim for depth in settings.depths for claim in claims(found[depth], settings)],
        figure=stack_figure(found, CONDITIONS, settings),
    )


def _one_seed(settings: Settings, depth: int, seed: int) -> dict[str, Any]:
    task = settings.task
    seeds = jax.random.split(jax.random.key(seed), len(KEYS))
    keys: dict[str, Array] = dict(zip(KEYS, seeds, strict=True))
    data = jax.jit(lambda key: task.randman.split(key, validation=0.05, test=0.3))(keys["data"])
    shape = dataclasses.replace(settings.shape, layers=depth)
    plain = shape.build(task.randman, keys["weights"])
    length = settings.trials_in_stream * task.num_steps
    given, unseen = (
        stream(part.times, task, keys[name], length)
        for part, name in ((data.train, "given"), (data.test, "unseen"))
    )
    target = jnp.asarray(settings.target)
    steepness = settings.steepness
    one = with_derivatives(plain, steepness, [1.0] * depth)
    networks = {
        AREA: with_derivatives(plain, steepness, [steepness / 4] * depth),
        HEIGHT: one,
        STEEP: with_derivatives(plain, settings.steep, [1.0] * depth),
        JOINT: floss_together(one, given, target, keys["floss"]),
        EACH: floss_each(one, given, target, keys["floss"]),
    }
    networks[KEPT] = networks[EACH]
    count = settings.trials_of_gradients
    times, labels = (x[:count] for x in data.test)
    rasters = task.rasters(times, keys["background"])
    rows, start = [], list(networks.values())
    kept = [name == KEPT for name in networks]
    trained, flossed = train_stacks(
        start, task, data, settings.schedule, kept, given, target, keys["order"]
    )
    for network, done, high in zip(start, trained, flossed, strict=True):
        row: dict[str, Any] = {
            "accuracy": done.test["accuracy"],
            "loss": done.train["cross-entropy"],
            "rates": done.test["rates"] / settings.seconds,
            "heights": high,
            "skipped": done.skipped.sum(),
        }
        for when, now in (("start", network), ("end", done.network)):
            found = _measure(now, rasters, labels, unseen, keys["basis"], settings)
            row |= {f"{what}_{when}": value for what, value in found.items()}
        row["raster"] = row.pop("raster_end")
        del row["raster_start"]
        rows.append({key: np.asarray(value) for key, value in row.items()})
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


@eqx.filter_jit
def _measure(
    network: Stack, rasters: Any, labels: Any, unseen: Any, key: Any, settings: Settings
) -> dict[str, Any]:
    """Exponents of the stack and its layers, gradients by layer and step, rates in Hz, spikes of a trial."""
    joint, layers = exponents(network, unseen, settings.num_exponents, key)
    spikes = hidden(network).all_over_time(rasters)
    return {
        "stack": joint,
        "layers": layers,
        "gradients": layer_gradients(network, rasters, labels, settings.task),
        "rates": jnp.stack([s.mean() for s in spikes]) / settings.seconds,
        "raster": jnp.stack(spikes)[:, :, 0],
    }


def claims(found: dict[str, np.ndarray], settings: Settings) -> list[Claim]:
    """What should come out of stacks of one depth."""
    layers, depth = found["layers_start"], found["layers_start"].shape[2]
    union = -np.sort(-layers.reshape(*layers.shape[:2], -1), -1)[..., : settings.num_exponents]
    flossed = CONDITIONS.index(EACH)
    measured = growth(found["gradients_start"], settings.task)
    error = measured - predicted_growth(layers[..., 0], settings.task)
    final = found["accuracy"][..., -1]
    plain = final[:, : CONDITIONS.index(JOINT)].max(1)
    words = f"{depth} layers: "
    result = [
        Claim(
            words + "largest |exponent of the stack - union of its layers| (nats per step)",
            float(np.abs(found["stack_start"] - union).max()),
            0.02,
        ),
        Claim(
            words + "largest |first exponent of a layer - target|, flossed, unseen spikes",
            float(np.abs(layers[:, flossed, :, 0] - settings.target).max()),
            0.02,
        ),
        Claim(
            words + "median |growth of a layer's gradient - growth predicted from exponents|",
            float(np.median(np.abs(error))),
            0.02,
        ),
    ]
    for name in (EACH, KEPT):
        gain = 100 * (final[:, CONDITIONS.index(name)] - plain)
        low = over_seeds(lambda x: float(x.mean()), (gain,)).low
        result.append(
            Claim(
                words + f"{name}: points gained over the best unflossed network, lower limit",
                low,
                0.0,
                below=False,
            )
        )
    return result


def _plain(values: np.ndarray) -> list:
    """For JSON, which has no infinity."""
    plain: Any = np.asarray(values, float).round(5).astype(object)
    plain[~np.isfinite(np.asarray(values, float))] = None
    return plain.tolist()
