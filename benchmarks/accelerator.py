"""Spectra and flossing gradients on whatever device JAX finds, best a GPU: one command, four tables.

    python benchmarks/accelerator.py --json accelerator.json

1. "auto" against every step: value and gradient of the flossing loss, for the sizes of
   ``flossing_step.py``, fresh and flossed. Gradients of both are compared first. "auto" is meant for CPUs
   (``fl.Flosser`` renormalises at every step elsewhere); the ratio says what it does on this device.
2. Large networks: N = 1024 to 4096 with k = 32 to 256, exponents alone and with gradient: time, rate of the
   products (``2 N^2 k T`` for exponents, ``6 N^2 k T`` with gradient), memory of the compiled program.
3. Many trajectories: exponents of 64 start states of one network, N = 128, k = 8, as one ``jax.vmap``, as a
   loop within one program, and as 64 calls of a compiled program. Exponents are compared first.
4. With ``--experiment binary-xor``: wall time of ``floss reproduce binary-xor``, in full.

Every timed call waits for its result (``jax.block_until_ready``), arguments are on the device before, and
programs are compiled before, which is shown apart. Functions take turns. Milliseconds are median (min - max).
``--quick`` takes small sizes and two repetitions, to check the script on a CPU. The exit status is 1 if
gradients or exponents differ.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from _flossing_problems import Case, make_problem
from _timing import environment, interleave, markdown_table, median_ratio

import flossing as fl

TOLERANCE = 2e-3
"""Largest relative difference of gradients, and of exponents, in float32."""
CASES = [
    *(
        Case("tanh", *size, 0.0)
        for size in [(64, 16, 512), (80, 75, 300), (512, 128, 60), (1024, 64, 60)]
    ),
    *(
        Case("tanh", *size, 0.0, flossed=True)
        for size in [(80, 75, 300), (512, 128, 60), (1024, 64, 60)]
    ),
    Case("LIF", 64, 50, 500, 0.0),
]
LARGE = [(1024, 32), (2048, 32), (4096, 32), (1024, 128), (1024, 256), (4096, 256)]
Program = Callable[[], Any]


class Compiled:
    """A function compiled for its arguments, which are on the device; calls wait for the result."""

    def __init__(self, function: Callable, *arguments: Any):
        arrays, rest = eqx.partition(arguments, eqx.is_array)
        self.arrays = jax.block_until_ready(jax.device_put(arrays))
        start = time.perf_counter()
        self.program = (
            jax.jit(lambda arrays: function(*eqx.combine(arrays, rest))).lower(arrays).compile()
        )
        self.seconds = time.perf_counter() - start

    def __call__(self) -> Any:
        return jax.block_until_ready(self.program(self.arrays))

    @property
    def mebibytes(self) -> float:
        """Memory for intermediate values, where the compiler says it."""
        analysis = self.program.memory_analysis()
        return math.nan if analysis is None else analysis.temp_size_in_bytes / 2**20


def squares(cell: Any, state: Any, inputs: Any, basis: Any, every: int | str) -> Any:
    """The flossing loss with targets of zero, from a given basis."""
    spectrum = fl.lyapunov_spectrum(
        cell, state, inputs, num_windows=1, basis=basis, renormalise_every=every
    )
    return jnp.mean(jnp.square(spectrum.exponents))


def difference(ours: Any, theirs: Any) -> float:
    """Largest over the arrays of max |a - b| / max |b|; infinite if anything is NaN."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    found = [np.abs(np.asarray(a) - b).max() / (np.abs(b).max() or 1) for a, b in pairs]
    return float(np.max(found)) if np.isfinite(found).all() else math.inf


def pace(cases: list[Case], repetitions: int) -> list[dict[str, Any]]:
    """Every step against "auto"."""
    rows = []
    for case in cases:
        problem = make_problem(case)
        arguments = problem.cell, problem.state, problem.inputs, problem.basis
        both = {
            every: Compiled(eqx.filter_value_and_grad(squares), *arguments, every)
            for every in (1, "auto")
        }
        apart = difference(both["auto"]()[1], both[1]()[1])
        times = interleave({str(every): run for every, run in both.items()}, repetitions)
        ratio, low, high = median_ratio(times["auto"], times["1"])
        rows.append(
            {
                "network": str(case),
                "every step, ms": str(times["1"]),
                "auto, ms": str(times["auto"]),
                "auto / every step": f"{ratio:.2f} ({low:.2f} - {high:.2f})",
                "compilation, s": f"{both[1].seconds:.1f}, {both['auto'].seconds:.1f}",
                "gradients differ by": apart,
            }
        )
        print(f"- done: {case}", file=sys.stderr)
    return rows


