"""Lyapunov spectra of PyTorch steps, one per example of a batch.

Algorithm: Benettin et al. 1980; Shimada & Nagashima 1979. As an objective: Engelken 2023.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._checks import check_integer, check_positive
from .._warn import refuse_old_names
from ..lyapunov._segments import MOST_BYTES, StoreEvery, check_store_every
from ._check_run import Mode, Run, check_run
from ._engine import Engine, steps_at_once
from ._memory import check_memory
from ._propagate import Basis, Course, Logs, Moment, propagate
from ._reverse import propagate_back
from ._tree import Step, detached
from .result import LyapunovSpectrum, check_result, warn_of_lost


@refuse_old_names
def lyapunov_spectrum(
    step: Step,
    state: Any,
    inputs: Any = None,
    *,
    num_exponents: int | None = None,
    num_steps: int | None = None,
    state_warmup: int = 0,
    warmup: int = 0,
    detach_warmup: bool = False,
    detach_states: bool = False,
    renormalise_every: int = 1,
    store_every: StoreEvery = "auto",
    num_windows: int = 10,
    time_step: float | None = None,
    basis: Tensor | None = None,
    tangents: Any = None,
    mask: Tensor | None = None,
    batched: bool | None = None,
    mode: Mode = "auto",
    differentiable: bool = False,
    generator: torch.Generator | None = None,
) -> LyapunovSpectrum:
    """The leading ``num_exponents`` Lyapunov exponents of a PyTorch step, of each example of a batch.

    Tangent vectors are pushed through the step and orthonormalised: ``Q_t R_t = D_t Q_{t-1}`` with
    ``D_t`` the Jacobian of the step, ``lambda_i`` the mean of ``log |R_ii|`` over the counted steps.
    Dense Jacobians are formed of small states only. Works for any step whose backward pass can be
    differentiated, and in reverse mode for others.

    Args:
        step: ``step(state, input) -> state``; ``ft.as_step`` makes one of a module.
        state: a tensor, or tuples, NamedTuples, lists and dicts of them; its floating-point tensors are the N
            state variables. A complex number counts as two. Tangents of half-precision states are float32.
        inputs: tensors with time as leading axis: ``(time, features)`` for one trajectory, and ``(time,
            batch, ...)`` for one per example, with a state of shape ``(batch, ...)``. ``None`` for an
            autonomous system, whose step is called with ``input=None``.
        num_exponents: k, at most N; default all N.
        num_steps: number of steps in total, warm-up included; needed without inputs.
        state_warmup: first steps, in which only the state moves.
        warmup: the steps after those, in which state and tangents move and nothing is counted. In
            reverse mode the last steps, because tangents move from the end to the start.
        detach_warmup: derivatives take the state and the tangents after both warm-ups as given.
        detach_states: derivatives go back through each state for one step only.
        renormalise_every: steps between orthonormalisations.
        store_every: steps between what is stored for the backward pass of a gradient; what lies between
            is computed once more. ``"auto"`` stores all if that takes up to 1 GiB; beyond, every
            ``sqrt(T / 2)`` steps.
        num_windows: windows of equal length (as far as possible) for the standard errors.
        time_step: length of a step in time units; exponents are then per unit time.
        basis: start tangents, shape ``(N, k)`` or ``(batch, N, k)``, orthonormalised before use;
            default random.
        tangents: which leaves of the state carry perturbations: True, False or a function of a leaf, or these
            in the form of the state's upper levels. Default: all floating-point tensors.
        mask: booleans of shape ``(time, batch)``, False from where an example has ended. Its state and
            tangents then rest, and its exponents are means over the steps before.
        batched: whether state and inputs have a batch axis. Default: by the axes of the inputs (three
            or more), or without inputs by those of the state (two or more).
        mode: ``"forward"`` pushes tangents by two backward passes, or multiplies them by Jacobians of many
            steps at once where states are small; ``"reverse"`` pulls them back by one backward pass, from
            the end of the trajectory to its start, for modules whose backward pass cannot be
            differentiated. The exponents agree over long times. ``"auto"`` tries the first, then the
            same without cuDNN and fused attention, then the second, with a warning. ``spectrum.engine``
            says what was used.
        differentiable: the exponents can be differentiated, once, in what the step uses, in ``state`` and in
            ``inputs``. By default nothing is stored for that.
        generator: random numbers of the start basis; default the global ones of PyTorch.

    Returns:
        An ``ft.LyapunovSpectrum``.

    Raises:
        ValueError, TypeError: arguments that do not fit, a state that is or becomes NaN.
        MemoryError: more memory is needed than is free.

    Warns with ``LostDirectionsWarning`` when directions are lost, and with ``StepWarning`` of reverse
    mode that was not asked for.
    """
    differentiate = differentiable and torch.is_grad_enabled()
    run = check_run(
        step, state, inputs, num_steps, tangents=tangents, batched=batched, mode=mode,
        differentiate=differentiate,
    )  # fmt: skip
    plan = Plan.of(
        run, num_exponents, basis, store_every, state_warmup=state_warmup, warmup=warmup,
        detach_warmup=detach_warmup, detach_states=detach_states, renormalise_every=renormalise_every,
        num_windows=num_windows, time_step=time_step, mask=mask, differentiate=differentiate,
    )  # fmt: skip
    vectors = start_basis(run, plan.k, basis, generator)
    spectrum = compute_spectrum(run, plan, vectors)
    warn_of_lost(spectrum.lost)
    return spectrum


class Plan(NamedTuple):
    """What a spectrum is computed from, beside the run and the basis; see ``lyapunov_spectrum``."""

    k: int
    engine: Engine
    store_every: int
    state_warmup: int
    warmup: int
    detach_warmup: bool
    detach_states: bool
    renormalise_every: int
    num_windows: int
    time_step: float | None
    mask: Tensor | None
    differentiate: bool

    @classmethod
    def of(
        cls,
        run: Run,
        num_exponents: int | None,
        basis: Tensor | None,
        store_every: StoreEvery,
        **settings: Any,
    ) -> "Plan":
        """Checks all of it, and that the memory suffices; ``settings`` are fields of the same names."""
        n, steps = run.pusher.layout.dimension, run.num_steps
        k = n if num_exponents is None else check_integer("num_exponents", num_exponents, 1)
        if basis is not None and num_exponents is None:
            k = basis.shape[-1]
        if k > n:
            raise ValueError(f"num_exponents: got {k}, but the state has only {n} dimensions.")
        engine = run.pusher.engine.fitted(run.rest, *run.rows.shape, k)
        plan = cls(k, engine, 1, **settings)
        for name in ("state_warmup", "warmup"):
            check_integer(name, settings[name], 0)
        for name in ("renormalise_every", "num_windows"):
            check_integer(name, settings[name], 1)
        start = plan.state_warmup + plan.warmup
        if steps - start < 1:
            raise ValueError(
                f"state_warmup, warmup: {plan.state_warmup} + {plan.warmup} steps leave none of {steps} "
                "to count."
            )
        if plan.time_step is not None:
            check_positive("time_step", plan.time_step)
        _check_mask(plan.mask, run, start)
        return plan._replace(store_every=_between_stores(run, plan, store_every))


def _check_mask(mask: Tensor | None, run: Run, start: int) -> None:
    if mask is None:
        return
    expected = (run.num_steps, len(run.rows))
    if not run.batched:
        raise ValueError(
            "mask: is for inputs with a batch axis; of one trajectory leave out its end."
        )
    if mask.dtype != torch.bool or tuple(mask.shape) != expected:
        raise ValueError(
            f"mask: expected booleans of shape {expected}, got {mask.dtype} {tuple(mask.shape)}."
        )
    if not bool(mask[start:].any(0).all()):
        example = int((~mask[start:].any(0)).nonzero()[0])
        raise ValueError(f"mask: leaves no step of example {example} to count after the warm-up.")


def _between_stores(run: Run, plan: Plan, store_every: StoreEvery) -> int:
    """Steps between stores, as a number; raises ``MemoryError`` if what is needed then is not there."""
    check_store_every("store_every", store_every)
    batch, n = run.rows.shape
    k, dense, differentiate = plan.k, plan.engine.dense, plan.differentiate
    at_once = steps_at_once(batch, n) if dense else 2
    steps, of_step = run.num_steps, (n if dense else k) * run.bytes_per_tangent
    carried = run.rows.nbytes * (k + 1)
    between = 1 if store_every == "auto" else int(store_every)
    if store_every == "auto" and differentiate and steps * of_step > MOST_BYTES:
        between = max(2, int(np.ceil(np.sqrt(steps / 2))))
    stored = steps if between == 1 else between
    needed = of_step * stored + carried * steps / between if differentiate else at_once * of_step
    what = f"{k} tangents of {batch} states of {n} numbers"
    check_memory(needed, run.rows.device, what)
    return between


def start_basis(run: Run, k: int, basis: Tensor | None, generator: torch.Generator | None) -> Basis:
    """Orthonormal start tangents, the given ones or random ones."""
    batch, n = run.rows.shape
    dtype, device = run.rows.dtype, run.rows.device
    if basis is None:
        where = device if generator is None else generator.device
        drawn = torch.randn(batch, n, k, generator=generator, dtype=dtype, device=where)
        return Basis(torch.linalg.qr(drawn.to(device))[0].mT)
    if basis.shape not in ((n, k), (batch, n, k)):
        raise ValueError(f"basis: expected shape {(n, k)}, got {tuple(basis.shape)}.")
    if not bool(torch.isfinite(basis).all()):
        raise ValueError("basis: has NaN or infinite entries.")
    given = basis.to(device, dtype).expand(batch, n, k).mT
    twice = Basis(given).renormalised()[0].renormalised()[0]
    return twice


def compute_spectrum(run: Run, plan: Plan, basis: Basis) -> LyapunovSpectrum:
    """The spectrum of checked arguments."""
    pusher = run.pusher
    pusher.detach_states = plan.detach_states
    pusher.engine = plan.engine
    at_once = steps_at_once(*run.rows.shape)
    course = Course(pusher, run.inputs, plan.mask, plan.renormalise_every, at_once)
    options: dict[str, Any] = {"store_every": plan.store_every, "parameters": run.parameters}
    with torch.set_grad_enabled(plan.differentiate), pusher.engine.kernels():
        early = plan.differentiate and not plan.detach_warmup
        with torch.set_grad_enabled(early):
            rows, rest = course.walk(run.rows, run.rest, 0, plan.state_warmup)
        moment = Moment(rows, rest, basis)
        if not pusher.engine.forward:
            return _result(run, plan, *propagate_back(course, moment, plan, run.num_steps))
        start = plan.state_warmup + plan.warmup
        if plan.warmup:
            with torch.set_grad_enabled(early):
                moment, _ = propagate(
                    course, moment, plan.state_warmup, start, differentiate=early, **options
                )
            if moment.basis.origin is not None:
                rank = torch.arange(plan.k, device=rows.device).expand(moment.basis.origin.shape)
                moment = moment._replace(basis=moment.basis._replace(origin=rank))
        if plan.detach_warmup:
            moment = Moment(*detached(tuple(moment)))
        moment, logs = propagate(
            course, moment, start, run.num_steps, differentiate=plan.differentiate, **options
        )
    return _result(run, plan, moment, logs, start, run.num_steps)


def _result(
    run: Run, plan: Plan, moment: Moment, logs: Logs, start: int, stop: int
) -> LyapunovSpectrum:
    """Means, windows and errors of logarithms from some steps on."""
    growth, lost = logs
    check_result(growth.detach(), moment.rows.detach(), start, plan.renormalise_every, stop)
    if moment.basis.origin is not None:  # by slot of the last basis, the lost ones at the end
        order = moment.basis.origin[None].expand(growth.shape)
        growth, lost = growth.gather(-1, order), lost.gather(-1, order)
    edges = [*range(start, stop, plan.renormalise_every), stop]
    lengths = np.diff(edges)
    parts = min(plan.num_windows, len(lengths))
    cuts = [round(i * len(lengths) / parts) for i in range(parts + 1)]
    window_steps = tuple(int(lengths[a:b].sum()) for a, b in itertools.pairwise(cuts))
    spans = _counted_steps(run, plan, edges, cuts, growth)[..., None]  # (windows, batch, 1)
    sums = torch.stack([growth[a:b].sum(0) for a, b in itertools.pairwise(cuts)])
    lost = torch.stack([lost[a:b].any(0) for a, b in itertools.pairwise(cuts)])
    unit = 1.0 if plan.time_step is None else plan.time_step
    counted = spans.sum(0)
    mean = sums.sum(0) / (counted * unit)
    local = torch.where(spans > 0, sums / (spans.clamp(min=1) * unit), torch.nan)
    if parts > 1:
        distance = torch.where(spans > 0, local - mean, 0).detach().square()
        used = (spans > 0).sum(0)
        errors = ((spans / counted * distance).sum(0) / (used - 1).clamp(min=0)).sqrt()
        errors = torch.where(used > 1, errors, torch.inf)
    else:
        errors = torch.full_like(mean, torch.inf)
    gone = lost[-1]
    return LyapunovSpectrum(
        exponents=run.given(torch.where(gone, -torch.inf, mean)),
        standard_errors=run.given(torch.where(gone, 0, errors)),
        finite_time=run.given(torch.where(lost, -torch.inf, local).transpose(0, 1)),
        window_steps=window_steps,
        lost=run.given(gone),
        final_state=run.state(moment.rows, moment.rest),
        final_basis=run.given(moment.basis.vectors.mT),
        state_dimension=run.pusher.layout.dimension,
        time_step=plan.time_step,
        engine=str(run.pusher.engine),
    )


def _counted_steps(run: Run, plan: Plan, edges: list[int], cuts: list[int], like: Tensor) -> Tensor:
    """Steps of each window that each example counts, shape (windows, batch)."""
    ends = [edges[cut] for cut in cuts]
    if plan.mask is None:
        spans = torch.as_tensor(np.diff(ends))[:, None].expand(-1, len(run.rows))
    else:
        spans = torch.stack([plan.mask[a:b].sum(0) for a, b in itertools.pairwise(ends)])
    return spans.to(like.device, like.dtype)
