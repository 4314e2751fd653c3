"""Training the Randman classifier: epochs per second, ours against the same network in plain PyTorch.

Claim: with the same weights and batch both have the same gradients (relative difference at most 1e-3 in
float32, 1e-8 in float64), and on a CPU an epoch of ours is at least 3 times as fast.

Command (needs PyTorch: ``pip install "flossing[bench]"``)::

    python benchmarks/classification_epoch.py --json classification_epoch.json

``--quick`` has fewer repetitions. The exit status is 1 if gradients differ.

What is compared. The deterministic network of ``floss reproduce classification``: 20 inputs, 100 steps, three
convolutional layers of LIF neurons (32, 64, 128 filters), a leaky readout, max-over-time cross-entropy with
the penalty on high rates, 12 000 training samples. A batch is loss, gradient and one Adam step. An epoch is
so many of them; data shuffling is counted on neither side. "step by step" is what one writes from the
equations: a
loop over time with three convolutions in each step. "layer by layer" computes each layer's convolution for
all steps at once, as ours does. Ours computes the gradients of five trials at once, and spreads them over the
cores of the CPU as devices of their own. PyTorch runs with one thread and with its default number, and the
faster counts.
Ours is compiled outside the timing.
"""

import argparse
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count() or 1))

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from _timing import environment, interleave, markdown_table, median_ratio
from _torch_classifier import TorchClassifier, our_layout

from flossing.experiments.lab.classifier import Architecture, Batch, Schedule
from flossing.tasks import Trial
from flossing.training import train_epoch
from flossing.training.trainer import begin

SAMPLES = 12_000
REQUIRED = 3.0


class Shape:
    """What the network needs to know of the data."""

    num_steps, input_size, classes = 100, 20, 15


