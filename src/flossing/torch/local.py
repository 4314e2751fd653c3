"""Finite-time Lyapunov exponents of consecutive windows."""

from typing import Any

import torch
from torch import Tensor

from .._checks import check_integer
from .._warn import refuse_old_names
from ..lyapunov._segments import StoreEvery
from ._check_run import Mode, count_steps
from ._tree import Step
from .spectrum import lyapunov_spectrum


@refuse_old_names
def local_exponents(
    step: Step,
    state: Any,
    inputs: Any = None,
    *,
    window: int = 1,
    num_exponents: int | None = None,
    num_steps: int | None = None,
    state_warmup: int = 0,
    warmup: int = 0,
    renormalise_every: int = 1,
    store_every: StoreEvery = "auto",
    time_step: float | None = None,
    basis: Tensor | None = None,
    tangents: Any = None,
    mask: Tensor | None = None,
    batched: bool | None = None,
    mode: Mode = "auto",
    differentiable: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Finite-time Lyapunov exponents of consecutive windows of ``window`` steps.

    Shape ``(windows, k)``, of a batch ``(batch, windows, k)``; the last window is shorter if the steps do not
    divide. A window that has no step before the end of an example is NaN. ``window`` must be a multiple of
    ``renormalise_every``. All other arguments, units and errors are those of ``ft.lyapunov_spectrum``.
    """
    check_integer("window", window, 1)
    check_integer("renormalise_every", renormalise_every, 1)
    if window % renormalise_every:
        raise ValueError(
            f"window: expected a multiple of renormalise_every ({renormalise_every}), got {window}."
        )
    steps = count_steps(inputs, num_steps)
    spectrum = lyapunov_spectrum(
        step,
        state,
        inputs,
        num_exponents=num_exponents,
        num_steps=num_steps,
        state_warmup=state_warmup,
        warmup=warmup,
        renormalise_every=renormalise_every,
        store_every=store_every,
        num_windows=steps,
        time_step=time_step,
        basis=basis,
        tangents=tangents,
        mask=mask,
        batched=batched,
        mode=mode,
        differentiable=differentiable,
        generator=generator,
    )
    per_window = window // renormalise_every
    if per_window == 1:
        return spectrum.finite_time
    parts = zip(
        spectrum.finite_time.split(per_window, -2),
        torch.tensor(spectrum.window_steps).split(per_window),
        strict=True,
    )
    return torch.stack([_mean(local, steps) for local, steps in parts], -2)


def _mean(local: Tensor, steps: Tensor) -> Tensor:
    """Mean over intervals, weighted by their steps; those after the end of an example do not count."""
    weights = steps.to(local)[:, None] * ~torch.isnan(local)
    total = torch.where(weights > 0, local * weights, 0).sum(-2)
    return total / weights.sum(-2)
