"""The flossing loss of a PyTorch step: how far its Lyapunov exponents are from where they should be."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._checks import check_choice, check_finite, check_integer
from .._readable import Summary, in_a_line, readable
from .._warn import refuse_old_names
from ..lyapunov._segments import StoreEvery
from ._check_run import check_run
from ._tree import Step
from .check import warn_at_first_use
from .result import warn_of_lost
from .spectrum import Plan, compute_spectrum, start_basis

Penalty = Literal["two-sided", "above", "below"]


@readable
class FlossingInfo(NamedTuple):
    """What a flossing loss was computed from."""

    exponents: Tensor
    """Averaged over the examples of a batch, shape (k,); minus infinity for lost directions."""
    num_lost: Tensor
    """How many directions were lost, along any of the trajectories."""

    def _summary(self) -> Summary | None:
        return in_a_line(self)


@refuse_old_names
def flossing_loss(
    step: Step,
    state: Any,
    inputs: Any = None,
    *,
    num_exponents: int | None = None,
    targets: float | Sequence[float] | Tensor = 0.0,
    which: Sequence[int] | None = None,
    penalty: Penalty = "two-sided",
    num_steps: int | None = None,
    state_warmup: int = 0,
    warmup: int = 0,
    detach_warmup: bool = False,
    detach_states: bool = False,
    renormalise_every: int = 1,
    store_every: StoreEvery = "auto",
    time_step: float | None = None,
    tangents: Any = None,
    mask: Tensor | None = None,
    batched: bool | None = None,
    generator: torch.Generator | None = None,
    has_aux: bool = False,
) -> Any:
    """Mean squared distance of Lyapunov exponents from their targets (Engelken 2023).

    ``mean over i of (lambda_i - target_i)^2``, differentiable in the parameters of the step. Minimising
    it is gradient flossing; with a spiking step it is surrogate gradient flossing. Of a batch, the
    exponents are averaged over the examples before they are compared, which reduces the noise of a
    short window. For other losses, such as one per example, or of the sum of the exponents, use
    ``ft.lyapunov_spectrum(..., differentiable=True).exponents``.

    Directions that were lost (exponent minus infinity) have no gradient. They are left out of the mean,
    which is then over those that remain; where all that count are lost, the loss is infinite. Their
    number is reported: with ``has_aux`` beside the loss, else by a ``LostDirectionsWarning``.

    Args:
        step, state, inputs, num_steps, tangents, mask, batched: as for ``ft.lyapunov_spectrum``.
        renormalise_every, store_every, state_warmup, detach_states: as for ``ft.lyapunov_spectrum``.
        warmup, detach_warmup: as for ``ft.lyapunov_spectrum``. The warm-up belongs to the method:
            without it the loss sees how a random basis turns into the slow directions.
        num_exponents: k, how many leading exponents are computed; default all.
        targets: one number or k of them, in nats per step, or per unit of time with ``time_step``.
        which: indices (from 0) of the exponents that count; default all k.
        penalty: ``"two-sided"``; ``"above"`` counts only exponents above their target; ``"below"`` only those
            below.
        time_step: length of a step in units of time, in which exponents and targets then are.
        generator: random numbers of the tangent bases; default the global ones of PyTorch.
        has_aux: also return an ``ft.FlossingInfo``, and do not warn of lost directions.

    Returns:
        A scalar, or ``(scalar, FlossingInfo)``.

    Raises:
        ValueError, TypeError: arguments that do not fit, a step whose backward pass cannot be differentiated.

    At the first use of a step, what ``ft.check`` finds to be wrong with its derivatives is given as warnings.
    """
    check_choice("penalty", penalty, ("two-sided", "above", "below"))
    differentiate = torch.is_grad_enabled()
    run = check_run(
        step, state, inputs, num_steps, tangents=tangents, batched=batched, mode="forward",
        differentiate=differentiate,
    )  # fmt: skip
    if differentiate:
        warn_at_first_use(step, run)
    plan = Plan.of(
        run, num_exponents, None, store_every, state_warmup=state_warmup, warmup=warmup,
        detach_warmup=detach_warmup, detach_states=detach_states, renormalise_every=renormalise_every,
        num_windows=1, time_step=time_step, mask=mask, differentiate=differentiate,
    )  # fmt: skip
    goals, weights = _goals(targets, which, plan.k, run.rows)
    spectrum = compute_spectrum(run, plan, start_basis(run, plan.k, None, generator))
    exponents, lost = spectrum.exponents, spectrum.lost
    if run.batched:
        exponents, lost = exponents.mean(0), lost.any(0)
    if not has_aux:
        warn_of_lost(lost)
    counted = torch.where(lost, 0, weights)
    error = torch.where(lost, 0, exponents) - goals
    if penalty == "above":
        error = error.clamp(min=0)
    elif penalty == "below":
        error = error.clamp(max=0)
    if not bool(counted.sum() > 0):
        loss = torch.full_like(counted.sum(), torch.inf)
    else:
        loss = (counted * error.square()).sum() / counted.sum()
    return (loss, FlossingInfo(exponents.detach(), lost.sum())) if has_aux else loss


def _goals(
    targets: Any, which: Sequence[int] | None, k: int, like: Tensor
) -> tuple[Tensor, Tensor]:
    goals = torch.as_tensor(targets, dtype=like.dtype, device=like.device)
    check_finite("targets", goals.detach().cpu().numpy())
    if tuple(goals.shape) not in ((), (k,)):
        raise ValueError(
            f"targets: expected one number or {k} of them (num_exponents), got shape {tuple(goals.shape)}."
        )
    weights = torch.ones(k, dtype=like.dtype, device=like.device)
    if which is not None:
        indices = [check_integer("which", index, 0, k - 1) for index in which]
        if not indices or len(set(indices)) != len(indices):
            raise ValueError(f"which: expected different indices below {k}, got {list(which)}.")
        weights = torch.zeros_like(weights)
        weights[indices] = 1
    return goals.expand(k), weights
