"""Lyapunov spectra without gradients: ours against lyapax, chaotax, clvlib and Lyapynov.

Claim: on the same trajectory all give the same digits, and on a CPU ours is faster than each of them, with
the same interval between renormalisations.

Command (the other libraries are not needed; a missing one is left out with a line)::

    pip install lyapax chaotax clvlib lyapynov torch
    python benchmarks/spectra_libraries.py --json spectra_libraries.json

``--quick`` has small systems and few repetitions. The exit status is 1 if exponents differ.

What is compared. Lorenz 63 and Lorenz 96 (40 dimensions) as the map of one classical Runge-Kutta step of
0.01, and a chaotic tanh network of 256 units, without input. Float64 everywhere (the libraries for NumPy
know nothing else, lyapax asks for it). Same map, start, start basis (unit vectors), number of steps and
interval of renormalisation. Libraries in JAX get the same step function as ours and are compiled as a whole,
outside the timing; those in NumPy and PyTorch get the right side and its analytic Jacobian. BLAS and LAPACK
have one thread. "auto" is our option ``renormalise_every="auto"``; its ratio is not the one that is claimed.

Equality is decided over the first steps, before rounding errors, which grow with the first exponent, tell
trajectories apart: largest difference of any exponent over the largest in size, at most 1e-6. "all steps" is
the difference over the whole run; there it is as large as the exponents are uncertain. Lyapynov's own way
with flows, one Jacobian for all of a step, has an error of the first order in the step and is shown apart.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
from _spectra_sides import Side, ours, sides
from _spectra_systems import System, lorenz_63, lorenz_96, tanh_network
from _timing import environment, interleave, markdown_table, median_ratio

TOLERANCE = 1e-6


class Case(NamedTuple):
    """A system and what of it is computed."""

    system: System
    num_exponents: int
    num_steps: int
    compared_steps: int
    every: int = 1

    def __str__(self) -> str:
        size = f"{self.system.size}, {self.num_exponents}, {self.num_steps}"
        often = "" if self.every == 1 else f", every {self.every}"
        return f"{self.system.name} ({size}){often}"


def cases(quick: bool) -> list[Case]:
    """All of them; or small ones that compile and run in seconds."""
    if quick:
        return [
            Case(lorenz_63(), 3, 200, 100),
            Case(tanh_network(12), 4, 60, 20, 2),
        ]
    flow, ring, network = lorenz_63(), lorenz_96(), tanh_network()
    return [
        Case(flow, 3, 10_000, 1000),
        Case(flow, 3, 10_000, 1000, 10),
        Case(ring, 40, 1000, 500),
        Case(ring, 40, 1000, 500, 10),
        Case(network, 32, 300, 20),
        Case(network, 256, 60, 20),
    ]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest exponent; infinite if anything is NaN."""
    worst = np.abs(np.sort(found)[::-1] - np.sort(expected)[::-1]).max() / np.abs(expected).max()
    return float(worst) if np.isfinite(worst) else float("inf")


def build(case: Case, steps: int, others: dict[str, Side]) -> dict[str, Any]:
    """Our runs and those of the libraries that offer the case, by name."""
    arguments = case.system, case.num_exponents, steps
    runs = {"ours": ours(*arguments, case.every), "ours, auto": ours(*arguments, "auto")}
    for name, side in others.items():
        run = side.build(*arguments, case.every)
        if run is not None:
            runs[name] = run
    return runs


def first_calls(runs: dict[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """What each found, and the seconds of its first call."""
    found, seconds = {}, {}
    for name, run in runs.items():
        start = time.perf_counter()
        found[name] = run()
        seconds[name] = time.perf_counter() - start
    return found, seconds


def differences(found: dict[str, np.ndarray]) -> dict[str, float]:
    """To ours, by name."""
    return {n: difference(x, found["ours"]) for n, x in found.items() if n != "ours"}


def measure(case: Case, others: dict[str, Side], repetitions: int) -> dict[str, Any]:
    """Differences, then seconds per call of each side, and of its first call."""
    runs = build(case, case.num_steps, others)
    found, first = first_calls(runs)
    beginning = whole = differences(found)
    if case.compared_steps < case.num_steps:
        beginning = differences(first_calls(build(case, case.compared_steps, others))[0])
    wrong = [n for n, d in beginning.items() if d > TOLERANCE]
    times = interleave(runs, repetitions)
    rows = {}
    for name, t in times.items():
        ratio, low, high = median_ratio(t, times["ours"])
        rows[name] = {
            "shown": str(t),
            "seconds": t.seconds,
            "microseconds_per_step": 1e6 * t.median / case.num_steps,
            "ratio": ratio,
            "ratio_range": [low, high],
            "first_call_seconds": first[name],
            "difference_first_steps": beginning.get(name),
            "difference_all_steps": whole.get(name),
        }
    slower = [n for n, row in rows.items() if row["ratio"] < 1 and not n.startswith("ours")]
    return {
        "case": str(case),
        "exponents": found["ours"].tolist(),
        "wrong": [n for n in wrong if n not in others or others[n].same],
        "faster_than_ours": slower,
        "rows": rows,
    }


def table(measured: dict[str, Any]) -> str:
    """One case in Markdown."""
    header = [
        "",
        "ms per run",
        "us per step",
        "over ours",
        "first call, s",
        "first steps",
        "all steps",
    ]
    rows = []
    for name, row in measured["rows"].items():
        low, high = row["ratio_range"]
        digits = row["difference_first_steps"], row["difference_all_steps"]
        rows.append(
            [
                name,
                row["shown"],
                f"{row['microseconds_per_step']:.1f}",
                "" if name == "ours" else f"{row['ratio']:.2f} ({low:.2f} - {high:.2f})",
                f"{row['first_call_seconds']:.1f}",
                *("" if d is None else f"{d:.0e}" for d in digits),
            ]
        )
    return markdown_table(header, rows)


def main(arguments: list[str] | None = None) -> int:
    """Compares exponents, measures, prints tables; 1 if exponents differ."""
    parser = argparse.ArgumentParser(description="Lyapunov spectra: ours against other libraries.")
    parser.add_argument("--quick", action="store_true", help="small systems, 2 repetitions, not 7")
    parser.add_argument("--only", nargs="*", default=[], help="words of the cases to run")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    options = parser.parse_args(arguments)
    others = sides()
    for name, side in others.items():
        if side.missing:
            print(f"- left out: {name}, because {' and '.join(side.missing)} is not installed")
    others = {name: side for name, side in others.items() if not side.missing}
    packages = {"lyapax", "chaotax", "clvlib", "lyapynov"} & {
        name.split(" ")[0].lower() for name in others
    }
    conditions = environment("jax", "jaxlib", "numpy", "scipy", *sorted(packages))
    for name, value in conditions.items():
        print(f"- {name.replace('_', ' ')}: {value}")
    results = []
    with jax.enable_x64(True):
        for case in cases(options.quick):
            if options.only and not any(word in str(case) for word in options.only):
                continue
            measured = measure(case, others, 2 if options.quick else 7)
            results.append(measured)
            print(f"\n{case}: dimensions, exponents, steps\n\n{table(measured)}", flush=True)
            if measured["faster_than_ours"]:
                print(f"\nFaster than ours: {', '.join(measured['faster_than_ours'])}")
    if options.json:
        report = {"conditions": conditions, "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    wrong = {r["case"]: r["wrong"] for r in results if r["wrong"]}
    for case_name, names in wrong.items():
        print(f"{case_name}: exponents differ: {', '.join(names)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
