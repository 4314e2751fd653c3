"""Training: delayed XOR against ``torch.nn.RNN``, and a layer of LIF neurons against five spiking libraries.

Claim: losses and gradients are the same, and on a CPU ours is the fastest of all, or as fast as the fastest.

Command (the spiking libraries are not needed; a missing one is left out with a line)::

    pip install torch torchvision snntorch norse spikingjelly spyx jaxpike
    python benchmarks/training_libraries.py --json training_libraries.json

``--quick`` has small networks and few repetitions. The exit status is 1 if gradients differ.

Delayed XOR. A tanh network of 80 units (post-activation form, the one of ``torch.nn.RNN``), batches of 16
trials of 300 steps, delay 20, each array of the gradient clipped to a norm of 0.03, Adam (PyTorch's fused
one), trained start state. An epoch is one update on fresh data, which both sides draw themselves. Ours are
blocks of ``train_block``, one network on one core. PyTorch runs with one and with two threads, and the faster
counts. "Our products alone" are those of states with recurrent weights and of their backward pass, step by
step in a compiled loop: a yardstick, not a bound. Compared first: loss and gradient of a batch, and the
parameters after three epochs on the same batches, in float64 (at most 1e-8) and, loss and gradient, in
float32 (1e-4).

LIF layer. Loss and gradient, forward and backward, of one dense layer (100 inputs; no recurrence, which not
all libraries offer) over 250 steps, float32. The loss is the sum of all outputs times fixed random numbers.
Same equations on both sides: one membrane with a decay of exp(-1/10), surrogate derivative 1 / (1 + |x|)^2,
and the reset of the library, which each defines in its own way; ours is configured to it
(``_lif_layers.py``). All compute the currents of all steps by one product. PyTorch's run with
the faster of one thread and two; those in JAX are compiled, outside the timing, and use
XLA's own threads. Ours computes parts of the batch one after the other, spread over the cores as devices.
Compared first: gradients of a small layer (relative difference at most 1e-4).
"""

import argparse
import json
import math
import os
import sys
import time
import warnings
from importlib import util
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(os.cpu_count() or 1))

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _lif_layers import RESETS, Layer, Side, firing_rate, ours, sides
from _timing import environment, interleave, markdown_table, median_ratio
from products import repeated, tangents

import flossing as fl
from flossing.optimisers import Adam
from flossing.training.streams import Stream, stream

TOLERANCE = {"float32": 1e-4, "float64": 1e-8}
PART = 1000
"""Neurons times trials that ours computes at once, spread over the devices."""
SMALL = 2048
"""Neurons times trials up to which one device computes them all at once: sharing would take longer."""


