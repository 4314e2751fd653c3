"""Surrogate fields of classifiers: does one with less curl train better, and does flossing help?

Small recurrent LIF classifiers of Randman with logistic surrogate derivatives, from too flat to too steep.
The height of a derivative decides on the surrogate Lyapunov exponents as much as its steepness does, and
neither changes a spike. So every steepness comes with several heights: area one (that of the matching escape
noise), height one, and heights flossed until the first exponent of each layer has a given value. In addition
recurrent weights are flossed. Measured are the curl of the surrogate gradient, the first exponent, the noise
of gradients of stochastic networks, and what deterministic networks learn in a fixed number of epochs.

The hypotheses among the claims and their limits were fixed before the full run; intervals decide.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import theory
from ...cells import Stack
from ...tasks import Randman
from ..lab.claims import Result
from ..lab.classifier import Schedule, hidden
from ..lab.driven import Plan, floss
from ..lab.field_measures import (
    BASIS_WARMUP,
    BatchField,
    first_exponent,
    floss_heights,
    gradient_noise,
    noisy_exponent,
    smooth_curls,
    stochastic,
)
from ..lab.small_classifier import (
    Samples,
    Shape,
    batches,
    heights,
    one_of,
    stacked,
    stream,
    train,
    with_derivatives,
)
from .field_claims import FIXED, WEIGHTS, claims, correlations, flossed_to, gains
from .field_figure import fields_figure


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    task: Randman = Randman(
        classes=5,
        inputs=12,
        samples=200,
        frequencies=50,
        alpha=1.5,
        num_steps=60,
        spike_steps=40,
    )
    shape: Shape = Shape()
    schedule: Schedule = Schedule(epochs=20, batch_size=28, learning_rate=0.01)
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5, 6)
    """Of data, weights, order of the samples and noise."""
    steepnesses: tuple[float, ...] = (0.5, 1.5, 5.0, 15.0, 50.0, 150.0)
    """In units of one over the threshold."""
    targets: tuple[float, ...] = (-0.05, 0.0, 0.05)
    """First exponents that heights are flossed to, nats per step."""
    plan: Plan = Plan(
        num_exponents=4,
        phases=((100, 5e-3), (50, 1e-3)),
        window=60,
        warmup=20,
        state_warmup=40,
    )
    """How recurrent weights are flossed, from areas of one."""
    samples_in_stream: int = 20
    """One after the other, for exponents."""
    probes: int = 8
    noise_samples: int = 64


QUICK = Settings(
    task=Randman(
        classes=3, inputs=8, samples=80, frequencies=10, alpha=2.0, num_steps=40, spike_steps=25
    ),
    shape=Shape(neurons=16),
    schedule=Schedule(epochs=8, batch_size=16, learning_rate=0.02),
    seeds=(1, 2),
    steepnesses=(0.5, 5.0, 50.0),
    targets=(-0.05, 0.0),
    plan=Plan(num_exponents=4, phases=((40, 1e-2),), window=50, warmup=15, state_warmup=25),
    samples_in_stream=6,
    probes=4,
    noise_samples=16,
)

KEYS: tuple[str, ...] = ("data", "weights", "order", "train", "test", "basis", "noise", "floss")


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has fewer seeds, steepnesses and neurons."""
    settings = settings or (QUICK if quick else Settings())
    names = (*FIXED, *(flossed_to(t) for t in settings.targets), WEIGHTS)
    seeds = [_one_seed(settings, seed) for seed in settings.seeds]
    fields = {key: np.array([s["fields"][key] for s in seeds]) for key in seeds[0]["fields"]}
    noise = {key: np.array([s["noise"][key] for s in seeds]) for key in seeds[0]["noise"]}
    smooth = _smooth(settings)
    found = correlations(fields, noise, settings)
    found |= gains(fields["accuracy"], names)
    return Result(
        name="surrogate-fields",
        title="curl, exponents and noise of surrogate gradients, and what is learned with them",
        source="a question of our own, nothing published",
        settings=dataclasses.asdict(settings),
        numbers={
            "conditions": list(names),
            "axes": ["seed", "steepness", "condition"],
            "estimates": {k: [round(float(x), 4) for x in v] for k, v in found.items()},
            "fields": {k: _plain(v) for k, v in fields.items()},
            "noise": {k: _plain(v) for k, v in noise.items()},
            "smooth_curl": smooth,
        },
        claims=claims(fields, found, smooth, names),
        figure=fields_figure(fields, noise, found, names, settings),
    )


