"""The optimiser that flossers have by default."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.clip_grad import clip_grad_norm_


class FlossingAdam(torch.optim.Adam):
    """Adam with clipped arrays and a falling rate; see ``ft.flossing_optimiser``."""

    def __init__(self, parameters: Any, rate: float, final_rate: float, steps: int, clip_norm: Any):
        super().__init__(parameters, rate)
        self.defaults |= {"rate": rate, "final_rate": final_rate}
        for group in self.param_groups:
            group |= {
                "rate": rate, "final_rate": final_rate, "steps": steps, "clip_norm": clip_norm, "taken": 0
            }  # fmt: skip

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:  # pyright: ignore
        """One step at the rate that is due."""
        for group in self.param_groups:
            part = min(group["taken"], group["steps"]) / group["steps"]
            share = 0.5 * (1 + math.cos(math.pi * part))
            final = group["final_rate"]
            group["lr"] = final + (group["rate"] - final) * share
            group["taken"] += 1
            for parameter in group["params"]:
                if parameter.grad is not None and group["clip_norm"] is not None:
                    clip_grad_norm_([parameter], group["clip_norm"])
        return super().step(closure)


def flossing_optimiser(
    parameters: Iterable[Tensor],
    learning_rate: float = 5e-3,
    final_learning_rate: float | None = None,
    *,
    steps: int = 200,
    clip_norm: float | None = 0.03,
) -> FlossingAdam:
    """The optimiser that flossers have by default: Adam with clipped arrays and a falling rate.

    The gradient of an exponent can explode, and Adam needs hundreds of steps to forget it: hence the
    clipping. The rate falls along a cosine and then stays.

    Args:
        parameters: as for any optimiser of ``torch.optim``.
        learning_rate: at the first step.
        final_learning_rate: from step ``steps`` on; default a tenth of ``learning_rate``.
        steps: over which it falls.
        clip_norm: largest gradient norm of each array; ``None`` for no limit.
    """
    final = 0.1 * learning_rate if final_learning_rate is None else final_learning_rate
    return FlossingAdam(list(parameters), learning_rate, final, max(1, steps), clip_norm)
