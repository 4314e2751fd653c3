"""Value and gradient of exponents of a PyTorch step: the general way against loops written for one network.

Aim: with the same weights, inputs, start state and start basis all ways give the same gradient
(relative difference at most 1e-3 in float32), and ``flossing.torch``, which knows nothing of the
step, takes at most three times as long as a loop with the analytic Jacobian.

Command (writes a table to the terminal; needs PyTorch)::

    python benchmarks/torch_step.py --json torch_step.json

The ways, all with QR at every step, in float32 and with one thread each:

- analytic: a loop with the dense Jacobian written down for the network, ``torch.linalg.qr``, ``backward``;
- flossing.torch: ``ft.lyapunov_spectrum(step, ..., differentiable=True)``, with Jacobians of many steps
  at once in small networks, and two backward passes on copies of the state in large ones;
- jacrev: the same loop as the first, with the Jacobian from ``torch.func.jacrev``;
- JAX: ``fl.lyapunov_spectrum`` on the same cell, compiled; what ``ft.floss_in_jax`` uses.

``--quick`` has fewer repetitions. The exit status is 1 if gradients differ.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NPROC", "1")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from _flossing_problems import Case, Problem, make_problem, weights
from _timing import environment, interleave, markdown_table, median_ratio
from _torch_flossing import TorchTanh, torch_model, torch_value_and_grad

import flossing as fl
import flossing.torch as ft

CASES = [
    Case("tanh", 80, 16, 100, 3.0),
    Case("tanh", 80, 75, 100, 3.0),
    Case("tanh", 512, 32, 50, 3.0),
    Case("LIF", 64, 32, 100, 3.0),  # 128 dimensions
]
TOLERANCE = 1e-3


class TanhStep(torch.nn.Module):
    """The step of the tanh network, for batches."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, state: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
        """The next state."""
        drive = torch.nn.functional.linear(input, self.model.U, self.model.b)
        return torch.tanh(state) @ self.model.W.T + drive


class LIFStep(torch.nn.Module):
    """The step of the LIF network with a detached reset to zero, for batches."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model
        self.spike = ft.surrogates.SuperSpike(float(model.sharpness))

    def forward(self, state: tuple, input: torch.Tensor) -> tuple:
        """The next membranes and synapses."""
        model, (membrane, synapse) = self.model, state
        out = self.spike(membrane - model.threshold)
        synapse = model.alpha * synapse + input @ model.U.T + out @ model.V.T
        membrane = model.beta * membrane + (1 - model.beta) * synapse
        return membrane * (1 - out).detach(), synapse


def step_of(model: Any) -> torch.nn.Module:
    """The step of one of the models that the loops with analytic Jacobians are written for."""
    return TanhStep(model) if isinstance(model, TorchTanh) else LIFStep(model)


def general(model: Any, step: torch.nn.Module) -> tuple:
    """Loss and gradients by the general way."""
    spectrum = ft.lyapunov_spectrum(
        step, model.state, model.inputs, basis=model.basis, num_windows=1, differentiable=True
    )
    loss = spectrum.exponents.square().mean()
    return loss, torch.autograd.grad(loss, model.weights)


def by_jacrev(model: Any, step: torch.nn.Module) -> tuple:
    """Loss and gradients from dense Jacobians of ``torch.func.jacrev``."""
    parts = model.state if isinstance(model.state, tuple) else (model.state,)
    sizes = [len(x) for x in parts]

    def flat_step(vector: torch.Tensor, input: torch.Tensor) -> torch.Tensor:
        state = vector.split(sizes)
        new = step(state if len(sizes) > 1 else state[0], input)
        return torch.cat(new) if isinstance(new, tuple) else new

    jacobian = torch.func.jacrev(flat_step)
    vector, basis, total = torch.cat(parts), model.basis, 0.0
    for input in model.inputs:
        matrix = jacobian(vector, input)
        vector = flat_step(vector, input)
        basis, triangle = torch.linalg.qr(matrix @ basis)
        total = total + torch.log(torch.abs(torch.diagonal(triangle)))
    loss = torch.mean((total / len(model.inputs)) ** 2)
    return loss, torch.autograd.grad(loss, model.weights)


@eqx.filter_jit
@eqx.filter_value_and_grad
def in_jax(cell: Any, state: Any, inputs: jax.Array, basis: jax.Array) -> jax.Array:
    """Loss and gradients on the JAX side."""
    spectrum = fl.lyapunov_spectrum(cell, state, inputs, num_windows=1, basis=basis)
    return jnp.mean(jnp.square(spectrum.exponents))


def ways(problem: Problem) -> dict[str, Any]:
    """All ways by name, as functions that return loss and gradients."""
    model = torch_model(problem)
    step = step_of(model)
    arguments = problem.cell, problem.state, problem.inputs, problem.basis

    def jax_way() -> tuple:
        loss, gradient = jax.block_until_ready(in_jax(*arguments))
        return loss, [getattr(gradient, name) for name in weights(problem)]

    return {
        "analytic": lambda: torch_value_and_grad(model),
        "flossing.torch": lambda: general(model, step),
        "jacrev": lambda: by_jacrev(model, step),
        "JAX": jax_way,
    }


def difference(found: tuple, expected: tuple) -> float:
    """The largest difference of gradients, relative to the largest entry of each array."""
    pairs = zip(found[1], expected[1], strict=True)
    return max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())
        for a, b in pairs
    )


def compare(case: Case, repetitions: int) -> dict[str, Any]:
    """Differences and times of all ways."""
    functions = ways(make_problem(case))
    results = {name: function() for name, function in functions.items()}
    differences = {name: difference(r, results["analytic"]) for name, r in results.items()}
    times = interleave(functions, repetitions)
    ratios = {name: median_ratio(t, times["analytic"]) for name, t in times.items()}
    milliseconds = {name: 1e3 * t.median / case.num_steps for name, t in times.items()}
    return {
        "case": f"{case.cell} ({case.hidden_size}, {case.num_exponents})",
        "differences": differences,
        "milliseconds": milliseconds,
        "ratios": ratios,
        "equal": max(differences.values()) < TOLERANCE,
    }


def main() -> int:
    """Runs all cases and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for case in CASES:
        found.append(compare(case, 3 if options.quick else 7))
        row = found[-1]
        times = ", ".join(
            f"{name} {row['milliseconds'][name]:.2f} ms ({row['ratios'][name][0]:.2f}x)"
            for name in row["ratios"]
        )
        print(f"{row['case']}: {times}; largest difference {max(row['differences'].values()):.1e}")
        sys.stdout.flush()
    names = list(found[0]["ratios"])
    rows = [
        [
            row["case"],
            *(f"{row['milliseconds'][n]:.2f} ({row['ratios'][n][0]:.1f}x)" for n in names),
        ]
        for row in found
    ]
    print(markdown_table(["network (N, k), ms per step", *names], rows))
    if options.json:
        text = json.dumps({"environment": environment("torch", "jax"), "cases": found}, indent=1)
        options.json.write_text(text, encoding="utf-8")
    return 0 if all(row["equal"] for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
