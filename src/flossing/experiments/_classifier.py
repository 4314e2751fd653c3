"""Deep convolutional networks of LIF neurons that classify spike trains: data, network, training, tests."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..cells import ConvLIFCell, LeakyReadout, Stack, fluctuation_driven, with_escape
from ..escape_noise import EscapeNoise, ExponentialNoise, Noisy, SigmoidNoise
from ..optimisers import clip_by_global_norm, smorms3
from ..surrogates import SuperSpike
from ..tasks import (
    Metric,
    Randman,
    SpikeFile,
    Task,
    Trial,
    max_over_time_accuracy,
    max_over_time_cross_entropy,
    upper_rate_penalty,
)
from ..tasks.randman import LabelledSplit
from ..training import Trainer, train_epoch
from ..training.trainer import begin

Batches = Iterator[tuple[Any, np.ndarray]]
"""Rasters of shape (trial, time, input), and labels."""

METHODS = ("deterministic", "stochastic", "multilayer spiker")


def escape_of(method: str, steepness: float) -> EscapeNoise | None:
    """The spikes that each method trains with."""
    return {
        "deterministic": None,
        "stochastic": SigmoidNoise(steepness),
        "multilayer spiker": ExponentialNoise(rule="spike_train"),
    }[method]


class RandmanData:
    """Randman in memory; spikes are made from times batch by batch."""

    def __init__(self, task: Randman, seed: int):
        self.task = task
        self.num_steps, self.input_size, self.classes = task.num_steps, task.inputs, task.classes
        split: LabelledSplit = jax.jit(task.split)(jax.random.key(seed))
        self.parts = {name: part for name, part in zip(split._fields, split, strict=True)}

    def batches(self, part: str, size: int, seed: int | None = None) -> Batches:
        """Batches of a part, in a random order if a seed is given (then without the incomplete last one)."""
        times, labels = (np.asarray(x) for x in self.parts[part])
        order = np.arange(len(labels))
        if seed is not None:
            order = np.random.default_rng(seed).permutation(order)[: len(order) // size * size]
        for start in range(0, len(order), size):
            chosen = order[start : start + size]
            yield _raster(times[chosen], self.num_steps), labels[chosen]


@functools.partial(jax.jit, static_argnums=1)
def _raster(times: Any, num_steps: int) -> Any:
    return jax.nn.one_hot(times, num_steps, axis=1)


class SpokenData:
    """Recordings of SHD or SSC, read batch by batch; a tenth of the training part is for validation."""

    def __init__(self, files: dict[str, SpikeFile], num_steps: int, time_step: float, seed: int):
        self.files, self.num_steps, self.time_step = files, num_steps, time_step
        self.input_size, self.classes = files["train"].units, files["train"].classes
        order = np.random.default_rng(seed).permutation(len(files["train"]))
        held = 0 if "valid" in files else max(1, len(order) // 10)
        self.indices = {
            "train": ("train", order[held:]),
            "validation": ("train", order[:held]) if held else ("valid", None),
            "test": ("test", None),
        }

    def batches(self, part: str, size: int, seed: int | None = None) -> Batches:
        """As for ``RandmanData``."""
        name, indices = self.indices[part]
        found = self.files[name].batches(
            size, num_steps=self.num_steps, time_step=self.time_step, seed=seed, indices=indices
        )
        for batch in found:
            if seed is None or len(batch.labels) == size:
                yield batch.spikes.astype(np.float32), batch.labels


@dataclasses.dataclass(frozen=True)
class Architecture:
    """Convolutional layers bottom first, and the constants of all neurons (ms)."""

    filters: tuple[int, ...] = (32, 64, 128)
    kernels: tuple[int, ...] = (11, 5, 5)
    strides: tuple[int, ...] = (1, 1, 1)
    recurrent_kernel: int | None = None
    time_step: float = 2.0
    membrane_time_constant: float = 20.0
    synapse_time_constant: float = 10.0
    steepness: float = 10.0
    input_rate: float = 5.0
    """Rate of each input in Hz that the weights are drawn for."""

    def build(self, data: Any, method: str, key: Any) -> Stack:
        """A network of one method; stochastic ones start with larger fluctuations (1.3 for 1)."""
        layers: list[Any] = []
        length, channels = data.input_size, 1
        *keys, readout_key, draw_key = jax.random.split(key, len(self.filters) + 2)
        common: dict[str, Any] = {
            "time_step": self.time_step,
            "synapse_time_constant": self.synapse_time_constant,
        }
        for filters, kernel, stride, k in zip(
            self.filters, self.kernels, self.strides, keys, strict=True
        ):
            layer = ConvLIFCell(
                length,
                channels,
                filters,
                kernel,
                stride=stride,
                recurrent_kernel_size=self.recurrent_kernel,
                membrane_time_constant=self.membrane_time_constant,
                surrogate=SuperSpike(self.steepness),
                key=k,
                **common,
            )
            layers.append(layer)
            length, channels = layer.output_length, filters
        layers.append(
            LeakyReadout(
                length * channels,
                data.classes,
                membrane_time_constant=data.num_steps * self.time_step,
                key=readout_key,
                **common,
            )
        )
        target = 1.0 if method == "deterministic" else 1.3
        network = fluctuation_driven(
            Stack(layers), rate=self.input_rate, target=target, key=draw_key
        )
        return with_escape(network, escape_of(method, self.steepness))


def with_noise(network: Stack, rasters: Any, random: np.random.Generator) -> Any:
    """Inputs with uniform numbers for stochastic neurons; NumPy draws them faster than JAX on a CPU."""
    if not network.noise_size:
        return rasters
    trials, steps, _ = rasters.shape
    uniform = random.random((steps, trials, network.noise_size), dtype=np.float32)
    return Noisy(rasters, jnp.asarray(uniform.swapaxes(0, 1)))


@dataclasses.dataclass(frozen=True)
class Schedule:
    """How a network is trained."""

    epochs: int = 6
    batch_size: int = 100
    learning_rate: float = 0.02
    optimiser: str = "adam"
    """``"adam"`` with a cosine decay to zero, or ``"smorms3"`` as published."""
    spike_limit: float = 7.0
    penalty: float = 0.1
    part: int = 5
    """Trials whose gradient is computed at once; so few that they stay in the cache of a core."""

    clip_norm: float | None = None
    """Largest norm of the gradient of all weights together."""

    def trainer(self, task: Any, steps: int, part: int | None = None) -> Trainer:
        """What trains a stack, from rest, in so many steps."""
        return Trainer(
            task,
            _optimiser(self, steps),
            epochs=steps,
            batch_size=self.batch_size,
            step=hidden,
            state=_rest,
            part=part,
            outputs=side_by_side,
        )


@functools.cache  # compiled programs know optimisers by their identity
def _optimiser(schedule: Schedule, steps: int) -> optax.GradientTransformation:
    if schedule.optimiser == "smorms3":
        return smorms3(schedule.learning_rate)
    adam = optax.adam(optax.cosine_decay_schedule(schedule.learning_rate, max(1, steps)))
    if schedule.clip_norm is None:
        return adam
    return optax.chain(clip_by_global_norm(schedule.clip_norm), adam)


def hidden(network: Stack) -> Stack:
    """The network without its readout."""
    return Stack(network.layers[:-1])


def _rest(network: Stack) -> None:
    """Trials start at rest."""


def side_by_side(network: Stack, inputs: Any, state: Any = None, keys: Any = None) -> tuple:
    """Outputs of every layer, each of shape (trial, time, neuron); the stack takes all trials at once."""
    del state, keys  # it starts at rest, and noise comes with the inputs
    outputs = network.all_over_time(jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), inputs))
    return tuple(jnp.swapaxes(x, 0, 1) for x in outputs)


class LargestReadout(Task, eqx.Module):
    """The class is that of the largest readout over time; outputs are those of every layer of a stack."""

    schedule: Schedule = eqx.field(static=True)

    def loss(self, outputs: tuple, trial: Trial) -> Any:
        """Cross-entropy, and a penalty on high rates."""
        *below, values = outputs
        limit, strength = self.schedule.spike_limit, self.schedule.penalty
        by_trial = jax.vmap(lambda x: upper_rate_penalty(x, limit=limit, strength=strength))
        penalty = sum(by_trial(spikes).mean() for spikes in below)
        return max_over_time_cross_entropy(values, trial.targets) + penalty

    def metrics(self, outputs: tuple, trial: Trial) -> dict[str, Metric]:
        """Accuracy, and spikes per trial of each layer."""
        *below, values = outputs
        counts = jnp.stack([spikes.shape[1] * spikes.mean() for spikes in below])
        return {
            "accuracy": Metric(max_over_time_accuracy(values, trial.targets)),
            "spikes": Metric(counts, higher_is_better=False),
        }


class Batch(LargestReadout):
    """A task that has one batch: that of the next update."""

    trials: Trial
    """Rasters, with uniform numbers beside them for stochastic neurons, and labels."""

    def sample(self, key: Any, *, num_steps: int | None = None) -> Trial:
        """One of its trials."""
        chosen = jax.random.randint(key, (), 0, len(self.trials.targets))
        return jax.tree.map(lambda x: x[chosen], self.trials)

    def batch(self, key: Any, number: Any, size: int) -> Trial:
        """The batch."""
        return self.trials


def train(
    network: Stack,
    data: Any,
    schedule: Schedule,
    seed: int,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[Stack, dict[str, Any]]:
    """A trained network and its record, one entry per epoch."""
    steps = schedule.epochs * sum(1 for _ in data.batches("train", schedule.batch_size, seed=0))
    trainer = schedule.trainer(None, steps, schedule.part)
    realisation, key = begin(network, trainer), jax.random.key(seed)
    random = np.random.default_rng((seed, 1))
    record: dict[str, Any] = {"loss": [], "train": [], "validation": [], "spikes": []}
    start, seconds = time.perf_counter(), 0.0
    for epoch in range(schedule.epochs):
        found = []
        for rasters, labels in data.batches("train", schedule.batch_size, seed=1000 * seed + epoch):
            batch = Trial(with_noise(network, rasters, random), jnp.asarray(labels))
            now = dataclasses.replace(trainer, task=Batch(schedule, batch))
            realisation, metrics = _update(realisation, key, 0, now)
            found.append((metrics.loss, *(m.value for m in metrics.metrics.values())))
        loss, right, counts = (np.mean([np.asarray(m[i]) for m in found], 0) for i in range(3))
        seconds = time.perf_counter() - start
        held = accuracy(realisation.network, data, "validation", schedule.batch_size, seed)
        record["loss"].append(float(loss))
        record["train"].append(float(right))
        record["validation"].append(held)
        record["spikes"].append(counts.tolist())
        report(
            f"epoch {epoch + 1}: loss {loss:.3f}, accuracy {right:.3f}, validation {held:.3f}, "
            f"spikes {np.round(counts, 1)}, {seconds:.0f} s"
        )
    record["seconds"] = seconds
    return realisation.network, record


_update = eqx.filter_jit(train_epoch)


@eqx.filter_jit
def _right(network: Stack, inputs: Any, labels: Any) -> Any:
    values = side_by_side(network, inputs)[-1]
    return (values.max(1).argmax(-1) == labels).sum()


def accuracy(network: Stack, data: Any, part: str, batch_size: int, seed: int) -> float:
    """Share of a part's recordings that the network gets right."""
    random = np.random.default_rng((seed, 2))
    right = total = 0
    for rasters, labels in data.batches(part, batch_size):
        right += int(_right(network, with_noise(network, rasters, random), labels))
        total += len(labels)
    return right / total
