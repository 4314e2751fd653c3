"""Gradient flossing of PyTorch modules in a loop of one's own."""

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from .._checks import check_integer
from ..floss._rule import few_of, nearly_all
from ._check_run import has_batch
from ._spiking import spiking_units
from ._tree import Layout, Step, map_tensors
from .objective import Penalty, flossing_loss
from .optimiser import flossing_optimiser
from .window import FlossInfo, Window


class Flosser(Window):
    """Moves the leading Lyapunov exponents of a module towards targets, one gradient step at a time.

    In any loop, beside the optimiser of the task::

        step, state = ft.as_step(net.rnn, x[0])
        flosser = ft.Flosser(step, net.rnn.parameters())
        for x, y in batches:
            ...  # a training step
            info = flosser.update(state, x)

    Args:
        step: ``step(state, input) -> state``, of ``ft.as_step`` or a function that calls a module.
        parameters: what is flossed, as for an optimiser of ``torch.optim``.
        num_exponents: how many leading exponents are flossed; at most as many as there are state variables,
            and in an LSTM as there are units. Default: nearly all, 94 % of these, and 512 at most; of
            spiking units a tenth of them.
        targets: one number for all, or one per exponent, in nats per step.
        window: steps of tangent propagation, warm-up included.
        warmup: first steps of the window, which turn the random basis and are not counted.
        state_warmup: steps before the window in which only the state moves.
        penalty: ``"two-sided"``, or count only exponents ``"above"`` or ``"below"`` their targets.
        detach_warmup, detach_states, renormalise_every, tangents: as for ``ft.flossing_loss``.
        optimiser: an optimiser of ``torch.optim`` for just these parameters; default
            ``ft.flossing_optimiser(parameters)``.
        keep_row_means: changes of matrices leave the mean of each row as it is, as spiking units need
            it. Default: what the step says, which those of spiking modules do; of another step whether
            its state holds spikes, zeros and ones alone beside membranes, along the window.

    Source: Engelken 2023; averages, clipping and the falling rate are ours.
    """

    def __init__(
        self,
        step: Step,
        parameters: Iterable[Tensor],
        num_exponents: int | None = None,
        *,
        targets: float | Sequence[float] = 0.0,
        window: int = 100,
        warmup: int = 25,
        state_warmup: int = 50,
        penalty: Penalty = "two-sided",
        detach_warmup: bool = False,
        detach_states: bool = False,
        renormalise_every: int = 1,
        tangents: Any = None,
        optimiser: torch.optim.Optimizer | None = None,
        keep_row_means: bool | None = None,
    ):
        super().__init__(
            step, targets=targets, window=window, warmup=warmup, state_warmup=state_warmup,
            tangents=tangents,
        )  # fmt: skip
        self.parameters = [p for p in _listed(parameters) if p.requires_grad]
        if not self.parameters:
            raise ValueError("parameters: expected tensors that need gradients, got none.")
        if num_exponents is not None:
            num_exponents = check_integer("num_exponents", num_exponents, 1)
        self.num_exponents = num_exponents
        self.options: dict[str, Any] = {
            "detach_warmup": detach_warmup,
            "detach_states": detach_states,
        }
        self.options |= {"renormalise_every": renormalise_every, "penalty": penalty}
        self.optimiser = flossing_optimiser(self.parameters) if optimiser is None else optimiser
        _check_optimiser(self.optimiser, self.parameters)
        said = getattr(step, "keep_row_means", None)
        self.keep_row_means: bool | None = said if keep_row_means is None else keep_row_means
        """``None`` until an update has seen whether the state holds spikes."""
        self._num_spiking: int | None = 0 if said is False else None
        self.num_skipped = 0

    def update(
        self, state: Any, inputs: Any = None, *, generator: torch.Generator | None = None
    ) -> FlossInfo:
        """One flossing step: changes the parameters, and returns what was found before.

        Gradients of the task that lie in ``parameter.grad`` stay as they are. A step whose loss or
        gradient is not finite changes nothing but the count of such steps.

        Args:
            state: where trajectories start, as for ``ft.flossing_loss``; of a batch exponents are
                averaged over the examples. Or a function without arguments that makes one.
            inputs: tensors with time as leading axis, at least ``num_steps`` steps, of which the first
                are used; or a function without arguments that makes them, for fresh inputs in every
                step; ``None`` for a step without inputs.
            generator: random numbers of the tangent basis; default the global ones of PyTorch.

        Raises:
            ValueError, TypeError: arguments that do not fit.
        """
        state, inputs = self.given(state, inputs)
        self._look_for_spikes(state, inputs)
        with torch.enable_grad():
            loss, info = flossing_loss(
                self.step,
                state,
                inputs,
                num_exponents=self._count(state, inputs),
                targets=self.targets,
                num_steps=None if inputs is not None else self.num_steps,
                state_warmup=self.state_warmup,
                warmup=self.warmup,
                tangents=self.tangents,
                generator=generator,
                has_aux=True,
                **self.options,
            )
            gradients: Sequence[Tensor | None] = [None] * len(self.parameters)
            if loss.requires_grad:
                gradients = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        present = [g for g in gradients if g is not None]
        good = bool(torch.isfinite(loss)) and all(bool(torch.isfinite(g).all()) for g in present)
        if good:
            self._apply(gradients)
        self.num_skipped += not good
        return FlossInfo(
            float(loss.detach()), info.exponents, int(info.num_lost), not good, self.num_skipped
        )

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed needs."""
        return {"optimiser": self.optimiser.state_dict(), "num_skipped": self.num_skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.num_skipped = state["num_skipped"]

    def _apply(self, gradients: Sequence[Tensor | None]) -> None:
        """One step of the optimiser with these gradients."""
        kept = [p.grad for p in self.parameters]
        before = [p.detach().clone() for p in self.parameters] if self.keep_row_means else []
        try:
            for parameter, gradient in zip(self.parameters, gradients, strict=True):
                parameter.grad = torch.zeros_like(parameter) if gradient is None else gradient
            self.optimiser.step()
        finally:
            for parameter, gradient in zip(self.parameters, kept, strict=True):
                parameter.grad = gradient
        with torch.no_grad():
            for parameter, old in zip(self.parameters, before, strict=False):
                if parameter.ndim == 2 and parameter.shape[1] > 1:
                    parameter -= (parameter - old).mean(1, keepdim=True)

    def _look_for_spikes(self, state: Any, inputs: Any) -> None:
        """Finds out how many units spike, as long as that is not known and something depends on it."""
        if self._num_spiking is not None or None not in (self.keep_row_means, self.num_exponents):
            return
        with contextlib.suppress(Exception):  # the loss says what is wrong
            self._num_spiking = spiking_units(self.step, state, inputs, self.num_steps)
        if self.keep_row_means is None and self._num_spiking is not None:
            self.keep_row_means = self._num_spiking > 0

    def _count(self, state: Any, inputs: Any) -> int:
        """How many exponents are flossed."""
        size = _dimension(state, inputs, self.tangents)
        most = getattr(self.step, "most_flossed", None)
        most = size if most is None else min(size, most)
        if self.num_exponents is not None:
            return min(self.num_exponents, most)
        says_so = getattr(self.step, "keep_row_means", False)
        neurons = self._num_spiking or (size if says_so else 0)
        return min(few_of(neurons), most) if neurons else nearly_all(most)


def _listed(parameters: Any) -> list[Tensor]:
    """Tensors of what an optimiser takes: tensors, or groups of them."""
    if isinstance(parameters, torch.nn.Module | Tensor) or callable(parameters):
        raise TypeError(
            f"parameters: expected tensors such as module.parameters(), got {type(parameters).__name__}."
        )
    listed = []
    for entry in parameters:
        listed += list(entry["params"]) if isinstance(entry, dict) else [entry]
    return listed


def _check_optimiser(optimiser: Any, parameters: list[Tensor]) -> None:
    if not isinstance(optimiser, torch.optim.Optimizer):
        raise TypeError(
            "optimiser: expected an optimiser of torch.optim such as torch.optim.Adam(parameters, "
            f"1e-3), got {optimiser!r} ({type(optimiser).__name__})."
        )
    held = {id(p) for group in optimiser.param_groups for p in group["params"] if p.requires_grad}
    if held != {id(p) for p in parameters}:
        raise ValueError(
            "optimiser: holds other parameters than those that are flossed; make one of its own for "
            "parameters=."
        )


def _dimension(state: Any, inputs: Any, tangents: Any) -> int:
    """State variables that carry perturbations."""
    batched = has_batch(state, inputs)
    return Layout.of(
        state if batched else map_tensors(lambda x: x[None], state), tangents
    ).dimension
