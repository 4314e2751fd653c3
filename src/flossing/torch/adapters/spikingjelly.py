"""Modules of SpikingJelly 2, whose memories lie in the modules."""

from typing import Any

import torch
from torch import Tensor, nn

from ._adapted import Adapted, library_of


def claims(module: nn.Module) -> bool:
    """Whether there is a memory of SpikingJelly in it."""
    return any(
        "spikingjelly" in library_of(part) and getattr(part, "_memories", None)
        for part in module.modules()
    )


def adapted(module: nn.Module, sample: Tensor) -> Adapted:
    """The module with its memories outside, a dict by their names; they start at their reset values."""
    from spikingjelly.activation_based import base

    for path, part in module.named_modules():
        if getattr(part, "step_mode", "s") != "s":
            raise ValueError(
                f"module: {path or type(module).__name__!r} is in multi-step mode; call "
                'spikingjelly.activation_based.functional.set_step_mode(module, "s") first.'
            )
    forward = base.to_functional_forward(module)
    start = _start(module)
    after: dict[str, Any] = dict(
        zip(start, forward((sample,), tuple(start.values()))[1], strict=True)
    )
    moving = [name for name, value in after.items() if isinstance(value, Tensor)]

    def advance(state: dict[str, Any], input: Tensor) -> dict[str, Any]:
        given = tuple(state.get(name, value) for name, value in start.items())
        new = dict(zip(start, forward((input,), given)[1], strict=True))
        return {name: new[name] for name in moving}

    # A reset value is a number, or None for zeros, until a module has seen the shape of its inputs.
    state = {
        name: torch.as_tensor(start[name] or 0.0).to(after[name]).expand(after[name].shape)
        if not isinstance(start[name], Tensor)
        else start[name].expand(after[name].shape)
        for name in moving
    }
    return Adapted(module, advance, state, spiking=True)


def _start(module: nn.Module) -> dict[str, Any]:
    """Reset values of all memories by name, in the order in which they are given to the module."""
    values: dict[str, Any] = {}
    part: Any
    for path, part in module.named_modules():
        for name in getattr(part, "_memories", {}):
            values[f"{path}.{name}" if path else name] = part._memories_rv[name]
    return values
