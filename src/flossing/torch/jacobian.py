"""The Jacobian over a long horizon: its singular values, its condition number, its gradients."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._checks import check_integer
from ..lyapunov._segments import MOST_BYTES
from ._check_run import Run, check_run
from ._engine import Engine, steps_at_once
from ._orthonormalise import power_of_two
from ._propagate import Basis
from ._tree import Step, take
from .spectrum import start_basis

_MOVED = 1e-4
"""Orthogonal iteration stops when no logarithm moves by more."""


def gradient_norms(
    step: Step,
    state: Any,
    inputs: Any = None,
    *,
    loss: Callable[[Any], Tensor] | None = None,
    num_steps: int | None = None,
    log: bool = False,
    tangents: Any = None,
    batched: bool | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Norm of the gradient of a loss of the final state with respect to the state at every earlier time.

    Backpropagation through time that renormalises the error signal at each step, so that it neither
    overflows nor underflows before the end. First derivatives are enough.

    Args:
        step, state, inputs, num_steps, tangents, batched: as for ``ft.lyapunov_spectrum``.
        loss: function of the final state, in its user's form; of a batch it may return one number per
            example or their sum. Without it a random unit vector stands for the gradient at the end.
        log: return natural logarithms.
        generator: random numbers of that vector; default the global ones of PyTorch.

    Returns:
        Shape ``(T + 1,)``, of a batch ``(batch, T + 1)``: entry ``t`` belongs to the state before step
        ``t``, the last to the final state.

    Raises:
        ValueError, TypeError: arguments that do not fit, a gradient that is NaN; and, without ``log``,
            a norm too large or too small for the dtype.
    """
    run = _reverse_run(step, state, inputs, num_steps, tangents, batched)
    states = states_of(run)
    final = states.pop()
    cotangent = _gradient_at_end(run, final, loss, generator)
    unit, total = _normalised(cotangent)
    logs = [total]
    for t in reversed(range(run.num_steps)):
        pulled = run.pusher.pull(*states.pop(), unit[:, None], take(run.inputs, t))[:, 0]
        unit, growth = _normalised(pulled)
        total = total + growth
        logs.append(total)
    log_norms = torch.stack(logs[::-1], 1)
    bad = torch.isnan(log_norms).any(0).nonzero()
    if bad.numel():
        raise ValueError(f"step: the gradient is NaN at time {int(bad[-1])} and before it.")
    if log:
        return run.given(log_norms)
    norms = log_norms.exp()
    outside = torch.isfinite(log_norms) & ~((norms > 0) & torch.isfinite(norms))
    if bool(outside.any()):
        worst = float(log_norms[outside][0])
        raise ValueError(
            f"gradient_norms: exp({worst:.1f}) does not fit {norms.dtype}; use log=True."
        )
    return run.given(norms)


