"""Surrogate fields of classifiers: does one with less curl train better, and does flossing help?"""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ... import theory
from ...cells import Stack
from ...tasks import Randman
from ..lab.claims import Claim
from ..lab.classifier import Schedule, hidden
from ..lab.data import Data
from ..lab.driven import Plan, floss
from ..lab.experiment import Experiment, Report
from ..lab.heights import BASIS_WARMUP, first_exponent, floss_heights
from ..lab.published import Published
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
from .field_claims import FIXED, WEIGHTS, claims, correlation, flossed_to
from .field_figure import fields_figure
from .field_measures import BatchField, gradient_noise, noisy_exponent, smooth_curls, stochastic

KEYS: tuple[str, ...] = ("data", "weights", "order", "train", "test", "basis", "noise", "floss")


@dataclasses.dataclass(frozen=True)
class Seed:
    """All networks of one random seed."""

    seed: int


@dataclasses.dataclass(frozen=True)
class Smooth:
    """Networks whose spikes are logistic functions, as a control."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SurrogateFields(Experiment):
    """Classifiers with surrogate derivatives of many steepnesses and heights, from too flat to too steep.

    Small recurrent LIF classifiers of Randman with logistic surrogate derivatives. The height of a derivative
    decides on the surrogate Lyapunov exponents as much as its steepness does, and neither changes a spike. So
    every steepness comes with several heights: area one (that of the matching escape noise), height one, and
    heights flossed until the first exponent of each layer has a given value. In addition recurrent weights
    are flossed. Measured are the curl of the surrogate gradient, the first exponent, the noise of gradients
    of stochastic networks, and what deterministic networks learn in a fixed number of epochs.

    The hypotheses among the claims and their limits were fixed before the full run; 95 % intervals, by
    bootstrap over seeds, decide.
    """

    title = "curl, exponents and noise of surrogate gradients, and what is learned with them"
    source = "a question of our own, nothing published"
    shows = (
        "Surrogate gradients with less curl train better. Heights of surrogate derivatives that are flossed "
        "to exponents of zero let classifiers learn at nearly every steepness."
    )
    task: Randman = Randman(
        classes=5, inputs=12, samples=200, frequencies=50, alpha=1.5, num_steps=60, spike_steps=40
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
        num_exponents=4, phases=((100, 5e-3), (50, 1e-3)), window=60, warmup=20, state_warmup=40
    )
    """How recurrent weights are flossed, from areas of one."""
    samples_in_stream: int = 20
    """One after the other, for exponents."""
    probes: int = 8
    """Random directions in which the curl is measured."""
    noise_samples: int = 64
    """Draws of noise."""

    @classmethod
    def quick(cls) -> Self:
        """Fewer seeds, steepnesses and neurons."""
        return cls(
            task=Randman(
                classes=3, inputs=8, samples=80, frequencies=10, alpha=2.0, num_steps=40,
                spike_steps=25,
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
        )  # fmt: skip

    @property
    def conditions(self) -> tuple[str, ...]:
        """What is done to the surrogate derivatives or weights of each steepness."""
        return (*FIXED, *map(flossed_to, self.targets), WEIGHTS)

    def cases(self) -> dict[Any, Callable[[Report], xr.Dataset]]:
        """All seeds, and the control."""
        return {
            **{Seed(seed): functools.partial(self.of_seed, seed) for seed in self.seeds},
            Smooth(): self.smooth,
        }

    def of_seed(self, seed: int, report: Report) -> xr.Dataset:
        """Numbers of all networks (steepness, condition), and of their noise (steepness)."""
        keys = dict(zip(KEYS, jax.random.split(jax.random.key(seed), len(KEYS)), strict=True))
        data = jax.jit(lambda key: self.task.split(key, validation=0.05, test=0.4))(keys["data"])
        report("flossing")
        networks = self._networks(data, keys)
        schedule = self.schedule
        orders = jax.random.split(keys["order"], schedule.epochs)
        order = batches(orders, len(data.train.labels), schedule.batch_size)
        report("training")
        samples = Samples(schedule, data, order, self.task.num_steps)
        trained = iter(train([n for row in networks for n in row], samples, schedule))
        times, labels = (x[: schedule.batch_size] for x in data.train)
        batch = jax.nn.one_hot(times, self.task.num_steps, axis=1), labels
        unseen = self._stream(data.test, keys["test"])
        rows, noises = [], []
        for steepness, row in zip(self.steepnesses, networks, strict=True):
            report(f"measuring at steepness {steepness:g}")
            after = [next(trained) for _ in row]
            rows.append(
                [self._field(*pair, batch, unseen, keys) for pair in zip(row, after, strict=True)]
            )
            noises.append(self._noise(row[0], after[0].network, steepness, batch, unseen, keys))
        return self._joined(rows, noises)

    def _stream(self, part: Any, key: Any) -> Any:
        length = self.samples_in_stream * self.task.num_steps + BASIS_WARMUP
        return stream(part.times, self.task.num_steps, key, length)

    def _networks(self, data: Any, keys: dict[str, Any]) -> list[list[Stack]]:
        """Untrained networks of every steepness, in the order of the conditions."""
        plain = self.shape.build(self.task, keys["weights"])
        given = self._stream(data.train, keys["train"])
        layers, every = self.shape.layers, []
        for steepness in self.steepnesses:
            tried: list = [[steepness / 4] * layers, [1.0] * layers]
            start = with_derivatives(plain, steepness, tried[0])
            for target in self.targets:
                tried.append(floss_heights(start, given, jnp.asarray(target), keys["floss"]))
            every.append([with_derivatives(plain, steepness, heights) for heights in tried])
        flossed = self._floss_weights([row[0] for row in every], data, keys["floss"])
        return [[*row, more] for row, more in zip(every, flossed, strict=True)]

    def _floss_weights(self, networks: list[Stack], data: Any, key: Any) -> list[Stack]:
        """The networks after their recurrent weights have been flossed."""
        times, num_steps = data.train.times, self.task.num_steps

        def inputs(key: Any, length: int) -> Any:
            return stream(times, num_steps, key, length)

        layers = stacked([hidden(network) for network in networks])
        flossed, _ = floss(layers, jax.random.split(key, len(networks)), inputs, self.plan)
        return [
            Stack([*one_of(flossed, i).layers, network.layers[-1]])
            for i, network in enumerate(networks)
        ]

    def _field(
        self, network: Stack, trained: Any, batch: Any, unseen: Any, keys: dict[str, Any]
    ) -> dict[str, Any]:
        """Curl and exponent before and after training, and what was learned."""
        field, basis = BatchField(*batch), keys["basis"]
        ends = {"start": network, "end": trained.network}
        curls = {
            when: theory.curl(field, n, num_probes=self.probes, key=basis)
            for when, n in ends.items()
        }
        return {
            **{f"curl_{when}": curl.ratio for when, curl in curls.items()},
            "curl_error": curls["start"].ratio_error,
            **{
                f"exponent_{when}": float(first_exponent(hidden(n), unseen, basis))
                for when, n in ends.items()
            },
            "accuracy": float(trained.test["accuracy"][-1]),
            "loss": float(trained.train["loss"][-1]),
            "skipped": int(trained.skipped.sum()),
            "heights": np.asarray(heights(network)),
        }

    def _noise(
        self, network: Stack, trained: Stack, steepness: float, batch: Any, unseen: Any,
        keys: dict[str, Any],
    ) -> dict[str, float]:  # fmt: skip
        """Noise of gradients and exponents of stochastic networks, before and after training."""
        measured: dict[str, float] = {}
        for when, stack in (("start", network), ("end", trained)):
            noisy = stochastic(stack, steepness)
            numbers = gradient_noise(noisy, *batch, keys["noise"], self.noise_samples)
            measured |= {f"{name}_{when}": value for name, value in numbers.items()}
            exponent = noisy_exponent(noisy, unseen, keys["basis"])
            measured[f"noisy_exponent_{when}"] = float(exponent)
        return measured

    def _joined(self, rows: list, noises: list) -> xr.Dataset:
        grid = ("steepness", "condition", "layer")
        fields = {
            n: np.array([[numbers[n] for numbers in row] for row in rows]) for n in rows[0][0]
        }
        noise = {n: np.array([numbers[n] for numbers in noises]) for n in noises[0]}
        return xr.Dataset(
            {name: (grid[: values.ndim], values) for name, values in (fields | noise).items()},
            coords={"steepness": list(self.steepnesses), "condition": list(self.conditions)},
        )

    def smooth(self, report: Report) -> xr.Dataset:
        """``curl`` by steepness, of true gradients."""
        data = self.task.split(jax.random.key(self.seeds[0]))
        times, labels = (np.asarray(x[:8]) for x in data.train)
        rasters = np.asarray(jax.nn.one_hot(times, self.task.num_steps, axis=1))

        def build() -> Any:
            return self.shape.build(self.task, jax.random.key(1), "differentiated")

        curls = smooth_curls(build, self.steepnesses, rasters, labels, 2)
        return xr.Dataset({"curl": ("steepness", curls)}, {"steepness": list(self.steepnesses)})

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """The control, the check of the treatment, and the hypotheses."""
        return claims(data.over("seed", Seed), data[Smooth()])

    def figure(self, data: Data, published: Published) -> Figure:
        """Curl, exponents, noise and accuracy by steepness; accuracy by curl and by exponent."""
        fields = data.over("seed", Seed)
        correlations = {
            name: correlation(name, fields) for name in ("curl, accuracy", "|exponent|, accuracy")
        }
        return fields_figure(
            fields,
            correlations,
            epochs=self.schedule.epochs,
            classes=self.task.classes,
            draws=self.noise_samples,
        )
