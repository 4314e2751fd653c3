"""How far the flossing loss and its gradient are from their matrix products, and where the rest goes.

    python benchmarks/products.py --json products.json

For each size of ``flossing_step.py`` (at every step, and "auto" after flossing):

- "products": what the products take at the rate that this machine has for matrices of these shapes, each
  measured by itself, one after the other in a compiled loop. Tangents: ``x W`` (forward), ``y W^T`` and
  ``x^T y`` (backward), x of shape (k, N). Factors, where tangents are renormalised: the Gram matrix
  ``x x^T``, the new vectors ``L^-1 x``, and three products of the derivative's backward pass.
- "step": what else pushing tangents takes, with its backward pass: the same scan without any
  orthonormalisation, less its products (elementwise work, storing and reading of tangents).
- "factors": all else: Cholesky factors and inverses of triangles, tests, copies, conditionals.

Everything takes turns in one process; milliseconds, medians. With ``NPROC=1`` XLA has one thread.
``--quick`` has two repetitions.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
from _flossing_problems import (
    Case,
    arguments_of,
    floor_value_and_grad,
    make_problem,
    our_value_and_grad,
)
from _timing import environment, interleave, markdown_table

import flossing as fl
from flossing.lyapunov._basis import Basis
from flossing.lyapunov._propagate import propagate

CASES = [
    Case("tanh", 64, 16, 512, 0.0),
    Case("tanh", 80, 75, 300, 0.0),
    Case("tanh", 512, 128, 60, 0.0),
    Case("tanh", 1024, 64, 60, 0.0),
    Case("LIF", 64, 50, 500, 0.0),
    Case("tanh", 80, 75, 300, 0.0, "auto", flossed=True),
    Case("tanh", 512, 128, 60, 0.0, "auto", flossed=True),
    Case("tanh", 1024, 64, 60, 0.0, "auto", flossed=True),
]


def tangents(x: jax.Array, weight: jax.Array) -> jax.Array:
    """The three products of pushing tangents and of its backward pass."""
    forward = x @ weight
    gradient = jax.lax.dot_general(x, forward, (((0,), (0,)), ((), ())))
    return forward @ gradient.T


def factors(x: jax.Array, triangle: jax.Array) -> jax.Array:
    """The two products of a factorisation and the three of its derivative's backward pass."""
    gram = x @ x.T
    vectors = triangle @ x
    inner = x @ vectors.T
    return triangle.T @ (x - (gram + inner) @ vectors)


def repeated(function: Any, x: jax.Array, other: jax.Array, times: int) -> Any:
    """A program that applies ``function`` so often, scaled such that numbers stay in range."""

    def body(x: jax.Array, _: None) -> tuple[jax.Array, None]:
        new = function(x, other)
        return new * jax.lax.rsqrt(jnp.mean(jnp.square(new[0])) + 1e-30), None

    program = jax.jit(lambda x: jax.lax.scan(body, x, None, length=times)[0])
    return lambda: jax.block_until_ready(program(x))


def renormalisations(case: Case, problem: Any) -> int:
    """How many there are in a window: growth is counted where one was."""
    if case.every == 1:
        return case.num_steps
    start = problem.state, Basis.start(problem.basis.T), problem.inputs
    logs = propagate(problem.cell, *start, case.num_steps, case.every)[2]
    return int(jnp.sum(jnp.any(logs.log_growth != 0, axis=1)))


def measure(case: Case, repetitions: int) -> dict[str, Any]:
    """All numbers of one case."""
    problem = make_problem(case)
    arguments = arguments_of(problem)
    k, n = case.num_exponents, problem.basis.shape[0]
    recurrent = case.hidden_size
    count = renormalisations(case, problem)
    first, second, third = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(first, (k, n)) / n**0.5
    # Of a LIF network the synaptic half of the tangents goes through the weights.
    weight = jax.random.normal(second, (recurrent, recurrent)) / recurrent**0.5
    triangle = jnp.tril(jax.random.normal(third, (k, k))) / k
    scale = jnp.exp(
        -fl.lyapunov_spectrum(*arguments[:3], basis=problem.basis, num_windows=1).exponents[0]
    )
    times = interleave(
        {
            "ours": lambda: jax.block_until_ready(our_value_and_grad(*arguments)),
            "floor": lambda: jax.block_until_ready(floor_value_and_grad(*arguments[:-1], scale)),
            "tangents": repeated(tangents, x[:, :recurrent], weight, case.num_steps),
            "factors": repeated(factors, x, triangle, count),
        },
        repetitions,
    )
    took = {name: 1e3 * found.median for name, found in times.items()}
    products = took["tangents"] + took["factors"]
    return {
        "case": str(case),
        "renormalisations": count,
        "ours, ms": took["ours"],
        "products of tangents": took["tangents"],
        "products of factors": took["factors"],
        "rest of the step": took["floor"] - took["tangents"],
        "rest of the factors": took["ours"] - took["floor"] - took["factors"],
        "ours / products": took["ours"] / products,
    }


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Flossing gradients against their products.")
    parser.add_argument("--quick", action="store_true", help="2 repetitions instead of 9")
    parser.add_argument("--json", type=Path, help="also write all numbers to this file")
    parser.add_argument("--only", nargs="*", default=[], help="words of the cases to run, e.g. LIF")
    options = parser.parse_args()
    conditions = {**environment("jax", "jaxlib"), "threads": os.environ.get("NPROC", "all")}
    for name, value in conditions.items():
        print(f"- {name.replace('_', ' ')}: {value}")
    rows = []
    for case in CASES:
        if all(word in str(case) for word in options.only):
            rows.append(measure(case, 2 if options.quick else 9))
            print(f"- done: {case}", file=sys.stderr)
    shown = [[f"{x:.3g}" if isinstance(x, float) else x for x in row.values()] for row in rows]
    print(f"\n{markdown_table(list(rows[0]), shown)}")
    if options.json:
        report = {"conditions": conditions, "cases": rows}
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
