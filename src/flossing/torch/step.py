"""Modules as steps ``(state, input) -> state``, whatever they do with their state."""

from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from ._tree import detached, is_inexact, map_tensors
from .adapters import Adapted, adapt
from .adapters.attributes import Attributes as Attributes


class ModuleStep:
    """The step of a module, made by ``ft.as_step``; its parameters are those of the module, always as
    they are now.

    ``step(state, input)`` takes states and inputs with a batch axis of any length, and without one as well.
    """

    def __init__(self, adapted: Adapted, input_axes: int):
        self.module: torch.nn.Module = adapted.module
        self.keep_row_means: bool = adapted.spiking
        """Whether flossing steps leave the means of rows of weights as they are: for spiking units."""
        self.most_flossed: int | None = adapted.most_flossed
        """How many leading exponents flossing moves at most: in an LSTM as many as there are units."""
        self._advance = adapted.advance
        self._input_axes = input_axes

    def __call__(self, state: Any, input: Tensor) -> Any:
        """The next state, in the precision of this one."""
        single = input.ndim < self._input_axes
        if single:
            state, input = map_tensors(lambda x: x[None], (state, input))
        new = _like(self._advance(state, input), state)
        return map_tensors(lambda x: x[0], new) if single else new

    def __repr__(self) -> str:
        return f"{type(self).__name__}({type(self.module).__name__})"


def as_step(module: torch.nn.Module | Attributes, sample_input: Tensor) -> tuple[ModuleStep, Any]:
    """A step ``(state, input) -> state`` made of a module, and the state that the module starts from.

    Known are ``nn.RNNCell``, ``GRUCell`` and ``LSTMCell``; ``nn.RNN``, ``GRU`` and ``LSTM``, one step
    at a time, in states of shape (batch, layers, hidden); neurons of snnTorch with and without
    ``init_hidden``, by themselves and within modules; cells of Norse, and its ``SequentialState``;
    modules of SpikingJelly 2 in single-step mode; layers of sinabs. All else that keeps its state in
    attributes is ``ft.Attributes(module, names)``. A module that takes and returns its state needs none
    of this: write ``lambda state, input: module(input, state)``.

    The module stays as it is: the tensors it keeps from its last call are put back after each step.

    Args:
        module: the module, or ``ft.Attributes``.
        sample_input: one time step of input, ``(batch, features)`` or ``(batch, channels, ...)``;
            ``(features,)`` for a state without a batch axis. The module is called with it once, to
            learn the shapes of its state.

    Returns:
        The step and the start state.

    Raises:
        TypeError: a module that is none of these.
        ValueError: a module that cannot be stepped, such as one that reads its inputs in both directions.
    """
    if not isinstance(sample_input, Tensor):
        raise TypeError(
            f"sample_input: expected a tensor of one time step, got {type(sample_input).__name__}."
        )
    single = sample_input.ndim == 1
    sample = sample_input.detach()[None] if single else sample_input.detach()
    if sample.ndim < 2:
        raise ValueError("sample_input: expected shape (batch, features) or (features,), got ().")
    dtype = sample.dtype if sample.is_floating_point() else torch.get_default_dtype()
    with torch.no_grad():
        try:
            adapted = adapt(module, sample)
            start = map_tensors(lambda x: x.to(dtype) if is_inexact(x) else x, adapted.state)
            state = _started(start, adapted.advance(start, sample))
        except (RuntimeError, IndexError) as error:
            raise ValueError(
                f"sample_input: calling the module with shape {tuple(sample.shape)} failed: {error}"
            ) from error
    step = ModuleStep(adapted, sample.ndim)
    return step, map_tensors(lambda x: x[0].clone(), state) if single else state


def _started(state: Any, after: Any) -> Any:
    """The start state in the shapes that it has after a step."""
    old, spec = pytree.tree_flatten(state)
    new = pytree.tree_leaves(after)

    def fit(start: Any, shaped: Any) -> Any:
        return start.expand(shaped.shape).clone() if is_inexact(shaped) else start

    return detached(pytree.tree_unflatten([fit(a, b) for a, b in zip(old, new, strict=True)], spec))


def _like(new: Any, old: Any) -> Any:
    """The new state in the precision of the old one: spikes of some libraries are always float32."""
    before = pytree.tree_leaves(old)
    after, spec = pytree.tree_flatten(new)
    if len(before) != len(after):
        return new
    cast = [
        a.to(b.dtype) if is_inexact(a) and is_inexact(b) and a.dtype != b.dtype else a
        for a, b in zip(after, before, strict=True)
    ]
    return pytree.tree_unflatten(cast, spec)
