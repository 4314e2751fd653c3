"""Deep convolutional networks of LIF neurons that classify spike trains: data, network, training, tests."""

import abc
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...cells import ConvLIFCell, LeakyReadout, Stack, fluctuation_driven, with_escape
from ...escape_noise import EscapeNoise, ExponentialNoise, Noisy, SigmoidNoise
from ...optimisers import OptimiserSpec, clip_by_global_norm
from ...surrogates import SuperSpike
from ...tasks import (
    Metric,
    Randman,
    SpikeFile,
    Task,
    Trial,
    accuracy as accuracy_of,
    cross_entropy,
    upper_rate_penalty,
)
from ...training import Trainer, train_epoch
from ...training.trainer import begin

METHODS = ("deterministic", "stochastic", "multilayer spiker")


def escape_of(method: str, steepness: float) -> EscapeNoise | None:
    """The spikes that each method trains with."""
    return {
        "deterministic": None,
        "stochastic": SigmoidNoise(steepness),
        "multilayer spiker": ExponentialNoise(rule="spike_train"),
    }[method]


class LabelledData(abc.ABC):
    """Trials for training, validation and test, made or read batch by batch."""

    numbers: dict[str, np.ndarray]
    """Of the trials of each part."""

    @abc.abstractmethod
    def read(self, part: str, chosen: np.ndarray) -> tuple[Any, np.ndarray]:
        """Rasters of shape (trial, time, input), and labels."""

    def batches(self, part: str, size: int, seed: int | None = None) -> Iterator[tuple]:
        """Batches of a part, in a random order if a seed is given (then without the incomplete last one)."""
        order = self.numbers[part]
        if seed is not None:
            order = np.random.default_rng(seed).permutation(order)[: len(order) // size * size]
        for start in range(0, len(order), size):
            yield self.read(part, order[start : start + size])


class RandmanData(LabelledData):
    """Randman in memory; spikes are made from times."""

    def __init__(self, task: Randman, seed: int):
        self.task = task
        self.num_steps, self.input_size, self.classes = task.num_steps, task.inputs, task.classes
        split = jax.jit(task.split)(jax.random.key(seed))
        self.parts = {name: jax.tree.map(np.asarray, x) for name, x in split._asdict().items()}
        self.numbers = {name: np.arange(len(part.labels)) for name, part in self.parts.items()}

    def read(self, part: str, chosen: np.ndarray) -> tuple[Any, np.ndarray]:
        """Rasters and labels."""
        times, labels = self.parts[part]
        return self.task.raster(times[chosen]), labels[chosen]


class SpokenData(LabelledData):
    """Recordings of SHD in files; a tenth of the training part is for validation."""

    def __init__(self, files: dict[str, SpikeFile], num_steps: int, time_step: float, seed: int):
        self.files, self.num_steps, self.time_step = files, num_steps, time_step
        self.input_size, self.classes = files["train"].units, files["train"].classes
        order = np.random.default_rng(seed).permutation(len(files["train"]))
        held = max(1, len(order) // 10)
        self.numbers = {"train": order[held:], "validation": order[:held]}
        self.numbers["test"] = np.arange(len(files["test"]))

    def read(self, part: str, chosen: np.ndarray) -> tuple[Any, np.ndarray]:
        """Rasters and labels."""
        file = self.files["test" if part == "test" else "train"]
        batch = file.read(chosen, num_steps=self.num_steps, time_step=self.time_step)
        return batch.spikes.astype(np.float32), batch.labels


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
class Schedule(OptimiserSpec):
    """How a network is trained: Adam with a penalty on high rates."""

    epochs: int = 6
    batch_size: int = 100
    learning_rate: float = 0.02
    spike_limit: float = 7.0
    penalty: float = 0.1
    part: int = 5
    """Trials whose gradient is computed at once; so few that they stay in the cache of a core."""
    clip_norm: float | None = None
    """Largest norm of the gradient of all weights together."""

    def build(self, epochs: int) -> optax.GradientTransformation:
        """Adam with a cosine decay to zero after so many updates."""
        adam = optax.adam(optax.cosine_decay_schedule(self.learning_rate, max(1, epochs)))
        if self.clip_norm is None:
            return adam
        return optax.chain(clip_by_global_norm(self.clip_norm), adam)

    def on_rates(self, spikes: Any) -> Any:
        """The penalty on high rates in a layer."""
        return upper_rate_penalty(spikes, limit=self.spike_limit, strength=self.penalty)

    def trainer(self, task: Task, updates: int, part: int | None = None) -> Trainer:
        """What trains a stack, from rest."""
        return Trainer(
            task,
            self,
            epochs=updates,
            batch_size=self.batch_size,
            state=at_rest,
            part=part,
            outputs=side_by_side,
        )


def hidden(network: Stack) -> Stack:
    """The network without its readout."""
    return Stack(network.layers[:-1])


def at_rest(network: Stack) -> None:
    """Where trials start: a stack knows it."""


def side_by_side(network: Stack, inputs: Any, state: Any = None, keys: Any = None) -> tuple:
    """Outputs of every layer, each of shape (trial, time, neuron); the stack takes all trials at once."""
    del state, keys  # it starts at rest, and noise comes with the inputs
    outputs = network.all_over_time(jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), inputs))
    return tuple(jnp.swapaxes(x, 0, 1) for x in outputs)


