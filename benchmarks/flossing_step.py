"""Value and gradient of the flossing loss: ours against a plain PyTorch implementation.

Claim: with the same weights, inputs, start state and start basis both give the same gradient (relative
difference at most 1e-4). Aim: on a CPU ours is faster at least by

    tanh network, N = 64,  k = 16,  T = 512     8x
    tanh network, N = 80,  k = 75,  T = 300     2x
    tanh network, N = 512, k = 128, T = 60      1.3x
    LIF network,  N = 64 (128 dimensions), k = 50, T = 500     3x

Each of these sizes has two rows: with ``renormalise_every="auto"`` (the default in training: as rarely as
precision allows) and with 1, at every step, as PyTorch does. Both compute the same exponents. Further
rows are for N = 1024, k = 64, T = 60 (at least 1.3x), and for networks whose k exponents were flossed to
zero before, which auto renormalises rarely.

Command (writes the table to the terminal; needs PyTorch: ``pip install "flossing[bench]"``)::

    python benchmarks/flossing_step.py --json flossing_step.json

``--quick`` has fewer repetitions. The exit status is 1 if gradients differ.

What is compared. The loss is the mean of the squared leading exponents, differentiated in recurrent
weights, input weights and (tanh) biases. The PyTorch side is what one writes from the paper: a loop
over time with the dense analytic Jacobian, ``torch.linalg.qr`` in every step, ``backward`` through all of
it. It is timed with one thread and with its default number, and the faster of the two counts. Ours is
compiled once, outside the timing; the first call is shown apart. Ours runs with one OpenBLAS thread, in
which its LAPACK calls run, and with XLA's own threads (as many as cores; ``NPROC=1`` for one).

"floor" is the same scan without QR: value and gradient of tangents that are only pushed. What is above it
is the price of QR and its derivative.

How gradients are compared: for each weight array the largest difference over the largest entry, and of
those the largest. Where rounding in float32 alone makes that exceed 1e-4, equality is decided in float64
on both sides (at most 1e-8), and the float32 difference stands beside it.
"""

import argparse
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import torch
from _flossing_problems import (
    CASES,
    Case,
    Problem,
    arguments_of,
    floor_value_and_grad,
    make_problem,
    our_value_and_grad,
    weights,
)
from _timing import environment, interleave, markdown_table, median_ratio
from _torch_flossing import run_torch, torch_model, torch_value_and_grad

import flossing as fl

FLOAT32_TOLERANCE = 1e-4
FLOAT64_TOLERANCE = 1e-8