def large(sizes: list[tuple[int, int]], steps: int, repetitions: int) -> list[dict[str, Any]]:
    """Large networks, one at a time, so that each has the memory for itself."""
    rows = []
    for n, k in sizes:
        problem = make_problem(Case("tanh", n, k, steps, 0.0))
        arguments = problem.cell, problem.state, problem.inputs, problem.basis, 1
        for name, function, products in (
            ("exponents", squares, 2),
            ("gradient", eqx.filter_value_and_grad(squares), 6),
        ):
            run = Compiled(function, *arguments)
            taken = interleave({name: run}, repetitions)[name]
            rows.append(
                {
                    "N": n,
                    "k": k,
                    "T": steps,
                    "": name,
                    "ms": str(taken),
                    "products, TFLOP/s": f"{products * n**2 * k * steps / taken.median / 1e12:.3f}",
                    "memory, MiB": f"{run.mebibytes:.0f}",
                    "compilation, s": f"{run.seconds:.1f}",
                }
            )
        print(f"- done: N = {n}, k = {k}", file=sys.stderr)
    return rows


def many(n: int, k: int, trajectories: int, steps: int, repetitions: int) -> list[dict[str, Any]]:
    """Exponents of many start states of one network."""
    cell = fl.TanhCell(1, n, key=jax.random.key(1))
    states = jax.random.normal(jax.random.key(2), (trajectories, n))
    inputs = jax.random.bernoulli(jax.random.key(3), 0.5, (trajectories, steps, 1)).astype(float)
    basis = jnp.asarray(np.linalg.qr(np.random.default_rng(1).normal(size=(n, k)))[0], jnp.float32)

    def one(cell: Any, state: Any, inputs: Any, basis: Any) -> Any:
        return fl.lyapunov_spectrum(cell, state, inputs, num_windows=1, basis=basis).exponents

    def mapped(cell: Any, states: Any, inputs: Any, basis: Any) -> Any:
        return jax.vmap(one, (None, 0, 0, None))(cell, states, inputs, basis)

    def looped(cell: Any, states: Any, inputs: Any, basis: Any) -> Any:
        return jax.lax.map(lambda at: one(cell, *at, basis), (states, inputs))

    single = [Compiled(one, cell, states[0], inputs[0], basis)]
    arrays = [(cell, states[i], inputs[i], basis) for i in range(trajectories)]
    arrays = jax.block_until_ready([jax.device_put(eqx.filter(a, eqx.is_array)) for a in arrays])
    runs = {
        "one vmap": Compiled(mapped, cell, states, inputs, basis),
        "a loop in one program": Compiled(looped, cell, states, inputs, basis),
        "a call each": lambda: jax.block_until_ready([single[0].program(a) for a in arrays]),
    }
    found = {name: np.asarray(run()) for name, run in runs.items()}
    times = interleave(runs, repetitions)
    rows = []
    for name in runs:
        ratio, low, high = median_ratio(times["a call each"], times[name])
        rows.append(
            {
                f"{trajectories} trajectories, N = {n}, k = {k}, T = {steps}": name,
                "ms": str(times[name]),
                "a call each / this": f"{ratio:.2f} ({low:.2f} - {high:.2f})",
                "exponents differ by": difference(found[name], found["a call each"]),
            }
        )
    return rows


def experiment(name: str, quick: bool) -> list[dict[str, Any]]:
    """Wall time of a published figure, start and compilation included."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "flossing.cli", "reproduce", name, "--directory", folder]
        start = time.perf_counter()
        done = subprocess.run([*command, *["--quick"] * quick], stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
    return [{"experiment": name, "seconds": f"{seconds:.0f}", "exit status": done.returncode}]


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 1 if numbers differ that should be equal."""
    parser = argparse.ArgumentParser(description="Spectra and gradients on this device.")
    parser.add_argument("--quick", action="store_true", help="small sizes, 2 repetitions, not 7")
    parser.add_argument("--experiment", help="also time this figure of floss reproduce")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    options = parser.parse_args(arguments)
    device = jax.devices()[0]
    conditions = {
        "device": f"{device.platform}: {device.device_kind}",
        **environment("jax", "jaxlib"),
    }
    for name, value in conditions.items():
        print(f"- {name.replace('_', ' ')}: {value}")
    if options.quick:
        small = [Case("tanh", 8, 3, 30, 0.0), Case("LIF", 8, 6, 40, 0.0)]
        tables = {
            "Every step and auto": pace(small, 2),
            "Large networks": large([(32, 4)], 10, 2),
            "Many trajectories": many(8, 2, 3, 10, 2),
        }
    else:
        tables = {
            "Every step and auto": pace(CASES, 7),
            "Large networks": large(LARGE, 60, 5),
            "Many trajectories": many(128, 8, 64, 300, 7),
        }
    if options.experiment:
        tables["Published figure"] = experiment(options.experiment, options.quick)
    different = []
    for title, rows in tables.items():
        apart = [value for row in rows for name, value in row.items() if "differ by" in name]
        different += [title] if any(value > TOLERANCE for value in apart) else []
        shown = [[f"{x:.0e}" if isinstance(x, float) else x for x in row.values()] for row in rows]
        print(f"\n{title}\n\n{markdown_table(list(rows[0]), shown)}")
    if options.json:
        report = {"conditions": conditions, "tables": tables}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if different:
        print(f"Numbers differ: {', '.join(different)}.", file=sys.stderr)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
