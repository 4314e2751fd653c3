"""Parts of a trajectory that are computed once more in the backward pass, in place of being stored."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def recomputed(
    body: Callable[[list[Tensor], bool], list[Tensor]],
    arguments: list[Tensor],
    parameters: list[Tensor],
) -> list[Tensor]:
    """``body(arguments, True)`` without a stored graph: its backward pass computes it again.

    Args:
        body: takes tensors, and whether its results are to be differentiated; returns tensors. Random numbers
            of PyTorch are the same both times.
        arguments: what changes from call to call.
        parameters: other leaf tensors that ``body`` uses and that need gradients.
    """
    return list(_Recomputed.apply(body, len(arguments), *arguments, *parameters))  # pyright: ignore


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, body: Any, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.body, ctx.count = body, count
        ctx.random = torch.get_rng_state()
        ctx.save_for_backward(*tensors)
        out = tuple(body([x.detach() for x in tensors[:count]], False))
        ctx.mark_non_differentiable(*(x for x in out if not x.is_floating_point()))
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        tensors = ctx.saved_tensors
        arguments = [x.detach().requires_grad_(x.is_floating_point()) for x in tensors[: ctx.count]]
        parameters = list(tensors[ctx.count :])
        with torch.enable_grad(), torch.random.fork_rng(devices=[]):
            torch.set_rng_state(ctx.random)
            out = ctx.body(arguments, True)
        pairs = [
            (x, g) for x, g in zip(out, gradients, strict=True) if x.requires_grad and g is not None
        ]
        wanted = [x for x in arguments if x.requires_grad] + parameters
        derivatives = iter(
            torch.autograd.grad(
                [x for x, _ in pairs],
                wanted,
                [g for _, g in pairs],
                allow_unused=True,
                retain_graph=True,  # of what the parameters were made from outside of the step
            )
            if pairs
            else [None] * len(wanted)
        )
        of_arguments = [next(derivatives) if x.requires_grad else None for x in arguments]
        return None, None, *of_arguments, *derivatives