def problem(batch: int, dtype: Any = np.float32, architecture: Architecture | None = None) -> tuple:
    """Network, rasters (time, trial, input) and labels; one spike per input in the first half."""
    rng = np.random.default_rng(0)
    times = rng.integers(0, Shape.num_steps // 2, (batch, Shape.input_size))
    rasters = np.zeros((Shape.num_steps, batch, Shape.input_size), dtype)
    trial, neuron = np.indices(times.shape)
    rasters[times, trial, neuron] = 1
    network = (architecture or Architecture()).build(Shape, "deterministic", jax.random.key(0))
    params, static = eqx.partition(network, eqx.is_inexact_array)
    # Drawn in one precision for both, and doubled so that all layers fire.
    params = jax.tree.map(lambda x: 2 * jnp.asarray(np.asarray(x, np.float32), dtype), params)
    return eqx.combine(params, static), rasters, rng.integers(0, Shape.classes, batch)


def our_side(network: Any, rasters: Any, labels: Any, schedule: Schedule, optimiser: Any) -> tuple:
    """Arguments of ``train_epoch`` for one update on this batch."""
    batch = Trial(jnp.asarray(rasters).swapaxes(0, 1), jnp.asarray(labels))
    trainer = schedule.trainer(Batch(schedule, batch), 1, schedule.part)
    trainer = dataclasses.replace(trainer, optimiser=optimiser)
    return begin(network, trainer), jax.random.key(0), 0, trainer


def our_gradients(network: Any, rasters: Any, labels: Any, schedule: Schedule) -> tuple:
    """Loss and gradients, kernels first."""

    def init(params: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple:
        return state, updates

    keep = optax.GradientTransformation(init, update)
    arguments = our_side(network, rasters, labels, schedule, keep)
    done, metrics = eqx.filter_jit(train_epoch)(*arguments)
    *layers, readout = done.optimiser.layers
    return float(metrics.loss), [
        np.asarray(x) for x in (*(layer.convolution.kernel for layer in layers), readout.weight)
    ]


def torch_gradients(model: TorchClassifier, rasters: Any, labels: Any, at_once: bool) -> tuple:
    """Loss and gradients in our layout."""
    inputs = torch.tensor(rasters)[:, :, None]
    loss = model.loss(inputs, torch.tensor(labels), at_once=at_once)
    found = torch.autograd.grad(loss, model.weights)
    return loss.item(), our_layout([g.numpy() for g in found])


def difference(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """Largest over the arrays of max |a - b| / max |b|; infinite if anything is NaN."""
    worst = np.max(
        [np.abs(a - b).max() / np.abs(b).max() for a, b in zip(ours, theirs, strict=True)]
    )
    return float(worst) if np.isfinite(worst) else float("inf")


def compare(batch: int) -> dict[str, Any]:
    """Losses and differences of gradients in both precisions."""
    schedule = Schedule()
    report = {}
    for name, dtype, x64 in (("float32", np.float32, False), ("float64", np.float64, True)):
        with jax.enable_x64(x64):
            network, rasters, labels = problem(batch, dtype)
            value, ours = our_gradients(network, rasters, labels, schedule)
            model = TorchClassifier(network, schedule.penalty, schedule.spike_limit)
            both = [torch_gradients(model, rasters, labels, flag) for flag in (False, True)]
        report[name] = {
            "loss": [value, *(v for v, _ in both)],
            "gradient_difference": max(difference(ours, g) for _, g in both),
        }
    report["equal"] = (
        report["float32"]["gradient_difference"] <= 1e-3
        and report["float64"]["gradient_difference"] <= 1e-8
    )
    return report


def measure(batch: int, repetitions: int) -> dict[str, Any]:
    """Seconds per batch of each side."""
    schedule = Schedule()
    network, rasters, labels = problem(batch)
    step = eqx.filter_jit(train_epoch)
    arguments = our_side(network, rasters, labels, schedule, optax.adam(1e-4))
    start = time.perf_counter()
    jax.block_until_ready(step(*arguments))
    first = time.perf_counter() - start
    model = TorchClassifier(network, schedule.penalty, schedule.spike_limit)
    adam = torch.optim.Adam(model.weights, lr=1e-4)
    inputs, target = torch.tensor(rasters)[:, :, None], torch.tensor(labels)

    def pytorch(at_once: bool, threads: int) -> Any:
        def call() -> None:
            torch.set_num_threads(threads)
            adam.zero_grad()
            model.loss(inputs, target, at_once=at_once).backward()
            adam.step()

        return call

    threads = sorted({1, torch.get_num_threads()})
    sides = {"ours": lambda: jax.block_until_ready(step(*arguments))}
    for word, flag in (("step by step", False), ("layer by layer", True)):
        for n in threads:
            sides[f"PyTorch {word}, threads: {n}"] = pytorch(flag, n)
    times = interleave(sides, repetitions, at_least=0.0)
    rows = {}
    for word in ("step by step", "layer by layer"):
        mine = [name for name in times if word in name]
        best = min(mine, key=lambda name: times[name].median)
        ratio, low, high = median_ratio(times[best], times["ours"])
        rows[word] = {"fastest": best, "ratio": ratio, "ratio_range": [low, high]}
    per_epoch = SAMPLES / batch
    return {
        "batch": batch,
        "seconds": {name: t.seconds for name, t in times.items()},
        "epochs_per_second": {n: 1 / (per_epoch * t.median) for n, t in times.items()},
        "against": rows,
        "required": REQUIRED,
        "passed": rows["step by step"]["ratio"] >= REQUIRED,
        "first_call_seconds": first,
    }


def main() -> int:
    """Compares gradients, measures, prints tables; 1 if gradients differ."""
    parser = argparse.ArgumentParser(
        description="An epoch of the classifier: ours against PyTorch."
    )
    parser.add_argument("--quick", action="store_true", help="3 repetitions instead of 7")
    parser.add_argument("--batch", type=int, nargs="*", default=[100, 400])
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    arguments = parser.parse_args()
    conditions = environment("jax", "jaxlib", "torch", "numpy")
    for name, value in conditions.items():
        print(f"- {name.replace('_', ' ')}: {value}")
    equality = compare(20)
    for precision in ("float32", "float64"):
        found = equality[precision]
        print(
            f"- gradients, {precision}: relative difference {found['gradient_difference']:.1e}, "
            f"losses {', '.join(f'{v:.7g}' for v in found['loss'])}"
        )
    results = []
    for batch in arguments.batch:
        results.append(measure(batch, 3 if arguments.quick else 7))
        found = results[-1]
        print(
            f"\nBatches of {batch}; ratio: the faster of PyTorch's threads over ours, median (range).\n"
        )
        print(
            markdown_table(
                ["", "epochs per second", "s per epoch"],
                [[n, f"{r:.4f}", f"{1 / r:.1f}"] for n, r in found["epochs_per_second"].items()],
            )
        )
        for word, row in found["against"].items():
            low, high = row["ratio_range"]
            verdict = "" if word != "step by step" else ("pass" if found["passed"] else "FAIL")
            print(f"\n{word}: {row['ratio']:.2f} ({low:.2f} - {high:.2f}) {verdict}")
    if arguments.json:
        report = {"conditions": conditions, "gradients": equality, "results": results}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if not equality["equal"]:
        print("Gradients differ.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
