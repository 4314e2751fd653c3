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


def compare(case: Case, others: dict[str, Side]) -> dict[str, Any]:
    """Differences to ours, over the first steps and over all; largest standard error of ours."""
    report: dict[str, Any] = {}
    k, every = case.num_exponents, case.every
    for word, steps in (("first", case.compared_steps), ("all", case.num_steps)):
        mine = ours(case.system, k, steps, every)()
        report[word] = {}
        everyone = {"auto": Side(lambda *a: ours(*a[:-1], "auto"), "jax"), **others}
        for name, side in everyone.items():
            run = side.build(case.system, k, steps, every)
            if run is not None:
                report[word][name] = difference(run(), mine)
    report["exponents"] = mine.tolist()
    wrong = [n for n, d in report["first"].items() if d > TOLERANCE]
    report["wrong"] = [n for n in wrong if n == "auto" or others[n].same]
    return report


def measure(case: Case, others: dict[str, Side], repetitions: int) -> dict[str, Any]:
    """Seconds per call of each side, and of its first call."""
    system, *rest = case.system, case.num_exponents, case.num_steps
    runs = {"ours": ours(system, *rest, case.every), "ours, auto": ours(system, *rest, "auto")}
    for name, side in others.items():
        run = side.build(system, *rest, case.every)
        if run is not None:
            runs[name] = run
    first = {}
    for name, run in runs.items():
        start = time.perf_counter()
        run()
        first[name] = time.perf_counter() - start
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
        }
    slower = [n for n, row in rows.items() if row["ratio"] < 1 and not n.startswith("ours")]
    return {"case": str(case), "rows": rows, "faster_than_ours": slower}


def table(measured: dict[str, Any], compared: dict[str, Any]) -> str:
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
        key = name.removeprefix("ours, ")
        low, high = row["ratio_range"]
        rows.append(
            [
                name,
                row["shown"],
                f"{row['microseconds_per_step']:.1f}",
                "" if name == "ours" else f"{row['ratio']:.2f} ({low:.2f} - {high:.2f})",
                f"{row['first_call_seconds']:.1f}",
                *(
                    f"{compared[w][key]:.0e}" if key in compared[w] else ""
                    for w in ("first", "all")
                ),
            ]
        )
    return markdown_table(header, rows)


def main(arguments: list[str] | None = None) -> int:
    """Compares exponents, measures, prints tables; 1 if exponents differ."""
    parser = argparse.ArgumentParser(description="Lyapunov spectra: ours against other libraries.")
    parser.add_argument("--quick", action="store_true", help="small systems, 2 repetitions not 7")
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
            compared = compare(case, others)
            measured = measure(case, others, 2 if options.quick else 7)
            results.append({**measured, "differences": compared})
            print(f"\n{case}: dimensions, exponents, steps\n\n{table(measured, compared)}")
            if measured["faster_than_ours"]:
                print(f"\nFaster than ours: {', '.join(measured['faster_than_ours'])}")
    if options.json:
        report = {"conditions": conditions, "results": results}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    wrong = {r["case"]: r["differences"]["wrong"] for r in results if r["differences"]["wrong"]}
    for case_name, names in wrong.items():
        print(f"{case_name}: exponents differ: {', '.join(names)}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
