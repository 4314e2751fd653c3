"""Flossing by the heights of surrogate derivatives, which leaves the activity of a network as it is."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import torch

from .._checks import check_positive
from ..lyapunov.result import LostDirectionsWarning
from ._tree import Step
from .surrogates import Surrogate
from .window import FlossInfo, Window


class SurrogateHeights(Window):
    """Moves the first surrogate exponent of a module to its target by the heights of surrogate derivatives.

    The activity of a spiking network does not depend on these heights, so nothing that was learned is
    disturbed. Where every path of the tangents crosses one surrogate per step (binary units), a factor c
    adds log c to each exponent. ``update`` scales all heights once, by ``exp(response * miss)`` where
    the exponent misses its target so; ``ft.AdaptiveFlosser`` takes it in place of an ``ft.Flosser``.

    Give it 16 fresh examples or more in each call, as a batch. In 40 ``RLeaky`` neurons of snnTorch with
    heights flossed to 0, the first exponent over 34 counted steps scattered by 0.04 from one trial to
    the next, and by 0.011 in the mean of 16. The band of a keeper with a horizon of 60 steps is
    0.033 wide to either side.

    Args:
        step: as for ``ft.Flosser``.
        module: the module with surrogates of ``ft.surrogates``, all of which are scaled.
        response: one over the number of surrogates that a path crosses per step; for LIF neurons, whose
            signals stay in membrane and synapse, about ``(tau_mem + tau_syn) / time_step``.
        targets, window, warmup, state_warmup, tangents: as for ``ft.Flosser``.

    Raises:
        ValueError: the module has no such surrogates.
    """

    disturbs: ClassVar[bool] = False

    def __init__(
        self,
        step: Step,
        module: torch.nn.Module,
        *,
        response: float = 1.0,
        targets: float | Sequence[float] = 0.0,
        window: int = 100,
        warmup: int = 25,
        state_warmup: int = 50,
        tangents: Any = None,
    ):
        super().__init__(
            step, targets=targets, window=window, warmup=warmup, state_warmup=state_warmup,
            tangents=tangents,
        )  # fmt: skip
        check_positive("response", response)
        self.response = response
        self.surrogates = [part for part in module.modules() if isinstance(part, Surrogate)]
        if not self.surrogates:
            raise ValueError(
                f"module: expected surrogates of ft.surrogates, got {type(module).__name__} without any; "
                "give them to your neurons, such as spike_grad=ft.surrogates.SuperSpike(10.0)."
            )

    def update(
        self, state: Any, inputs: Any = None, *, generator: torch.Generator | None = None
    ) -> FlossInfo:
        """Measures the first exponent, scales the heights, and measures again; see ``ft.Flosser.update``.

        ``info.exponents`` holds the exponent after the scaling, with the same inputs and the same basis.
        """
        state, inputs = self.given(state, inputs)
        where = "cpu" if generator is None else generator.device
        seed = int(torch.randint(2**62, (), generator=generator, device=where))
        target = float(np.ravel(np.asarray(self.targets, float))[0])
        miss = self.response * (target - self._seen(state, inputs, seed))
        # Lost directions (-inf) and NaN have no distance: one step of a factor of e, upwards or downwards.
        change = -1.0 if math.isnan(miss) else min(max(miss, -1.0), 1.0)
        for surrogate in self.surrogates:
            surrogate.scale(math.exp(change))
        exponent = self._seen(state, inputs, seed)
        lost = int(exponent == -math.inf)
        return FlossInfo(
            (exponent - target) ** 2, torch.tensor([exponent], dtype=torch.float64), lost, False, 0
        )

    def _seen(self, state: Any, inputs: Any, seed: int) -> float:
        generator = torch.Generator().manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LostDirectionsWarning)  # the info counts them
            return self.measure(state, inputs, generator=generator)

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed needs: the heights."""
        return {"peaks": [surrogate.peak for surrogate in self.surrogates]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        for surrogate, peak in zip(self.surrogates, state["peaks"], strict=True):
            surrogate.scale(peak / surrogate.peak)
