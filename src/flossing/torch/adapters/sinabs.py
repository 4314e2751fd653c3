"""Layers of sinabs, which see one step of a sequence at a time."""

from typing import Any

import torch
from torch import Tensor, nn

from ._adapted import Adapted, library_of
from .attributes import Attributes


def claims(module: nn.Module) -> bool:
    """Whether it is a layer of sinabs with a state, or a sequence with such layers."""
    return any(_is_stateful(part) for part in _parts(module))


def _parts(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, nn.Sequential) else [module]


def _is_stateful(module: nn.Module) -> bool:
    return "sinabs" in library_of(module) and hasattr(module, "state_has_shape")


def adapted(module: Any, sample: Tensor) -> Adapted:
    """The module with its states outside, a dict by their names; they start at zeros.

    A recurrent layer that is called with one time step loses its recurrence. Its spikes are part of the state
    here.
    """
    if hasattr(module, "rec_connect"):
        return _recurrent(module, sample)
    names = []
    for path, part in module.named_modules():
        if hasattr(part, "rec_connect"):
            raise ValueError(
                f"module: the recurrent layer {path!r} cannot be stepped within "
                f"{type(module).__name__}; write a function step(state, input) of ft.as_step's steps "
                "for each layer."
            )
        if _is_stateful(part):
            names += [
                f"{path}.{name}" if path else name for name, _ in part.named_buffers(recurse=False)
            ]

    def call(input: Tensor) -> Any:
        return module(input[:, None])

    return Attributes(module, names).adapted(
        sample, call=call, start=lambda name, after: torch.zeros_like(after), spiking=True
    )


def _recurrent(module: Any, sample: Tensor) -> Adapted:
    from sinabs.layers.functional.lif import lif_forward_single  # pyright: ignore[reportMissingImports]

    names = [name for name, _ in module.named_buffers(recurse=False)]

    def advance(state: dict[str, Tensor], input: Tensor) -> dict[str, Tensor]:
        spikes, new = lif_forward_single(
            input_data=input + module.rec_connect(state["spikes"]).reshape(input.shape),
            alpha_mem=module.alpha_mem_calculated,
            alpha_syn=module.alpha_syn_calculated,
            state={name: state[name] for name in names},
            spike_threshold=module.spike_threshold,
            spike_fn=module.spike_fn,
            reset_fn=module.reset_fn,
            surrogate_grad_fn=module.surrogate_grad_fn,
            min_v_mem=module.min_v_mem,
            norm_input=module.norm_input,
        )
        return {name: new[name] for name in names} | {"spikes": spikes}

    zeros = torch.zeros_like(sample)
    return Adapted(module, advance, {name: zeros for name in [*names, "spikes"]}, spiking=True)
