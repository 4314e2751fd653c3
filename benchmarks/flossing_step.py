"""Value and gradient of the flossing loss: ours against a plain PyTorch implementation.

Claim: with the same weights, inputs, start state and start basis both give the same gradient (relative
difference at most 1e-4). Aim: on a CPU ours is faster at least by

    tanh network, N = 64,  k = 16,  T = 512     8x
    tanh network, N = 80,  k = 75,  T = 300     2x
    tanh network, N = 512, k = 128, T = 60      1.3x
    LIF network,  N = 64 (128 dimensions), k = 50, T = 500     3x

The first four rows renormalise at every step, as PyTorch does. The others compute the same exponents with
our option ``renormalise_every=4``, which wide spectra such as that of (80, 75, 300) do not allow in float32.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from _timing import environment, interleave, markdown_table, median_ratio
from jax.flatten_util import ravel_pytree

import flossing as fl

FLOAT32_TOLERANCE = 1e-4
FLOAT64_TOLERANCE = 1e-8


@dataclass(frozen=True)
class Case:
    """One network and the ratio that is claimed for it."""

    cell: str
    hidden_size: int
    num_exponents: int
    num_steps: int
    required: float
    every: int = 1
    """Steps between our renormalisations; PyTorch's side renormalises at every step."""

    def __str__(self) -> str:
        size = f"{self.cell} ({self.hidden_size}, {self.num_exponents}, {self.num_steps})"
        return size if self.every == 1 else f"{size}, every {self.every}"


CASES = [
    Case("tanh", 64, 16, 512, required=8.0),
    Case("tanh", 80, 75, 300, required=2.0),
    Case("tanh", 512, 128, 60, required=1.3),
    Case("LIF", 64, 50, 500, required=3.0),
    Case("tanh", 64, 16, 512, required=8.0, every=4),
    Case("tanh", 512, 128, 60, required=1.3, every=4),
    Case("LIF", 64, 50, 500, required=3.0, every=4),
]


@dataclass(frozen=True)
class Problem:
    """What both sides get."""

    cell: fl.TanhCell | fl.LIFCell
    state: Any
    inputs: jax.Array
    basis: jax.Array
    every: int


def make_problem(case: Case, dtype: Any = np.float32) -> Problem:
    """A network of the paper's kind; the same numbers in each dtype, with a basis orthonormal in it.

    tanh: gain 1, one input of random bits. LIF: 100 inputs of 100 Hz in steps of 1 ms, centred weights, and
    an input gain with which neurons fire at about 16 Hz.
    """
    cell_key, input_key, state_key = jax.random.split(jax.random.key(1), 3)
    with jax.enable_x64(False):
        if case.cell == "tanh":
            cell = fl.TanhCell(1, case.hidden_size, key=cell_key)
            inputs = jax.random.bernoulli(input_key, 0.5, (case.num_steps, 1))
        else:
            cell = fl.LIFCell(100, case.hidden_size, centred=True, input_gain=3.0, key=cell_key)
            inputs = jax.random.bernoulli(input_key, 0.1, (case.num_steps, 100))
        state = cell.initial_state(key=state_key)
    size = ravel_pytree(state)[0].size
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(size, case.num_exponents)))[0]
    arrays, rest = eqx.partition((cell, state), eqx.is_inexact_array)
    arrays, inputs, basis = jax.tree.map(
        lambda x: jnp.asarray(np.asarray(x, dtype)), (arrays, inputs, basis)
    )
    return Problem(*eqx.combine(arrays, rest), inputs, basis, case.every)


# Ours


@eqx.filter_jit
@eqx.filter_value_and_grad
def our_value_and_grad(
    cell: Any, state: Any, inputs: jax.Array, basis: jax.Array, every: int
) -> jax.Array:
    """``fl.flossing_loss`` with targets of zero, from a given basis."""
    spectrum = fl.lyapunov_spectrum(
        cell, state, inputs, num_windows=1, basis=basis, renormalise_every=every
    )
    return jnp.mean(jnp.square(spectrum.exponents))


def arguments_of(problem: Problem) -> tuple[Any, ...]:
    """What our side is called with."""
    return problem.cell, problem.state, problem.inputs, problem.basis, problem.every


