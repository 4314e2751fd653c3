"""Randman: classes are random smooth manifolds in the space of spike times (Zenke & Vogels 2021)."""

import dataclasses
import itertools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from .._checks import (
    as_indices,
    check_choice,
    check_fraction,
    check_key,
    check_positive,
    check_single,
    settle_integers,
)
from .arrays import Arrays
from .data_set import DataSet
from .events import Events
from .losses import READOUTS


class Manifold(NamedTuple):
    """Random Fourier series, each array of shape ``(inputs, dimension, frequencies)``, from U(0, 1)."""

    amplitude: Float[Array, "input dimension frequency"]
    scale: Float[Array, "input dimension frequency"]
    phase: Float[Array, "input dimension frequency"]


class SpikeTimes(NamedTuple):
    """Samples of all classes: one spike per input."""

    times: Int[Array, "sample input"]
    """The step in which an input fires."""
    labels: Int[Array, " sample"]


class LabelledSplit(NamedTuple):
    """Spike times kept apart for training, validation and test."""

    train: SpikeTimes
    validation: SpikeTimes
    test: SpikeTimes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Randman(DataSet, name="randman"):
    """Spike times on random manifolds, one manifold per class, one spike per input and sample.

    The coordinate of input ``i`` at the point ``x`` of [0, 1]^dimension is::

        f_i(x) = prod_j sum_k k^(-alpha) a_ijk sin(2 pi (k b_ijk x_j + c_ijk)),   k = 1 ... frequencies

    with ``a``, ``b`` and ``c`` uniform in [0, 1]. Points are uniform, and each coordinate is rescaled
    to [0, 1] by its smallest and largest value among the samples of the class; where these are equal, it
    is 0. Spikes fall into the steps ``0 ... spike_steps - 1``. In many dimensions the products of a few
    samples exceed all others, whose spikes fall into the same step. Classes differ in nothing but the
    relations between spike times.

    ``dataset`` and ``split`` give the spike times themselves. As a task, a network is asked for the class
    once per trial. The defaults are those of Gygax & Zenke 2025, whose spikes fill half of the trial.
    """

    classes: int = 15
    """Number of manifolds."""
    inputs: int = 20
    """Number of input neurons."""
    dimension: int = 1
    """Dimension of each manifold."""
    alpha: float = 0.5
    """Decay of the series; the larger, the smoother."""
    frequencies: int = 1000
    """Terms of the series."""
    samples: int = 1000
    """Samples per class."""
    num_steps: int = 100
    """Steps per trial."""
    spike_steps: int = 50
    """Steps in which spikes can fall, at most num_steps."""
    readout: str = "max"
    """What the class is read from: the largest output over time (max), its mean, or the last one."""
    validation: float = 0.1
    """Fraction of the samples that the task keeps for validation."""
    test: float = 0.1
    """Fraction of the samples that the task keeps for the test."""
    seed: int = 0
    """Seed of the manifolds, of the samples, and of the choice of those for validation and test."""

    def __post_init__(self) -> None:
        settle_integers(
            self,
            classes=1,
            inputs=1,
            dimension=1,
            frequencies=1,
            samples=2,
            num_steps=1,
            spike_steps=1,
            seed=(0, 2**32 - 1),
        )
        check_positive("alpha", self.alpha, zero=True)
        check_single(alpha=self.alpha)
        if self.spike_steps > self.num_steps:
            raise ValueError(
                f"spike_steps: expected at most num_steps = {self.num_steps}, got {self.spike_steps}."
            )
        check_choice("readout", self.readout, READOUTS)
        for name in ("validation", "test"):
            check_fraction(name, getattr(self, name))
            check_single(**{name: getattr(self, name)})

    @property
    def input_size(self) -> int:
        """Number of input neurons."""
        return self.inputs

    @property
    def output_size(self) -> int:
        """Number of classes."""
        return self.classes

    def manifold(self, key: PRNGKeyArray) -> Manifold:
        """The coefficients of one class."""
        check_key("key", key)
        shape = (3, self.inputs, self.dimension, self.frequencies)
        return Manifold(*jax.random.uniform(key, shape))

    def coordinates(
        self, manifold: Manifold, points: Float[Array, "sample dimension"]
    ) -> Float[Array, "sample input"]:
        """``f_i(x)`` of every point, before rescaling."""
        return jnp.ldexp(*self._products(manifold, points))

    def _products(self, manifold: Manifold, points: Array) -> tuple[Array, Array]:
        """``f_i(x)`` as mantissas and exponents of 2: products of many factors leave the range of floats."""
        k = jnp.arange(1, self.frequencies + 1)
        size = manifold.amplitude * (k ** (-float(self.alpha)))[None, None]

        def factors(point: Array) -> Array:
            waves = k[None, None] * manifold.scale * point[None, :, None]
            angle = 2 * math.pi * (waves + manifold.phase)
            return (size * jnp.sin(angle)).sum(-1)

        def multiply(total: tuple[Array, Array], factor: Array) -> tuple[tuple[Array, Array], None]:
            mantissa, exponent = jnp.frexp(total[0] * factor)
            return (mantissa, total[1] + exponent), None

        each = jnp.moveaxis(jax.lax.map(factors, points, batch_size=32), -1, 0)
        start = jnp.ones_like(each[0]), jnp.zeros(each.shape[1:], jnp.int32)
        return jax.lax.scan(multiply, start, each)[0]

    def sample_class(self, key: PRNGKeyArray) -> Int[Array, "sample input"]:
        """Spike times of one class, shape ``(samples, inputs)``."""
        check_key("key", key)
        manifold_key, point_key = jax.random.split(key)
        points = jax.random.uniform(point_key, (self.samples, self.dimension))
        mantissas, exponents = self._products(self.manifold(manifold_key), points)
        # Rescaling makes a common power of 2 of all samples irrelevant.
        largest = jnp.where(mantissas == 0, jnp.iinfo(jnp.int32).min, exponents).max(
            0, keepdims=True
        )
        values = jnp.ldexp(mantissas, jnp.maximum(exponents - largest, -10_000))
        low, high = values.min(0, keepdims=True), values.max(0, keepdims=True)
        steps = (values - low) / jnp.where(high > low, high - low, 1) * self.spike_steps
        return jnp.clip(steps.astype(int), 0, self.spike_steps - 1)

    def dataset(self, key: PRNGKeyArray) -> SpikeTimes:
        """All samples of all classes, class after class."""
        check_key("key", key)
        times = jax.lax.map(self.sample_class, jax.random.split(key, self.classes))
        labels = jnp.repeat(jnp.arange(self.classes), self.samples)
        return SpikeTimes(times.reshape(-1, self.inputs), labels)

    def load(self) -> Arrays:
        """The samples of the seed as a task; spikes are kept as events."""
        data_key, part_key = jax.random.split(jax.random.key(self.seed))
        data = jax.jit(self.dataset)(data_key)
        units = np.arange(self.inputs)
        return Arrays(
            Events(
                [(times, units) for times in np.asarray(data.times)],
                num_units=self.inputs,
                num_steps=self.num_steps,
            ),
            data.labels,
            output_size=self.classes,
            readout=self.readout,
            validation=self.validation,
            test=self.test,
            key=part_key,
        )

    def describe(self) -> str:
        """A few words for titles."""
        return f"Randman, {self.classes} classes"

    def split(
        self, key: PRNGKeyArray, *, validation: float = 0.1, test: float = 0.1
    ) -> LabelledSplit:
        """Shuffled samples in three parts; the last two get the given fractions.

        Raises:
            ValueError: fractions that leave no sample for training or another part.
        """
        check_key("key", key)
        for name, value in (("validation", validation), ("test", test)):
            check_fraction(name, value)
            check_single(**{name: value})
        sample_key, order_key = jax.random.split(key)
        data = self.dataset(sample_key)
        order = jax.random.permutation(order_key, len(data.labels))
        data = SpikeTimes(*(x[order] for x in data))
        counts = [round(fraction * len(data.labels)) for fraction in (validation, test)]
        first = len(data.labels) - sum(counts)
        if min(first, *counts) < 1:
            raise ValueError(
                f"validation, test: {validation} and {test} of {len(data.labels)} samples "
                "leave a part empty."
            )
        cuts = [0, first, first + counts[0], len(data.labels)]
        parts = (SpikeTimes(*(x[a:b] for x in data)) for a, b in itertools.pairwise(cuts))
        return LabelledSplit(*parts)

    def raster(self, times: Int[ArrayLike, "*sample input"]) -> Float[Array, "*sample time input"]:
        """Spikes, 0 or 1, with time before inputs.

        Raises:
            ValueError, TypeError: times that are no steps of a trial (if known), or no integers.
        """
        steps = as_indices("times", times, self.num_steps)
        return jax.nn.one_hot(steps, self.num_steps, axis=-2)