def condition_number(
    step: Step,
    state: Any,
    inputs: Any = None,
    *,
    num_directions: int | None = None,
    num_steps: int | None = None,
    log: bool = False,
    tangents: Any = None,
    batched: bool | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Ratio of the first to the m-th singular value of the long-term Jacobian, of each example of a batch.

    It grows like ``exp((lambda_1 - lambda_m) T)`` (Engelken 2023): it says over how many orders of
    magnitude the error signals of the m slowest directions are spread.

    Args:
        num_directions: m; default N, the condition number of the whole Jacobian.
        log: return the natural logarithm, which does not overflow.
        step, state, inputs, num_steps, tangents, batched, generator: as for ``ft.log_singular_values``.

    Raises:
        ValueError, TypeError: as ``ft.log_singular_values``; and, without ``log``, a ratio too large
            for the dtype (as for a direction that is mapped to zero).
    """
    logs = log_singular_values(
        step, state, inputs, num_directions=num_directions, num_steps=num_steps, tangents=tangents,
        batched=batched, generator=generator,
    )  # fmt: skip
    ratio = logs[..., 0] - logs[..., -1]
    if log:
        return ratio
    number = ratio.exp()
    if not bool(torch.isfinite(number).all()):
        worst = float(ratio.max())
        raise ValueError(
            f"condition_number: exp({worst:.1f}) does not fit {number.dtype}; use log=True."
        )
    return number


def log_singular_values(
    step: Step,
    state: Any,
    inputs: Any = None,
    *,
    num_directions: int | None = None,
    num_steps: int | None = None,
    max_sweeps: int = 20,
    tangents: Any = None,
    batched: bool | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Natural logarithms of the largest singular values of the long-term Jacobian, descending.

    Orthogonal iteration forward and backward along the trajectory, with QR at every step: each value is
    found with its own relative precision, however far apart they are, and nothing overflows. A
    direction that is mapped to zero gives minus infinity. Values closer to each other than a few per
    cent converge slowly.

    Args:
        step, state, inputs, num_steps, tangents, batched: as for ``ft.lyapunov_spectrum``.
        num_directions: m, at most N; default all.
        max_sweeps: forward and backward passes; it stops sooner when no value moves by 1e-4.
        generator: random numbers of the start basis; default the global ones of PyTorch.

    Returns:
        Shape ``(m,)``, of a batch ``(batch, m)``.

    Raises:
        ValueError, TypeError: arguments that do not fit, or a result that is NaN.

    Source of the method: Dieci & Elia 2008 (singular values of long products by QR iteration).
    """
    run = check_run(
        step, state, inputs, num_steps, tangents=tangents, batched=batched, mode="forward"
    )
    n = run.pusher.layout.dimension
    m = n if num_directions is None else check_integer("num_directions", num_directions, 1)
    if m > n:
        raise ValueError(f"num_directions: got {m}, but the state has only {n} dimensions.")
    check_integer("max_sweeps", max_sweeps, 1)
    states = states_of(run)[:-1]
    basis, old = start_basis(run, m, None, generator), None
    matrices = _matrices(run, states, m)
    for _ in range(max_sweeps):
        basis, logs = _traverse(run, basis, states, matrices, forward=True)
        basis, _ = _traverse(run, basis, states, matrices, forward=False)
        moved = None if old is None else torch.where(logs == old, 0, (logs - old).abs()).max()
        old = logs
        if moved is not None and float(moved) <= _MOVED:
            break
    assert old is not None
    if bool(torch.isnan(old).any()):
        raise ValueError(
            "step: the state or its Jacobian became NaN or infinite along the trajectory."
        )
    return run.given(old.sort(-1, descending=True)[0])


def _matrices(run: Run, states: list, m: int) -> list[Tensor] | None:
    """The Jacobians at all states, where that is less work for m directions and there is room for them."""
    batch, n = run.rows.shape
    engine = run.pusher.engine
    if not engine.fitted(run.rest, batch, n, m).dense:
        return None
    if run.num_steps * n * run.rows.nbytes > MOST_BYTES:
        return None
    matrices: list[Tensor] = []
    at_once = steps_at_once(batch, n)
    with engine.kernels():
        for start in range(0, run.num_steps, at_once):
            rows = torch.stack([rows for rows, _ in states[start : start + at_once]])
            inputs = take(run.inputs, slice(start, start + at_once))
            matrices += run.pusher.jacobians(rows, run.rest, inputs, False)
    return matrices


def _traverse(
    run: Run, basis: Basis, states: list, matrices: list[Tensor] | None, forward: bool
) -> tuple[Basis, Tensor]:
    """The basis at the other end, and the growth of its directions on the way."""
    basis = Basis(basis.vectors)
    total: Any = 0.0
    times = range(run.num_steps) if forward else reversed(range(run.num_steps))
    with run.pusher.engine.kernels():
        for t in times:
            rows, rest = states[t]
            at = take(run.inputs, t)
            if matrices is not None:
                vectors = basis.vectors @ (matrices[t].mT if forward else matrices[t])
            elif forward:
                vectors = run.pusher.push(rows, rest, basis.vectors, at, False)[2]
            else:
                vectors = run.pusher.pull(rows, rest, basis.vectors, at)
            basis, growth = basis._replace(vectors=vectors).renormalised()
            total = total + growth
    basis, last = basis.renormalised()
    return basis, torch.where(basis.lost(), -torch.inf, total + last)


def _reverse_run(step: Step, state: Any, inputs: Any, *more: Any) -> Run:
    num_steps, tangents, batched = more
    run = check_run(
        step, state, inputs, num_steps, tangents=tangents, batched=batched, mode="reverse"
    )
    # One error signal needs no copies.
    run.pusher.engine = Engine(copies=False, forward=False)
    return run


def states_of(run: Run) -> list[tuple[Tensor, list[Any]]]:
    """The states before each step, and the last one."""
    states = [(run.rows.detach(), run.rest)]
    with torch.no_grad():
        for t in range(run.num_steps):
            states.append(run.pusher.advance(*states[-1], take(run.inputs, t)))
    return states


def _gradient_at_end(
    run: Run, final: tuple, loss: Callable | None, generator: torch.Generator | None
) -> Tensor:
    rows, rest = final
    if loss is None:
        where = rows.device if generator is None else generator.device
        drawn = torch.randn(rows.shape, generator=generator, dtype=rows.dtype, device=where)
        return (drawn / torch.linalg.vector_norm(drawn, dim=1, keepdim=True)).to(rows.device)
    with torch.enable_grad():
        end = rows.detach().requires_grad_()
        value = loss(run.state(end, rest))
        return torch.autograd.grad(value.sum(), end)[0]


def _normalised(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Unit vectors, and logarithms of the lengths; zeros stay zeros, of length exp(-inf)."""
    unit = power_of_two(vectors.abs().amax(1))
    scaled = vectors / unit[:, None]
    length = torch.linalg.vector_norm(scaled, dim=1)
    return scaled / torch.where(length > 0, length, 1)[:, None], length.log() + unit.log()