class Given(Task, eqx.Module):
    """A task whose batches are given; a trial is the first of a batch."""

    def sample(self, key: Any, *, num_steps: int | None = None) -> Trial:
        """A trial."""
        return jax.tree.map(lambda x: x[0], self.batch(key, 0, 1))


class Labelled(Given):
    """Spike trains with labels; outputs are those of every layer, and the readout's largest say the class."""

    schedule: Schedule = eqx.field(static=True)

    def logits(self, values: Any) -> Any:
        """From the readout of all steps."""
        return values.max(1)

    def penalty(self, spikes: Any) -> Any:
        """On high rates in a layer, the mean over the trials."""
        return jax.vmap(self.schedule.on_rates)(spikes).mean()

    def loss(self, outputs: tuple, trial: Trial) -> Any:
        """Cross-entropy and penalties."""
        *below, values = outputs
        penalty = sum(self.penalty(spikes) for spikes in below)
        return cross_entropy(self.logits(values), trial.targets) + penalty

    def metrics(self, outputs: tuple, trial: Trial) -> dict[str, Metric]:
        """Accuracy, cross-entropy, and spikes per neuron and step of each layer."""
        *below, values = outputs
        logits = self.logits(values)
        return {
            "accuracy": Metric(accuracy_of(logits, trial.targets)),
            "cross-entropy": Metric(cross_entropy(logits, trial.targets), higher_is_better=False),
            "rates": Metric(jnp.stack([x.mean() for x in below]), higher_is_better=False),
        }


class Batch(Labelled):
    """A task that has one batch: that of the next update."""

    trials: Trial
    """Rasters, with uniform numbers beside them for stochastic neurons, and labels."""

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
    nothing = Batch(schedule, Trial(None, None))
    trainer = schedule.trainer(nothing, steps, schedule.part)
    realisation, key = begin(network, trainer), jax.random.key(seed)
    random = np.random.default_rng((seed, 1))
    record: dict[str, Any] = {"loss": [], "train": [], "validation": [], "spikes": []}
    start, seconds = time.perf_counter(), 0.0
    for epoch in range(schedule.epochs):
        by_batch = []
        for rasters, labels in data.batches("train", schedule.batch_size, seed=1000 * seed + epoch):
            batch = Trial(with_noise(network, rasters, random), jnp.asarray(labels))
            now = dataclasses.replace(trainer, task=Batch(schedule, batch))
            realisation, metrics = _update(realisation, key, 0, now)
            by_name = metrics.metrics
            by_batch.append((metrics.loss, by_name["accuracy"].value, by_name["rates"].value))
        loss, right, rates = (np.mean([np.asarray(m[i]) for m in by_batch], 0) for i in range(3))
        counts = data.num_steps * rates
        seconds = time.perf_counter() - start
        held = accuracy(realisation.network, data, "validation", schedule.batch_size, seed)
        values = float(loss), float(right), held, counts.tolist()
        for name, value in zip(record, values, strict=True):
            record[name].append(value)
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
