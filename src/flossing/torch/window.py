"""The stretch of a trajectory along which flossers of PyTorch steps take exponents."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .._readable import Summary, in_a_line, readable
from ..floss.window import check_window
from ._tree import Step, map_tensors, tensors
from .spectrum import lyapunov_spectrum


@readable
class FlossInfo(NamedTuple):
    """What one flossing step found."""

    loss: float
    exponents: Tensor
    """In the window, averaged over the examples; minus infinity for lost directions."""
    num_lost: int
    """How many directions were lost."""
    skipped: bool
    """Loss or gradient was not finite, so the step was left out."""
    num_skipped: int
    """How many steps were left out so far, this one included."""

    def _summary(self) -> Summary | None:
        return in_a_line(self)


class Window:
    """A step, and the stretch along which its exponents are taken; what flossers have in common."""

    disturbs: ClassVar[bool] = True
    """Whether a step changes what the module computes, and so what it has learned."""

    num_starts = None

    def __init__(
        self,
        step: Step,
        *,
        targets: float | Sequence[float],
        window: int,
        warmup: int,
        state_warmup: int,
        tangents: Any,
    ):
        self.step, self.targets, self.tangents = step, targets, tangents
        self.window, self.warmup, self.state_warmup = window, warmup, state_warmup
        check_window(self)

    @property
    def num_steps(self) -> int:
        """Steps of input that one look or flossing step needs: ``state_warmup + window``."""
        return self.state_warmup + self.window

    def update(
        self, state: Any, inputs: Any = None, *, generator: torch.Generator | None = None
    ) -> FlossInfo:
        """One flossing step."""
        raise NotImplementedError

    @torch.no_grad()
    def measure(
        self, state: Any, inputs: Any = None, *, generator: torch.Generator | None = None
    ) -> float:
        """The first exponent in the window, averaged over the examples, in nats per step.

        Arguments are those of ``update``.
        """
        state, inputs = self.given(state, inputs)
        spectrum = lyapunov_spectrum(
            self.step,
            state,
            inputs,
            num_exponents=1,
            num_steps=None if inputs is not None else self.num_steps,
            state_warmup=self.state_warmup,
            warmup=self.warmup,
            num_windows=1,
            tangents=self.tangents,
            generator=generator,
        )
        return float(spectrum.exponents.mean())

    def given(self, state: Any, inputs: Any) -> tuple[Any, Any]:
        """State and first steps of the inputs, as given or as functions make them, without a graph."""
        state = state() if callable(state) else state
        inputs = inputs() if callable(inputs) else inputs
        for x in tensors(inputs):
            if x.ndim == 0 or len(x) < self.num_steps:
                length = 0 if x.ndim == 0 else len(x)
                raise ValueError(
                    f"inputs: {length} steps, but state_warmup and window need {self.state_warmup} + "
                    f"{self.window} = {self.num_steps}; choose smaller ones, or give longer inputs."
                )
        return map_tensors(Tensor.detach, state), map_tensors(
            lambda x: x[: self.num_steps].detach(), inputs
        )

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed needs."""
        raise NotImplementedError

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        raise NotImplementedError
