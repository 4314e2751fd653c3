"""Growth: time and memory of value and gradient of the flossing loss as each size doubles.

Claim: time grows in proportion to steps, start states and realisations. Memory does not grow with
realisations (on a CPU they are computed one after the other), grows like T where all steps are stored,
and more slowly where ``store_every`` is about ``sqrt(T / 2)`` steps, which the default ``"auto"`` chooses
where all steps would take more than 1 GiB: like the square root of T, and beside it the inputs and a few
numbers per step and exponent, which grow like T and are the larger part for long sequences.

Command (prints Markdown tables; under 6 minutes on one idle core)::

    python benchmarks/growth.py --json growth.json

``--quick`` doubles twice. A long sequence::

    python benchmarks/growth.py --long 100000

does one gradient at N = 256, k = 32 (several minutes), with the default ``store_every``, and exits with 1
if it takes more than 4 GiB of resident memory. Large networks, exponents alone and gradients, with one
thread and with two, three processes of each by turns (9 minutes)::

    python benchmarks/growth.py --large

What is measured. A tanh network with an orthogonal recurrent matrix (exponents near zero) and weak random
input; loss and gradient in all weights; renormalised when due (``"auto"``), where T doubles at every step.
Every size has a process of its own, in which the program is compiled first. "time": the fastest of up to
five calls. "compiled": what the compiled program reserves for intermediate values, as XLA says.
"resident": how far resident memory rises during the first call above what it was before the call,
results and the workspace of LAPACK included. "process": the highest resident memory of the process, with
Python, JAX and the compiler. One core, one thread. Memory in MiB.

The exponent is the slope of the last two doublings: 1 for twice as much, 0.5 for the square root of two.
"""

import argparse
import ctypes
import json
import math
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NPROC", "1")

from _timing import environment, markdown_table

MOST_GIB = 4.0
LARGE = [(1024, 32), (1024, 64), (1024, 128), (1024, 256), (2048, 32), (4096, 32), (4096, 256)]


@dataclass(frozen=True)
class Point:
    """One size."""

    N: int = 64
    k: int = 16
    T: int = 512
    starts: int = 1
    realisations: int = 1
    store_every: int | str = "auto"
    renormalise_every: int | str = "auto"
    gradient: bool = True
    threads: int = 1


def sweeps(doublings: int) -> dict[str, list[tuple[int, Point]]]:
    """The sizes by what doubles, each with the number that doubles."""

    def over(name: str, first: int, base: Point | None = None) -> list[tuple[int, Point]]:
        values = [first * 2**i for i in range(doublings + 1)]
        return [(value, replace(base or Point(), **{name: value})) for value in values]

    everything = over("T", 256, Point(N=256, store_every=1, renormalise_every=1))
    return {
        "N": over("N", 32),
        "k": over("k", 4),
        "T, all steps stored": everything,
        "T, every sqrt(T / 2) stored": [
            (
                steps,
                replace(point, store_every=math.ceil(math.sqrt(steps / 2)), renormalise_every=1),
            )
            for steps, point in everything
        ],
        "start states": over("starts", 1),
        "realisations": over("realisations", 1),
    }


