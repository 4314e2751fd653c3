"""How each library's modules are stepped; one file per library, none of which is imported before it is
there.
"""

from typing import Any

import torch
from torch import Tensor

from . import core, norse, sinabs, snntorch, spikingjelly
from ._adapted import Adapted as Adapted
from .attributes import Attributes

_LIBRARIES = (core, snntorch, norse, spikingjelly, sinabs)


def adapt(module: Any, sample: Tensor) -> Adapted:
    """The adapter of a module, or ``TypeError`` with what to do."""
    if isinstance(module, Attributes):
        return module.adapted(sample)
    if not isinstance(module, torch.nn.Module):
        raise TypeError(
            f"module: expected a module of PyTorch or ft.Attributes, got {type(module).__name__}."
        )
    for library in _LIBRARIES:
        if library.claims(module):
            return library.adapted(module, sample)
    raise TypeError(
        f"module: {type(module).__name__} is none of the modules that as_step knows. Write a function "
        "step(state, input) that calls it, or ft.Attributes(module, names) if it keeps its state in "
        "attributes."
    )
