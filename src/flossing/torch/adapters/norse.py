"""Cells of Norse, and its sequences of them."""

import inspect
from typing import Any

from torch import Tensor, nn

from .._tree import map_tensors
from ._adapted import Adapted, library_of


def claims(module: nn.Module) -> bool:
    """Whether it is a module of Norse that takes and returns a state."""
    return "norse" in library_of(module) and _is_stateful(module)


def adapted(module: nn.Module, sample: Tensor) -> Adapted:
    """The module as it is; it starts from the state that it makes for such inputs."""

    def advance(state: Any, input: Tensor) -> Any:
        # Sequences change the list that they are given.
        given = list(state) if isinstance(state, list) else state
        return module(input, given)[1]

    return Adapted(module, advance, _start(module, sample)[0], spiking=True)


def _is_stateful(module: nn.Module) -> bool:
    return "state" in inspect.signature(module.forward).parameters


def _start(module: Any, sample: Tensor) -> tuple[Any, Tensor]:
    """The state that a module starts from, and what it makes of an input in it."""
    if hasattr(module, "state_fallback"):
        state = module.state_fallback(sample)
        given = map_tensors(lambda x: x.to(sample.dtype) if x.is_floating_point() else x, state)
        return state, module(sample, given)[0]
    if not isinstance(module, nn.Sequential):
        raise ValueError(
            f"module: {type(module).__name__} does not say where its state starts; write a function "
            "step(state, input) that calls it, with a start state of your own."
        )
    states: list[Any] = []
    for part in module:
        state, sample = _start(part, sample) if _is_stateful(part) else (None, part(sample))
        states.append(state)
    return states, sample