def measure(point: Point) -> dict[str, float]:
    """Compiles and runs one size in this process."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    import flossing as fl

    orthogonal = fl.initialisers.Orthogonal()
    keys = jax.random.split(jax.random.key(1), point.realisations)

    def network(key: Any) -> fl.TanhCell:
        return fl.TanhCell(1, point.N, recurrent=orthogonal, input_gain=0.1, key=key)

    def value(cell: Any, states: Any, inputs: Any, key: Any) -> Any:
        one = point.starts == 1
        return fl.flossing_loss(
            cell,
            states[0] if one else states,
            inputs[0] if one else inputs,
            num_exponents=point.k,
            num_starts=None if one else point.starts,
            renormalise_every=point.renormalise_every,
            store_every=point.store_every,
            key=key,
            has_aux=True,
        )

    def alone(*arguments: Any) -> Any:
        return value(*arguments), arguments[0]

    gradient = eqx.filter_value_and_grad(value, has_aux=True) if point.gradient else alone
    cells = eqx.filter_vmap(network)(keys)
    states = jax.random.normal(jax.random.key(2), (point.starts, point.N))
    bits = jax.random.bernoulli(jax.random.key(3), 0.5, (point.starts, point.T, 1))
    arrays, rest = eqx.partition(cells, eqx.is_array)

    @jax.jit
    def all_networks(arrays: Any, states: Any, inputs: Any) -> Any:
        def one(at: tuple) -> Any:
            return gradient(eqx.combine(at[0], rest), states, inputs, at[1])

        if point.realisations == 1:
            return one((jax.tree.map(lambda x: x[0], arrays), keys[0]))
        return jax.lax.map(one, (arrays, keys))

    arguments = arrays, states, bits.astype(jnp.float32)
    start = time.perf_counter()
    program = all_networks.lower(*arguments).compile()
    compilation = time.perf_counter() - start
    compiled = program.memory_analysis().temp_size_in_bytes
    jax.block_until_ready(arguments)

    before = _forget_peak()
    start = time.perf_counter()
    (_, info), gradients = jax.block_until_ready(program(*arguments))
    seconds = [time.perf_counter() - start]
    rise = _resident("VmHWM") - before
    while len(seconds) < 5 and sum(seconds) < 2:
        start = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        seconds.append(time.perf_counter() - start)
    norm = math.sqrt(sum(float(jnp.sum(g.astype(float) ** 2)) for g in jax.tree.leaves(gradients)))
    if not math.isfinite(norm) or norm == 0:
        raise ArithmeticError(f"The norm of the gradient is {norm}.")
    exponents = info.exponents.reshape(-1, point.k)
    return {
        "milliseconds": 1e3 * min(seconds),
        "compiled": compiled / 2**20,
        "resident": rise,
        "process": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
        "compilation_seconds": compilation,
        "first_exponent": float(exponents[0, 0]),
        "last_exponent": float(exponents[0, -1]),
        "gradient_norm": norm,
    }


def _resident(name: str) -> float:
    """MiB of a line of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 2**10
    raise OSError(f"/proc/self/status: no line {name}.")