def run_ours(problem: Problem) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients by name."""
    loss, grads = our_value_and_grad(*arguments_of(problem))
    return float(loss), {name: np.asarray(getattr(grads, name)) for name in weights(problem)}


def difference(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> float:
    """Largest over the arrays of max |a - b| / max |b|; infinite if anything is NaN."""
    worst = np.max([np.abs(ours[n] - theirs[n]).max() / np.abs(theirs[n]).max() for n in theirs])
    return float(worst) if np.isfinite(worst) else math.inf


def check(case: Case) -> dict[str, Any]:
    """Losses and differences of gradients in float32 and float64."""
    problem = make_problem(case)
    ours, theirs = run_ours(problem), run_torch(problem)
    with jax.enable_x64(True):
        double = make_problem(case, np.float64)
        our_double, their_double = run_ours(double), run_torch(double)
    report = {
        "loss": ours[0],
        "loss_pytorch": theirs[0],
        "loss_difference": abs(ours[0] - theirs[0]) / abs(theirs[0]),
        "gradient_difference_float32": difference(ours[1], theirs[1]),
        "gradient_difference_float64": difference(our_double[1], their_double[1]),
        "our_float32_rounding": difference(ours[1], our_double[1]),
        "pytorch_float32_rounding": difference(theirs[1], our_double[1]),
    }
    single = report["gradient_difference_float32"] <= FLOAT32_TOLERANCE
    double = report["gradient_difference_float64"] <= FLOAT64_TOLERANCE
    report["decided_in"] = "float32" if single else "float64"
    report["gradients_equal"] = double and (single or report["loss_difference"] < 1e-3)
    return report


def firing_rate(problem: Problem) -> float | None:
    """Spikes per neuron and second; ``None`` without spikes."""
    if isinstance(problem.cell, fl.TanhCell):
        return None
    cell = problem.cell

    def body(state: Any, input: jax.Array) -> tuple[Any, jax.Array]:
        return cell(state, input), cell.output(state)

    spikes = jax.lax.scan(body, problem.state, problem.inputs)[1]
    return float(spikes.mean() / (cell.time_step * 1e-3))


def measure(case: Case, repetitions: int, default_threads: int) -> dict[str, Any]:
    """All numbers of one case."""
    problem = make_problem(case)
    arguments = arguments_of(problem)
    start = time.perf_counter()
    jax.block_until_ready(our_value_and_grad(*arguments))
    first_call = time.perf_counter() - start
    equality = check(case)
    exponents = fl.lyapunov_spectrum(
        problem.cell, problem.state, problem.inputs, basis=problem.basis
    ).exponents
    scale = jnp.exp(-exponents[0])
    model = torch_model(problem)

    def pytorch(threads: int) -> Any:
        def call() -> None:
            torch.set_num_threads(threads)
            torch_value_and_grad(model)

        return call

    times = interleave(
        {
            "ours": lambda: jax.block_until_ready(our_value_and_grad(*arguments)),
            "PyTorch, 1 thread": pytorch(1),
            **(
                {f"PyTorch, {default_threads} threads": pytorch(default_threads)}
                if default_threads > 1
                else {}
            ),
            "floor": lambda: jax.block_until_ready(floor_value_and_grad(*arguments[:-1], scale)),
        },
        repetitions,
    )
    best = min((n for n in times if n.startswith("PyTorch")), key=lambda n: times[n].median)
    ratio, low, high = median_ratio(times[best], times["ours"])
    return {
        "case": str(case),
        "seconds": {name: t.seconds for name, t in times.items()},
        "shown": {name: str(t) for name, t in times.items()},
        "fastest_pytorch": best,
        "ratio": ratio,
        "ratio_range": [low, high],
        "required": case.required,
        "passed": ratio >= case.required,
        "ours_over_floor": times["ours"].median / times["floor"].median,
        "first_call_seconds": first_call,
        "firing_rate_hz": firing_rate(problem),
        "first_and_last_exponent": [float(exponents[0]), float(exponents[-1])],
        **equality,
    }


def main() -> int:
    """Runs the cases, prints the tables; 1 if gradients differ."""
    parser = argparse.ArgumentParser(
        description="Flossing loss and gradient: ours against PyTorch."
    )
    parser.add_argument("--quick", action="store_true", help="3 repetitions instead of 9")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    parser.add_argument("--only", nargs="*", default=[], help="words of the cases to run, e.g. LIF")
    arguments = parser.parse_args()
    repetitions = 3 if arguments.quick else 9
    default_threads = torch.get_num_threads()

    conditions = {
        **environment("jax", "jaxlib", "torch", "numpy", "scipy"),
        "openblas_threads": os.environ["OPENBLAS_NUM_THREADS"],
        "xla_threads": os.environ.get("NPROC", os.cpu_count()),
        "pytorch_default_threads": default_threads,
        "repetitions": repetitions,
        "dtype": "float32",
    }
    for name, value in conditions.items():
        print(f"- {name.replace('_', ' ')}: {value}")
    results = []
    for case in CASES:
        if all(word in str(case) for word in arguments.only):
            results.append(measure(case, repetitions, default_threads))
            print(f"- done: {case}", file=sys.stderr)
    print_tables(results)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"conditions": conditions, "cases": results}, indent=1) + "\n",
            encoding="utf-8",
        )
    different = [result["case"] for result in results if not result["gradients_equal"]]
    if different:
        print(f"Gradients differ: {', '.join(different)}.", file=sys.stderr)
    return 1 if different else 0


def print_tables(results: list[dict[str, Any]]) -> None:
    """Times and gradients as Markdown."""
    if not results:
        return
    names = list(results[0]["shown"])
    print("\nMilliseconds per value and gradient: median (min - max). Cases are (N, k, T).\n")
    print(
        markdown_table(
            ["case", *names, "ratio (min - max)", "required", "", "ours / floor", "first call, s"],
            [
                [
                    r["case"],
                    *(r["shown"][name] for name in names),
                    "{:.2f} ({:.2f} - {:.2f})".format(r["ratio"], *r["ratio_range"]),
                    r["required"],
                    "pass" if r["passed"] else "FAIL",
                    f"{r['ours_over_floor']:.2f}",
                    f"{r['first_call_seconds']:.1f}",
                ]
                for r in results
            ],
        )
    )
    print("\nRatio: the faster PyTorch over ours. First call: tracing, compiling and one run.\n")
    print(
        markdown_table(
            [
                "case",
                "loss",
                "gradients, float32",
                "gradients, float64",
                "ours to float64",
                "PyTorch to float64",
                "equal",
                "lambda 1 and k",
                "rate, Hz",
            ],
            [
                [
                    r["case"],
                    f"{r['loss']:.6g}",
                    f"{r['gradient_difference_float32']:.1e}",
                    f"{r['gradient_difference_float64']:.1e}",
                    f"{r['our_float32_rounding']:.1e}",
                    f"{r['pytorch_float32_rounding']:.1e}",
                    f"{'yes' if r['gradients_equal'] else 'NO'} ({r['decided_in']})",
                    "{:.3f}, {:.3f}".format(*r["first_and_last_exponent"]),
                    "" if r["firing_rate_hz"] is None else f"{r['firing_rate_hz']:.0f}",
                ]
                for r in results
            ],
        )
    )
    print("\nDifferences are relative; the last ones are those of float32 to float64 results.")


if __name__ == "__main__":
    sys.exit(main())