def run_ours(problem: Problem) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients by name."""
    loss, grads = our_value_and_grad(*arguments_of(problem))
    return float(loss), {name: np.asarray(getattr(grads, name)) for name in weights(problem)}


def weights(problem: Problem) -> list[str]:
    """Names of the arrays that gradients are taken in."""
    bias = ["bias"] if isinstance(problem.cell, fl.TanhCell) else []
    return ["recurrent_weight", "input_weight", *bias]


@eqx.filter_jit
@eqx.filter_value_and_grad
def floor_value_and_grad(
    cell: Any, state: Any, inputs: jax.Array, basis: jax.Array, scale: jax.Array
) -> jax.Array:
    """Tangents pushed through all steps without QR; ``scale`` keeps them in the range of the numbers."""

    def push(carry: tuple, input: jax.Array) -> tuple[tuple, None]:
        state, tangents = carry
        vector, unravel = ravel_pytree(state)

        def flat_step(vector: jax.Array) -> tuple[jax.Array, Any]:
            new = cell(unravel(vector), input)
            return ravel_pytree(new)[0], new

        def column(tangent: jax.Array) -> tuple[Any, jax.Array]:
            _, out, new = jax.jvp(flat_step, (vector,), (tangent,), has_aux=True)
            return new, out

        state, tangents = jax.vmap(column, in_axes=1, out_axes=(None, 1))(tangents)
        return (state, tangents * scale), None

    (_, tangents), _ = jax.lax.scan(push, (state, basis), inputs)
    return jnp.mean(jnp.square(tangents))


# PyTorch


class Spike(torch.autograd.Function):
    """1 above threshold, else 0; the backward pass is that of SuperSpike."""

    @staticmethod
    def forward(ctx, x, sharpness):
        ctx.save_for_backward(x)
        ctx.sharpness = sharpness
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * superspike(x, ctx.sharpness), None


def superspike(x: torch.Tensor, sharpness: float) -> torch.Tensor:
    """The surrogate derivative, itself differentiable."""
    return 1 / (sharpness * x.abs() + 1) ** 2


class TorchTanh:
    """The tanh network; ``weights`` are the tensors that gradients are taken in."""

    def __init__(self, problem: Problem):
        self.W = _parameter(problem.cell.recurrent_weight)
        self.U = _parameter(problem.cell.input_weight)
        self.b = _parameter(problem.cell.bias)
        self.weights = [self.W, self.U, self.b]
        self.state = _tensor(problem.state)
        self.inputs = _tensor(problem.inputs)
        self.basis = _tensor(problem.basis)

    def loss(self) -> torch.Tensor:
        x, Q = self.state, self.basis
        log_growth = torch.zeros(Q.shape[1], dtype=Q.dtype)
        for s in self.inputs:
            phi = torch.tanh(x)
            D = self.W * (1 - phi**2)
            x = self.W @ phi + self.U @ s + self.b
            Q, R = torch.linalg.qr(D @ Q)
            log_growth = log_growth + torch.log(torch.abs(torch.diagonal(R)))
        return torch.mean((log_growth / len(self.inputs)) ** 2)


class TorchLIF:
    """The LIF network with a detached reset to zero, and its 2N x 2N Jacobian."""

    def __init__(self, problem: Problem):
        cell = problem.cell
        self.V = _parameter(cell.recurrent_weight)
        self.U = _parameter(cell.input_weight)
        self.weights = [self.V, self.U]
        self.alpha = math.exp(-cell.time_step / cell.synapse_time_constant)
        self.beta = math.exp(-cell.time_step / cell.membrane_time_constant)
        self.threshold = cell.threshold
        self.sharpness = cell.surrogate.sharpness
        self.state = (_tensor(problem.state.membrane), _tensor(problem.state.synapse))
        self.inputs = _tensor(problem.inputs)
        self.basis = _tensor(problem.basis)

    def loss(self) -> torch.Tensor:
        alpha, beta = self.alpha, self.beta
        mem, syn = self.state
        Q = self.basis
        eye = torch.eye(len(mem), dtype=Q.dtype)
        log_growth = torch.zeros(Q.shape[1], dtype=Q.dtype)
        for s in self.inputs:
            out = Spike.apply(mem - self.threshold, self.sharpness)
            keep = (1 - out).detach()
            syn_mem = self.V * superspike(mem - self.threshold, self.sharpness)
            syn_syn = alpha * eye
            mem_mem = keep[:, None] * (beta * eye + (1 - beta) * syn_mem)
            mem_syn = keep[:, None] * ((1 - beta) * syn_syn)
            D = torch.cat([torch.cat([mem_mem, mem_syn], 1), torch.cat([syn_mem, syn_syn], 1)])
            syn = alpha * syn + self.U @ s + self.V @ out
            mem = (beta * mem + (1 - beta) * syn) * keep
            Q, R = torch.linalg.qr(D @ Q)
            log_growth = log_growth + torch.log(torch.abs(torch.diagonal(R)))
        return torch.mean((log_growth / len(self.inputs)) ** 2)


def _tensor(array: Any) -> torch.Tensor:
    return torch.tensor(np.asarray(array))


def _parameter(array: Any) -> torch.Tensor:
    return _tensor(array).requires_grad_()


def torch_model(problem: Problem) -> TorchTanh | TorchLIF:
    """The PyTorch side of a problem."""
    return TorchTanh(problem) if isinstance(problem.cell, fl.TanhCell) else TorchLIF(problem)


def torch_value_and_grad(model: TorchTanh | TorchLIF) -> tuple[torch.Tensor, tuple]:
    """Loss and gradients, after a ``backward`` through all steps."""
    loss = model.loss()
    return loss, torch.autograd.grad(loss, model.weights)


def run_torch(problem: Problem) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients by name."""
    loss, grads = torch_value_and_grad(torch_model(problem))
    return loss.item(), {n: g.numpy() for n, g in zip(weights(problem), grads, strict=True)}


# Comparison


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