def _one_seed(settings: Settings, seed: int) -> dict[str, Any]:
    task = settings.task
    keys = dict(zip(KEYS, jax.random.split(jax.random.key(seed), len(KEYS)), strict=True))
    data = jax.jit(lambda key: task.split(key, validation=0.05, test=0.4))(keys["data"])
    plain = settings.shape.build(task, keys["weights"])
    length = settings.samples_in_stream * task.num_steps + BASIS_WARMUP
    given, unseen = (
        stream(part.times, task.num_steps, keys[name], length)
        for part, name in ((data.train, "train"), (data.test, "test"))
    )
    size = settings.schedule.batch_size
    times, labels = (x[:size] for x in data.train)
    batch = jax.nn.one_hot(times, task.num_steps, axis=1), labels
    layers = settings.shape.layers

    def networks(steepness: float) -> list[Any]:
        tried: list = [[steepness / 4] * layers, [1.0] * layers]
        start = with_derivatives(plain, steepness, tried[0])
        tried += [
            floss_heights(start, given, jnp.asarray(t), keys["floss"]) for t in settings.targets
        ]
        return [with_derivatives(plain, steepness, h) for h in tried]

    every = [networks(steepness) for steepness in settings.steepnesses]
    for row, flossed in zip(
        every, _floss_weights(settings, every, data, keys["floss"]), strict=True
    ):
        row.append(flossed)
    fields: dict[str, list] = {}
    noise: dict[str, list] = {}
    schedule = settings.schedule
    orders = jax.random.split(keys["order"], schedule.epochs)
    order = batches(orders, len(data.train.labels), schedule.batch_size)
    samples = Samples(schedule, data, order, task.num_steps)
    trained_networks = iter(train([n for row in every for n in row], samples, schedule))
    for steepness, row in zip(settings.steepnesses, every, strict=True):
        found = []
        for index, network in enumerate(row):
            trained = next(trained_networks)
            found.append(_field(network, trained, batch, unseen, keys, settings))
            if index == 0:
                numbers = _noise(network, trained.network, steepness, batch, unseen, keys, settings)
                _append(noise, numbers)
        _append(fields, {name: [f[name] for f in found] for name in found[0]})
    return {"fields": fields, "noise": noise}


def _append(lists: dict[str, list], values: dict[str, Any]) -> None:
    for name, value in values.items():
        lists.setdefault(name, []).append(value)


def _floss_weights(settings: Settings, every: list, data: Any, key: Any) -> list[Any]:
    """Networks of area one whose recurrent weights have been flossed, one for each steepness."""
    times, num_steps = data.train.times, settings.task.num_steps

    def inputs(key: Any, length: int) -> Any:
        return stream(times, num_steps, key, length)

    layers = stacked([hidden(row[0]) for row in every])
    flossed, _ = floss(layers, jax.random.split(key, len(every)), inputs, settings.plan)
    return [Stack([*one_of(flossed, i).layers, row[0].layers[-1]]) for i, row in enumerate(every)]


def _field(
    network: Any, trained: Any, batch: Any, unseen: Any, keys: Any, settings: Settings
) -> dict[str, Any]:
    field, basis = BatchField(*batch), keys["basis"]
    ends = {"start": network, "end": trained.network}
    curls = {
        w: theory.curl(field, n, num_probes=settings.probes, key=basis) for w, n in ends.items()
    }
    return {
        **{f"curl_{when}": curl.ratio for when, curl in curls.items()},
        "curl_error": curls["start"].ratio_error,
        **{
            f"exponent_{w}": float(first_exponent(hidden(n), unseen, basis))
            for w, n in ends.items()
        },
        "accuracy": float(trained.test["accuracy"][-1]),
        "loss": float(trained.train["loss"][-1]),
        "skipped": int(trained.skipped.sum()),
        "heights": np.asarray(heights(network)),
    }


def _noise(
    network: Any, trained: Any, steepness: float, batch: Any, unseen: Any, keys: Any, settings: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for when, one in (("start", network), ("end", trained)):
        noisy = stochastic(one, steepness)
        numbers = gradient_noise(noisy, *batch, keys["noise"], settings.noise_samples)
        found |= {f"{name}_{when}": value for name, value in numbers.items()}
        found[f"exponent_{when}"] = float(noisy_exponent(noisy, unseen, keys["basis"]))
    return found


def _smooth(settings: Settings) -> list[float]:
    data = settings.task.split(jax.random.key(settings.seeds[0]))
    times, labels = (np.asarray(x[:8]) for x in data.train)
    rasters = np.asarray(jax.nn.one_hot(times, settings.task.num_steps, axis=1))

    def build() -> Any:
        return settings.shape.build(settings.task, jax.random.key(1), "differentiated")

    return smooth_curls(build, settings.steepnesses, rasters, labels, 2)


def _plain(values: np.ndarray) -> list:
    """For JSON, which has no infinity."""
    plain: Any = values.round(5).astype(object)
    plain[~np.isfinite(values)] = None
    return plain.tolist()