def trainer_of(batch_size: int, num_steps: int) -> fl.training.Trainer:
    """Delayed XOR, Adam with clipped arrays, no flossing."""
    task = fl.tasks.DelayedXOR(delay=min(20, num_steps // 2 // 2 * 2), num_steps=num_steps)
    return fl.training.Trainer(task, Adam(), batch_size=batch_size)


def network(units: int) -> tuple[Any, Any]:
    """Networks along a leading axis of one, and their keys."""
    cell_key, network_key, key = jax.random.split(jax.random.key(1), 3)
    cell = fl.TanhCell(1, units, form="post-activation", key=cell_key)
    made = fl.training.Network(cell, 1, key=network_key)
    return jax.tree.map(lambda x: x[None], made), key[None]


def batch_of(trainer: Any, key: Any, epoch: int) -> tuple[Any, Any]:
    """The batch of ``train_block`` at an epoch: inputs and targets, trials first."""
    trial = trainer.task.batch(stream(key, Stream.DATA), epoch, trainer.batch_size)
    return trial.inputs, trial.targets


def compare_training(trainer: Any, units: int) -> dict[str, Any]:
    """Differences of loss, gradients and parameters after three epochs, in both precisions."""
    import torch
    from _torch_rnn import TorchTraining, numbers

    report = {}
    for precision, x64 in (("float32", False), ("float64", True)):
        with jax.enable_x64(x64):
            task, (networks, keys) = trainer.task, network(units)
            one = jax.tree.map(lambda x: x[0], networks)
            other = TorchTraining(one, trainer)
            batches = [batch_of(trainer, keys[0], epoch) for epoch in range(3)]
            turned = [
                tuple(torch.from_numpy(np.array(jnp.swapaxes(x, 0, 1))) for x in batch)
                for batch in batches
            ]

            def loss(network: Any, inputs: Any, targets: Any, task: Any = task) -> Any:
                mask = jnp.broadcast_to(jnp.arange(inputs.shape[1]) >= task.delay, inputs.shape[:2])
                outputs = jax.vmap(network)(inputs)
                return fl.tasks.binary_cross_entropy(outputs, targets, mask)

            value, gradient = eqx.filter_jit(eqx.filter_value_and_grad(loss))(one, *batches[0])
            their_loss = other.network.loss(*turned[0], task.delay)
            named = other.network.named()
            theirs = dict(zip(named, torch.autograd.grad(their_loss, named.values()), strict=True))
            state = fl.training.begin(networks, trainer)
            after, _ = fl.training.train_block(state, keys, 3, 3, trainer)
            for batch in turned:
                other.epoch(*batch)
            trained = numbers(jax.tree.map(lambda x: x[0], after.networks))
            report[precision] = {
                "loss": [float(value), their_loss.item()],
                "gradient": worst(numbers(gradient), {n: g.numpy() for n, g in theirs.items()}),
                "parameters": worst(trained, {n: p.detach().numpy() for n, p in named.items()}),
            }
    single, double = report["float32"], report["float64"]
    report["equal"] = (
        single["gradient"] <= TOLERANCE["float32"]
        and max(double["gradient"], double["parameters"]) <= TOLERANCE["float64"]
    )
    return report


def worst(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """Largest over the arrays of max |a - b| / max |b|; infinite if anything is NaN."""
    found = np.max([np.abs(ours[n] - theirs[n]).max() / np.abs(theirs[n]).max() for n in theirs])
    return float(found) if np.isfinite(found) else math.inf


def measure_training(trainer: Any, units: int, block: int, repetitions: int) -> dict[str, Any]:
    """Seconds per epoch of both sides."""
    import torch
    from _torch_rnn import TorchTraining

    networks, keys = network(units)
    state = fl.training.begin(networks, trainer)
    start = time.perf_counter()
    jax.block_until_ready(fl.training.train_block(state, keys, block, block, trainer))
    first = time.perf_counter() - start
    other = TorchTraining(jax.tree.map(lambda x: x[0], networks), trainer)

    def our_block() -> None:
        nonlocal state
        state, metrics = fl.training.train_block(state, keys, block, block, trainer)
        jax.block_until_ready((state.networks, metrics))

    def pytorch(threads: int) -> Any:
        def epochs() -> None:
            torch.set_num_threads(threads)
            for _ in range(block):
                other.epoch(*other.batch())

        return epochs

    names = {f"torch.nn.RNN, threads: {n}": pytorch(n) for n in (1, 2)}
    first_key, second_key = jax.random.split(jax.random.key(0))
    trials = jax.random.normal(first_key, (trainer.batch_size, units)) / units**0.5
    weight = jax.random.normal(second_key, (units, units)) / units**0.5
    alone = repeated(tangents, trials, weight, block * trainer.task.num_steps)
    runs = {"ours": our_block, "our products alone": alone, **names}
    times = interleave(runs, repetitions, at_least=0.0)
    best = min(names, key=lambda n: times[n].median)
    ratio, low, high = median_ratio(times[best], times["ours"])
    return {
        "seconds_per_epoch": {n: [s / block for s in t.seconds] for n, t in times.items()},
        "fastest_pytorch": best,
        "ratio": ratio,
        "ratio_range": [low, high],
        "first_call_seconds": first,
    }


def compare_layers(others: dict[str, Side], layer: Layer) -> dict[str, float]:
    """Relative differences of the gradients, and of the losses if that is larger."""
    report = {}
    mine: dict[str, tuple] = {}
    for name, side in others.items():
        if side.reset not in mine:
            mine[side.reset] = ours(layer, side.reset, layer.inputs.shape[1])()
        loss, gradient = mine[side.reset]
        their_loss, theirs = side.build(layer)()
        size = np.abs(layer.factors).sum()
        report[name] = max(
            worst({"weight": np.asarray(gradient)}, {"weight": np.asarray(theirs)}),
            abs(float(loss) - float(their_loss)) / float(size),
        )
    return report


def measure_layers(others: dict[str, Side], layer: Layer, repetitions: int) -> dict[str, Any]:
    """Seconds per forward and backward of each library, and of ours with its reset."""
    part = max(1, PART // len(layer.weight))
    devices = math.gcd(jax.local_device_count(), layer.inputs.shape[1])
    part = min(part, layer.inputs.shape[1] // devices)
    if layer.inputs.shape[1] * len(layer.weight) <= SMALL:
        part = layer.inputs.shape[1]
    used = dict.fromkeys(side.reset for side in others.values()) or list(RESETS)[:1]
    runs = {f"ours, {reset}": ours(layer, reset, part) for reset in used}
    for name, side in others.items():
        if not side.torch:
            runs[name] = side.build(layer)
            continue
        runs |= faster_threads(name, side.build(layer))
    first = {}
    for name, run in runs.items():
        start = time.perf_counter()
        run()
        first[name] = time.perf_counter() - start
    times = interleave(runs, repetitions)
    rows = {}
    for name, side in others.items():
        mine = f"ours, {side.reset}"
        best = next(n for n in times if n == name or n.startswith(f"{name}, threads"))
        ratio, low, high = median_ratio(times[best], times[mine])
        rows[name] = {
            "reset": side.reset,
            "fastest": best,
            "shown": str(times[best]),
            "ours_shown": str(times[mine]),
            "ratio": ratio,
            "ratio_range": [low, high],
        }
    return {
        "rows": rows,
        "seconds": {n: t.seconds for n, t in times.items()},
        "first_call_seconds": first,
    }


def faster_threads(name: str, run: Any) -> dict[str, Any]:
    """The run with one thread of PyTorch or with two, whichever was faster at the second call."""
    import torch

    def with_threads(threads: int) -> Any:
        def call() -> Any:
            torch.set_num_threads(threads)
            return run()

        return call

    seconds = {}
    for threads in (1, 2):
        call = with_threads(threads)
        call()
        start = time.perf_counter()
        call()
        seconds[threads] = time.perf_counter() - start
    best = min(seconds, key=lambda threads: seconds[threads])
    return {f"{name}, threads: {best}": with_threads(best)}


def show_training(trainer: Any, units: int, block: int, repetitions: int) -> dict[str, Any]:
    """Compares, measures and prints delayed XOR."""
    equality = compare_training(trainer, units)
    for precision in TOLERANCE:
        found = equality[precision]
        print(
            f"- delayed XOR, {precision}: losses {found['loss'][0]:.9g}, {found['loss'][1]:.9g}, gradients "
            f"differ by {found['gradient']:.0e}, parameters after three epochs by {found['parameters']:.0e}"
        )
    measured = measure_training(trainer, units, block, repetitions)
    rows = []
    for name, seconds in measured["seconds_per_epoch"].items():
        rates = sorted(1 / s for s in seconds)
        middle = 1 / float(np.median(seconds))
        rows.append([name, f"{middle:.1f} ({rates[0]:.1f} - {rates[-1]:.1f})"])
    low, high = measured["ratio_range"]
    size = f"N = {units}, B = {trainer.batch_size}, T = {trainer.task.num_steps}"
    print(f"\nDelayed XOR, {size}\n\n{markdown_table(['', 'epochs per second'], rows)}")
    print(f"\nOver {measured['fastest_pytorch']}: {measured['ratio']:.2f} ({low:.2f} - {high:.2f})")
    print(f"First call of ours: {measured['first_call_seconds']:.1f} s")
    return {"compared": equality, **measured}


def show_layers(
    others: dict[str, Side], compared: dict[str, float], layer: Layer, repetitions: int
) -> dict[str, Any]:
    """Measures and prints one size of the LIF layer."""
    found = measure_layers(others, layer, repetitions)
    steps, batch, _ = layer.inputs.shape
    rate = firing_rate(layer)
    print(f"\nLIF layer, batch {batch}, {len(layer.weight)} neurons, {steps} steps", end="")
    print(f" ({100 * rate:.1f} % spikes with subtracted resets)\n")
    header = ["", "reset", "ms", "ours, ms", "ratio", "first call, s", "gradients differ by"]
    rows = [
        [
            row["fastest"],
            row["reset"],
            row["shown"],
            row["ours_shown"],
            "{:.2f} ({:.2f} - {:.2f})".format(row["ratio"], *row["ratio_range"]),
            f"{found['first_call_seconds'][row['fastest']]:.1f}",
            f"{compared[name]:.0e}",
        ]
        for name, row in found["rows"].items()
    ]
    print(markdown_table(header, rows))
    mine = {n: t for n, t in found["first_call_seconds"].items() if n.startswith("ours")}
    print("\nFirst calls of ours: " + ", ".join(f"{t:.1f} s" for t in mine.values()))
    return {"batch": batch, "neurons": len(layer.weight), "rate": rate, **found}


def main(arguments: list[str] | None = None) -> int:
    """Compares gradients, measures, prints tables; 1 if gradients differ."""
    parser = argparse.ArgumentParser(description="Training: ours against other libraries.")
    parser.add_argument("--quick", action="store_true", help="small networks, 2 repetitions, not 7")
    parser.add_argument("--only", choices=["xor", "lif"], help="one of the two parts")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    options = parser.parse_args(arguments)
    others = sides()
    for name, side in others.items():
        if side.missing:
            print(f"- left out: {name}, because {' and '.join(side.missing)} is not installed")
    others = {name: side for name, side in others.items() if not side.missing}
    torch = ["torch"] if util.find_spec("torch") else []
    installed = {name.split(",")[0].lower() for name in others}
    conditions = environment("jax", "jaxlib", "numpy", *torch, *sorted(installed))
    for name, value in conditions.items():
        print(f"- {name.replace('_', ' ')}: {value}")
    repetitions = 2 if options.quick else 7
    report: dict[str, Any] = {"conditions": conditions, "layers": []}
    failed = []
    if options.only != "lif" and torch:
        steps, units, block = (30, 8, 3) if options.quick else (300, 80, 10)
        trainer = trainer_of(4 if options.quick else 16, steps)
        report["xor"] = show_training(trainer, units, block, repetitions)
        failed += [] if report["xor"]["compared"]["equal"] else ["delayed XOR"]
    elif options.only != "lif":
        print("- left out: delayed XOR, because torch is not installed")
    if options.only != "xor":
        small = Layer.make(3, 20, 60) if options.quick else Layer.make(4, 64)
        report["gradients"] = compare_layers(others, small)
        failed += [n for n, d in report["gradients"].items() if d > TOLERANCE["float32"]]
        sizes = (
            [(4, 16, 30)]
            if options.quick
            else [(b, n, 250) for b in (16, 128) for n in (128, 1024)]
        )
        for batch, neurons, steps in sizes:
            layer = Layer.make(batch, neurons, steps)
            few = min(repetitions, 3) if batch * neurons > 100_000 else repetitions
            report["layers"].append(show_layers(others, report["gradients"], layer, few))
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if failed:
        print(f"Gradients differ: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    warnings.filterwarnings("ignore", module="torch")
    sys.exit(main())
