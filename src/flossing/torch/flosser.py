"""Gradient flossing of PyTorch modules in a loop of one's own: ``Flosser`` and ``AdaptiveFlosser``."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._checks import check_finite, check_integer, check_positive
from ..floss._rule import Rule, remembered
from ..floss.flosser import check_window
from ._check_run import has_batch
from ._tree import Layout, Step, map_tensors, tensors
from .objective import Penalty, flossing_loss
from .spectrum import lyapunov_spectrum


class FlossInfo(NamedTuple):
    """What one flossing step found before it changed anything."""

    loss: float
    exponents: Tensor
    """In the flossing window, averaged over the examples; minus infinity for lost directions."""
    num_lost: int
    """How many directions were lost."""
    skipped: bool
    """Loss or gradient was not finite, so the step was left out."""
    num_skipped: int
    """How many steps were left out so far, this one included."""


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
                    torch.nn.utils.clip_grad_norm_([parameter], group["clip_norm"])
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


class Flosser:
    """Moves the leading Lyapunov exponents of a module towards targets, one gradient step at a time.

    In any loop, beside the optimiser of the task::

        step, state = ft.as_step(net.rnn, x[0])
        flosser = ft.Flosser(step, net.rnn.parameters(), num_exponents=16)
        for x, y in batches:
            ...  # a training step
            info = flosser.update(state, x)

    Args:
        step: ``step(state, input) -> state``, of ``ft.as_step`` or a function that calls a module.
        parameters: what is flossed, as for an optimiser of ``torch.optim``.
        num_exponents: how many leading exponents are flossed; at most as many as there are state variables.
        targets: one number for all, or one per exponent, in nats per step.
        window: steps of tangent propagation, warm-up included.
        warmup: first steps of the window, which turn the random basis and are not counted.
        state_warmup: steps before the window in which only the state moves.
        penalty: ``"two-sided"``, or count only exponents ``"above"`` or ``"below"`` their targets.
        detach_warmup, detach_states, renormalise_every, tangents: as for ``ft.flossing_loss``.
        optimiser: an optimiser of ``torch.optim`` for just these parameters; default
            ``ft.flossing_optimiser(parameters)``.
        keep_row_means: changes of matrices leave the mean of each row as it is, as spiking units need
            it. Default: what the step says, which those of spiking modules do; else not.

    Source: Engelken 2023; averages, clipping and the falling rate are ours.
    """

    def __init__(
        self,
        step: Step,
        parameters: Iterable[Tensor],
        num_exponents: int = 16,
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
        self.step = step
        self.parameters = [p for p in _listed(parameters) if p.requires_grad]
        if not self.parameters:
            raise ValueError("parameters: expected tensors that need gradients, got none.")
        self.num_exponents = check_integer("num_exponents", num_exponents, 1)
        self.targets = targets
        self.window, self.warmup, self.state_warmup = window, warmup, state_warmup
        self.num_starts = None
        check_window(self)
        self.options: dict[str, Any] = {
            "detach_warmup": detach_warmup,
            "detach_states": detach_states,
        }
        self.options |= {"renormalise_every": renormalise_every, "penalty": penalty}
        self.tangents = tangents
        self.optimiser = flossing_optimiser(self.parameters) if optimiser is None else optimiser
        _check_optimiser(self.optimiser, self.parameters)
        if keep_row_means is None:
            keep_row_means = bool(getattr(step, "keep_row_means", False))
        self.keep_row_means = keep_row_means
        self.num_skipped = 0

    @property
    def num_steps(self) -> int:
        """Steps of input that one look or flossing step needs: ``state_warmup + window``."""
        return self.state_warmup + self.window

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
        state, inputs = self._given(state, inputs)
        with torch.enable_grad():
            loss, info = flossing_loss(
                self.step,
                state,
                inputs,
                num_exponents=min(self.num_exponents, _dimension(state, inputs, self.tangents)),
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
        found = [g for g in gradients if g is not None]
        good = bool(torch.isfinite(loss)) and all(bool(torch.isfinite(g).all()) for g in found)
        if good:
            self._apply(gradients)
        self.num_skipped += not good
        return FlossInfo(
            float(loss.detach()), info.exponents, int(info.num_lost), not good, self.num_skipped
        )

    @torch.no_grad()
    def measure(
        self, state: Any, inputs: Any = None, *, generator: torch.Generator | None = None
    ) -> float:
        """The first exponent in the window, averaged over the examples, in nats per step.

        Arguments are those of ``update``.
        """
        state, inputs = self._given(state, inputs)
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

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed needs."""
        return {"optimiser": self.optimiser.state_dict(), "num_skipped": self.num_skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.optimiser.load_state_dict(state["optimiser"])
        self.num_skipped = state["num_skipped"]

    def _given(self, state: Any, inputs: Any) -> tuple[Any, Any]:
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


class Look(NamedTuple):
    """What a call of an adaptive flosser saw and did."""

    due: bool
    """Whether it looked at the exponents."""
    exponent: float
    """The first exponent as it was found, nats per step; NaN where nobody looked."""
    learned: bool
    """Whether the averaged loss says that the model has learned."""
    steps: int
    """Flossing steps taken."""


class AdaptiveFlosser:
    """Keeps the first exponent of a module within a band while it learns; called once per training step.

    Every ``every`` calls it looks at the exponent. The band is ``band / horizon`` wide to either side
    of the target: an exponent of size ``1 / horizon`` shrinks or grows an error signal by a factor of e
    over the horizon. It flosses when

    - the exponent is above the band: gradients are about to explode; or
    - it is below the band and the model has not learned yet: its gradients have vanished. A model that
      has learned needs no slower directions than it uses, and is left alone.

    It goes on until the exponent is within half the band's width, or for 20 steps. The rule is that of
    ``fl.AdaptiveFlosser``.

    Args:
        flosser: an ``ft.Flosser``.
        horizon: the longest time that the model has to bridge, in steps.
        band: half the width of the band, times the horizon.
        every: calls between looks.
        learned: the model has learned when its loss, averaged over the last calls, is below this
            fraction of the loss of one that has learned nothing.
        chance: the loss of one that has learned nothing; default the first loss that ``update`` gets.
    """

    def __init__(
        self,
        flosser: Flosser,
        *,
        horizon: float,
        band: float = 2.0,
        every: int = 20,
        learned: float = 0.5,
        chance: float | None = None,
    ):
        if not isinstance(flosser, Flosser):
            raise TypeError(f"flosser: expected an ft.Flosser, got {type(flosser).__name__}.")
        check_positive("horizon", horizon)
        check_positive("band", band)
        check_integer("every", every, 1)
        check_positive("learned", learned, zero=True)
        if chance is not None:
            check_finite("chance", chance)
        self.flosser = flosser
        target = np.ravel(np.asarray(flosser.targets, float))[0]
        self.rule = Rule(target, band / horizon, every, learned, disturbs=True)
        self.calls = 0
        self.mean_loss = np.float64(np.inf)
        self.chance = np.float64(np.nan if chance is None else chance)

    def update(
        self,
        state: Any,
        inputs: Any = None,
        *,
        loss: Any = None,
        generator: torch.Generator | None = None,
    ) -> Look:
        """What is due after a training step, or nothing.

        Args:
            state, inputs, generator: as for ``ft.Flosser.update``.
            loss: training loss of that step, a number or a tensor; without it the model never counts as
                one that has learned.
        """
        if loss is not None:
            new = np.float64(loss.detach().item() if isinstance(loss, Tensor) else loss)
            with np.errstate(invalid="ignore"):
                self.mean_loss, self.chance = map(
                    np.float64, remembered(self.mean_loss, self.chance, new, np)
                )
        learned = np.bool_(self.rule.has_learned(self.mean_loss, self.chance))
        due = bool(self.rule.is_due(np.int64(self.calls)))
        self.calls += 1
        if not due:
            return Look(False, math.nan, bool(learned), 0)
        seen = found = self.flosser.measure(state, inputs, generator=generator)
        go_on, done = bool(self.rule.is_wrong(np.float64(found), learned)), 0
        while go_on:
            info = self.flosser.update(state, inputs, generator=generator)
            seen, done = float(info.exponents[0]), done + 1
            go_on = bool(self.rule.goes_on(np.float64(seen), np.int64(done)))
        return Look(True, found, bool(learned), done)

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed needs."""
        numbers = {"calls": self.calls, "mean_loss": float(self.mean_loss)}
        return {"flosser": self.flosser.state_dict(), "chance": float(self.chance), **numbers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.flosser.load_state_dict(state["flosser"])
        self.calls = int(state["calls"])
        self.mean_loss, self.chance = np.float64(state["mean_loss"]), np.float64(state["chance"])


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
