"""Neurons of snnTorch, by themselves or anywhere within a module."""

import inspect

import torch
from torch import Tensor, nn

from ._adapted import Adapted, library_of
from .attributes import Attributes


def claims(module: nn.Module) -> bool:
    """Whether there is a neuron of snnTorch in it."""
    return any(_names(part) for part in module.modules())


def adapted(module: nn.Module, sample: Tensor) -> Adapted:
    """The module with the states of its neurons outside, a dict by their names; they start at zeros.

    All neurons keep their states in attributes, those without ``init_hidden`` as well. Within a module
    they need ``init_hidden=True``, because the module itself is called with the input alone.
    """
    names = []
    for path, part in module.named_modules():
        if path and _names(part) and not part.init_hidden:
            raise ValueError(
                f"module: the neuron {path!r} needs init_hidden=True, because {type(module).__name__} "
                "is called with the input alone; or write a function step(state, input) that calls "
                "each layer and returns spikes and membranes as its state: by spikes in the state ft.Flosser "
                "tells that row means have to be kept (keep_row_means)."
            )
        names += [f"{path}.{name}" if path else name for name in _names(part)]
    return Attributes(module, names).adapted(
        sample, start=lambda name, after: torch.zeros_like(after), spiking=True
    )


def _names(module: nn.Module) -> list[str]:
    """Attributes with the state of a neuron, such as syn and mem; none for what is no neuron."""
    if "snntorch" not in library_of(module) or not hasattr(module, "init_hidden"):
        return []
    arguments = list(inspect.signature(module.forward).parameters)[1:]
    return [name for name in arguments if name in module._buffers]