def _forget_peak() -> float:
    """Gives free memory back, makes the present resident memory the highest so far, returns it."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _resident("VmRSS")


def in_a_fresh_process(point: Point) -> dict[str, float]:
    """``measure`` in another process."""
    command = [sys.executable, __file__, "--point", json.dumps(asdict(point))]
    threads = {"NPROC": str(point.threads)}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | threads)
    if done.returncode:
        raise RuntimeError(f"{point}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def exponent(numbers: list[float]) -> float:
    """Slope of the last two doublings, or of the last one."""
    span = min(2, len(numbers) - 1)
    if min(numbers[-1], numbers[-1 - span]) <= 0:
        return math.nan
    return math.log2(numbers[-1] / numbers[-1 - span]) / span


def grow(doublings: int) -> dict[str, Any]:
    """All sizes; the same size is measured once."""
    known: dict[Point, dict[str, float]] = {}
    results = {}
    for name, points in sweeps(doublings).items():
        for _, point in points:
            if point not in known:
                known[point] = in_a_fresh_process(point)
        print(f"- done: {name}", file=sys.stderr)
        results[name] = {
            "values": [value for value, _ in points],
            "measured": [known[point] for _, point in points],
        }
    return results


def print_growth(results: dict[str, Any]) -> None:
    """One table of times, two of memory."""
    titles = {
        "milliseconds": "Milliseconds per value and gradient",
        "compiled": "Memory of the compiled program, MiB",
        "resident": "Rise of resident memory, MiB",
    }
    for quantity, title in titles.items():
        rows = []
        for name, result in results.items():
            numbers = [m[quantity] for m in result["measured"]]
            sizes = ", ".join(map(str, result["values"]))
            shown = [f"{x:.3g}" if x < 1000 else f"{x:.0f}" for x in numbers]
            rows.append([name, sizes, *shown, f"{exponent(numbers):.2f}"])
        columns = [f"x {2**i}" if i else "first" for i in range(len(rows[0]) - 3)]
        print(f"\n{title}.\n")
        print(markdown_table(["what doubles", "values", *columns, "exponent"], rows))


def long_ones(lengths: list[int], store_every: int | str) -> int:
    """Gradients over long sequences; 1 if one takes too much memory."""
    rows, most = [], 0.0
    for steps in lengths:
        found = in_a_fresh_process(Point(256, 32, steps, store_every=store_every))
        most = max(most, found["process"])
        rows.append(
            [
                steps,
                f"{found['milliseconds'] / 1e3:.1f}",
                *(f"{found[name]:.0f}" for name in ("compiled", "resident", "process")),
                f"{found['compilation_seconds']:.1f}",
                f"{found['first_exponent']:.4f}, {found['last_exponent']:.4f}",
            ]
        )
        print(f"- done: {steps} steps", file=sys.stderr)
    header = ["T", "seconds", "compiled", "resident", "process", "compilation, s", "lambda 1 and k"]
    print("\nOne gradient, N = 256, k = 32; memory in MiB.\n")
    print(markdown_table(header, rows))
    return int(most > MOST_GIB * 2**10)


def large_ones(sizes: list[tuple[int, int]], steps: int, rounds: int) -> list[dict[str, str]]:
    """Exponents and gradients of large networks, with one thread and with two.

    Processes by turns, ``rounds`` of each; the fastest counts.
    """
    rows = []
    for n, k in sizes:
        for gradient in (False, True):
            points = [Point(n, k, steps, gradient=gradient, threads=threads) for threads in (1, 2)]
            measured = [[in_a_fresh_process(point) for point in points] for _ in range(rounds)]
            one, two = (
                min(side, key=lambda run: run["milliseconds"])
                for side in zip(*measured, strict=True)
            )
            products = (6 if gradient else 2) * n**2 * k * steps
            rows.append(
                {
                    "N": str(n),
                    "k": str(k),
                    "": "gradient" if gradient else "exponents",
                    "one thread, ms": f"{one['milliseconds']:.0f}",
                    "two threads, ms": f"{two['milliseconds']:.0f}",
                    "one / two": f"{one['milliseconds'] / two['milliseconds']:.2f}",
                    "GFLOP/s of tangents": f"{products / two['milliseconds'] / 1e6:.0f}",
                    "compiled, MiB": f"{two['compiled']:.0f}",
                }
            )
        print(f"- done: N = {n}, k = {k}", file=sys.stderr)
    return rows


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description="How time and memory grow with each size.")
    parser.add_argument("--quick", action="store_true", help="two doublings instead of four")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    parser.add_argument(
        "--long", type=int, nargs="+", metavar="T", help="only these long sequences"
    )
    parser.add_argument("--large", action="store_true", help="only N = 1024 to 4096")
    parser.add_argument("--store-every", default="auto", help='for --long: steps, or "auto"')
    parser.add_argument("--point", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.point:
        print(json.dumps(measure(Point(**json.loads(arguments.point)))))
        return 0
    conditions = environment("jax", "jaxlib")
    for name, value in conditions.items():
        print(f"- {name.replace('_', ' ')}: {value}")
    if arguments.long:
        word = arguments.store_every
        return long_ones(arguments.long, word if word == "auto" else int(word))
    if arguments.large:
        sizes = [(256, 32)] if arguments.quick else LARGE
        rows = large_ones(sizes, 20, 1 if arguments.quick else 3)
        print(f"\nT = 20.\n\n{markdown_table(list(rows[0]), [list(r.values()) for r in rows])}")
        return 0
    results = grow(2 if arguments.quick else 4)
    print_growth(results)
    if arguments.json:
        report = {"conditions": conditions, "growth": results}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
