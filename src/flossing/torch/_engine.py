"""How tangents go through a step: two vector-Jacobian products, or one along the transposed direction.

Reverse mode gives ``u -> D^T u``, which is linear in ``u``; its own reverse mode gives ``q -> D q``. So
tangents need nothing of a step but that its backward pass can be differentiated: no rules for forward
mode or ``vmap``. Where states are small, ``u -> D^T u`` for all unit vectors ``u`` and many steps at once
takes fewer calls: it gives the rows of ``D``, and tangents are multiplied by them.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ._tree import Layout, Step, detached, map_tensors, repeated

MOST_WORK = 2**21
"""Up to which dense Jacobians are made: the rows that they have more than there are tangents, times the
numbers in the graph of a step. Measured on a CPU with seven kinds of steps of 16 to 256 dimensions: near this
they take 0.7 to 1.2 of the time of copies, with a quarter of the work 0.4 to 0.9.
"""

_NUMBERS = 2**18
"""Of the Jacobians that are made at once; half or twice as many take the same time."""


@dataclasses.dataclass(frozen=True)
class Engine:
    """How tangents are pushed through a step; chosen by ``try_step``, and ``fitted`` to their number."""

    copies: bool = True
    """One copy of the state for each tangent, side by side; else one backward pass for each tangent."""
    forward: bool = True
    """``D q`` from two backward passes; else only ``D^T q``, from one."""
    dense: bool = False
    """Jacobians of many steps at once in place of the two backward passes; needs copies."""
    numbers: int = 0
    """In the graph of one step with one tangent, parameters included: a measure of its work."""
    plain_kernels: bool = False
    """Without cuDNN and fused attention, which cannot be differentiated twice."""

    def __str__(self) -> str:
        how = "copies of the state" if self.copies else "one tangent at a time"
        passes = "two backward passes" if self.forward else "reverse mode"
        way = "Jacobians of many steps at once" if self.dense else f"{passes}, {how}"
        return way + (", plain kernels" if self.plain_kernels else "")

    def fitted(self, rest: list[Any], batch: int, n: int, k: int) -> "Engine":
        """This one, or dense Jacobians where they take less time for k tangents of such states.

        All tensors of a state have to carry perturbations then.
        """
        able = self.forward and self.copies and not any(isinstance(x, Tensor) for x in rest)
        work = batch * (n - k) * self.numbers
        return dataclasses.replace(self, dense=able and work <= MOST_WORK)

    @contextlib.contextmanager
    def kernels(self) -> Iterator[None]:
        """Within this context only such kernels run as the engine can use."""
        if not self.plain_kernels:
            yield
            return
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with torch.backends.cudnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield


def steps_at_once(batch: int, n: int) -> int:
    """Of how many steps Jacobians are made at once."""
    return min(100, max(1, _NUMBERS // (batch * n * n)))


@dataclasses.dataclass
class Pusher:
    """A step of a batch of states and of their tangents, from checked arguments.

    ``differentiate``: whether the results can be differentiated. ``detach_states``: derivatives of the next
    state do not go through this state.
    """

    step: Step
    layout: Layout
    engine: Engine
    detach_states: bool = False

    def advance(self, rows: Tensor, rest: list[Any], input: Any) -> tuple[Tensor, list[Any]]:
        """The next state, as rows of numbers and other leaves."""
        rows = rows.detach() if self.detach_states else rows
        return self.layout.split(self.step(self.layout.join(rows, rest), input))

    def push(
        self, rows: Tensor, rest: list[Any], tangents: Tensor, input: Any, differentiate: bool
    ) -> tuple[Tensor, list[Any], Tensor]:
        """The next state, and the Jacobian times the tangents, shape (batch, k, n)."""
        with torch.enable_grad():
            start, new, rest_after, copies = self._run(rows, rest, tangents, input, differentiate)
            flat = tangents.reshape(new.shape) if copies > 1 else tangents
            moved = _times(start, new, flat, copies == tangents.shape[1], differentiate)
        moved = moved.reshape(tangents.shape)
        after = new.view(len(rows), copies, -1)[:, 0]
        if self.detach_states and differentiate:
            after, rest_after = self.advance(rows, rest, input)
        if not differentiate:
            after, rest_after = detached((after, rest_after))
        return after, rest_after, moved

    def jacobians(
        self, states: Tensor, rest: list[Any], inputs: Any, differentiate: bool
    ) -> Tensor:
        """Those at states of shape (time, batch, n), with time as part of the batch; needs copies."""
        n = states.shape[-1]
        ones = torch.eye(n, dtype=states.dtype, device=states.device)
        errors = ones.expand(states[..., 0].numel(), n, n)
        at = map_tensors(lambda x: x.flatten(0, 1), inputs)
        pulled = self.pull(states.flatten(0, 1), rest, errors, at, differentiate)
        return pulled.view(*states.shape, n)

    def pull(
        self, rows: Tensor, rest: list[Any], errors: Tensor, input: Any, differentiate: bool = False
    ) -> Tensor:
        """The transposed Jacobian times errors, shape (batch, k, n)."""
        with torch.enable_grad():
            start, new, _, copies = self._run(rows, rest, errors, input, differentiate)
            if not new.requires_grad:
                return torch.zeros_like(errors)
            if copies == errors.shape[1]:
                flat = errors.reshape(new.shape)
                grown = torch.autograd.grad(
                    new, start, flat, create_graph=differentiate, materialize_grads=True
                )[0]
                return grown.view(errors.shape)
            each = [
                torch.autograd.grad(new, start, e, retain_graph=True, materialize_grads=True)[0]
                for e in errors.unbind(1)
            ]
            return torch.stack(each, 1)

    def _run(
        self, rows: Tensor, rest: list[Any], tangents: Tensor, input: Any, differentiate: bool
    ) -> tuple[Tensor, Tensor, list[Any], int]:
        """The numbers that a step starts from, those after it, the other leaves, and copies of each row."""
        batch, k, n = tangents.shape
        copies = k if self.engine.copies else 1
        start = rows[:, None].expand(batch, copies, n).reshape(batch * copies, n)
        if not differentiate:
            start = start.detach()
        if not start.requires_grad:
            start = start.detach().requires_grad_()
        others = repeated(rest, batch, copies) if rest else rest
        state = self.layout.join(start, others)
        new, rest_after = self.layout.split(self.step(state, repeated(input, batch, copies)))
        if copies > 1:
            rest_after = [
                x[::copies] if isinstance(x, Tensor) and x.ndim and len(x) == batch * copies else x
                for x in rest_after
            ]
        return start, new, rest_after, copies


def _times(
    start: Tensor, new: Tensor, tangents: Tensor, copied: bool, differentiate: bool
) -> Tensor:
    """The Jacobian of ``new`` with respect to ``start`` times the tangents."""
    if not new.requires_grad:
        return torch.zeros_like(tangents)
    errors = torch.zeros_like(new, requires_grad=True)
    (pulled,) = torch.autograd.grad(new, start, errors, create_graph=True, materialize_grads=True)
    if not pulled.requires_grad:
        return torch.zeros_like(tangents)
    options: dict[str, Any] = {"create_graph": differentiate, "materialize_grads": True}
    if copied:
        tangents = tangents.reshape(pulled.shape)
        return torch.autograd.grad(pulled, errors, tangents, **options)[0]
    options["retain_graph"] = True
    each = [torch.autograd.grad(pulled, errors, q, **options)[0] for q in tangents.unbind(1)]
    return torch.stack(each, 1)
