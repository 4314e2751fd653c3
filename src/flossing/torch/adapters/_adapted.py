"""What an adapter makes of a module."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch


class Adapted(NamedTuple):
    """A module that takes and returns its state."""

    module: torch.nn.Module
    advance: Callable[[Any, Any], Any]
    """The next state; states and inputs have a batch axis."""
    state: Any
    """Where the module starts."""
    spiking: bool = False
    most_flossed: int | None = None
    """How many leading exponents flossing moves at most; ``None``: one for each state variable."""


def library_of(module: torch.nn.Module) -> set[str]:
    """Names of the packages that the class of a module and its bases come from."""
    return {kind.__module__.split(".")[0] for kind in type(module).__mro__}
