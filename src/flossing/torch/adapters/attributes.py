"""Modules that keep their state in attributes."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ._adapted import Adapted


class Attributes:
    """A module that keeps its state in attributes, for ``ft.as_step``.

    A step sets the attributes, calls the module, reads them, and puts back what was there::

        step, state = ft.as_step(ft.Attributes(net, ["layer1.mem", "layer2.mem"]), x)

    Args:
        module: called as ``module(input)``.
        names: of attributes or buffers, with dots for those of submodules. The state is a dict by these
            names. It starts from what they hold; numbers stand for tensors of that number, and ``None``
            for zeros.

    Raises:
        AttributeError: there is no such attribute.
        TypeError: one of them is a parameter.
    """

    def __init__(self, module: torch.nn.Module, names: Sequence[str]):
        self.module = module
        self.names = [names] if isinstance(names, str) else list(names)
        if not self.names:
            raise ValueError(
                "names: expected the names of the attributes with the state, got none."
            )
        for name in self.names:
            owner, attribute = self._owner(name)
            if not hasattr(owner, attribute):
                raise AttributeError(f"names: {type(module).__name__} has no attribute {name!r}.")
            if isinstance(getattr(owner, attribute), torch.nn.Parameter):
                raise TypeError(f"names: {name!r} is a parameter, which a step cannot change.")

    def _owner(self, name: str) -> tuple[Any, str]:
        path, _, attribute = name.rpartition(".")
        owner: Any = self.module
        for part in path.split(".") if path else []:
            owner = getattr(owner, part)
        return owner, attribute

    def _read(self) -> dict[str, Any]:
        return {name: getattr(*self._owner(name)) for name in self.names}

    def _write(self, values: dict[str, Any]) -> None:
        for name, value in values.items():
            owner, attribute = self._owner(name)
            setattr(owner, attribute, value)

    def adapted(
        self,
        sample: Tensor,
        *,
        call: Callable[[Tensor], Any] | None = None,
        start: Callable[[str, Tensor], Any] | None = None,
        spiking: bool = False,
    ) -> Adapted:
        """The module with its state outside; ``call`` calls it, and ``start`` says where a state starts."""
        call = self.module if call is None else call

        def advance(state: dict[str, Tensor], input: Tensor) -> dict[str, Tensor]:
            before = self._read()
            try:
                self._write(state)
                call(input)
                return self._read()
            finally:
                self._write(before)

        before = self._read()
        try:
            call(sample)
            shaped = self._read()
        finally:
            self._write(before)
        state = {}
        for name, value in shaped.items():
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"names: {name!r} is a {type(value).__name__} after a call; expected a tensor."
                )
            state[name] = _start(before[name], value) if start is None else start(name, value)
        return Adapted(self.module, advance, state, spiking)


def _start(before: Any, after: Tensor) -> Tensor:
    if isinstance(before, Tensor) and before.shape == after.shape:
        return before
    if isinstance(before, int | float):
        return torch.full_like(after, before)
    return torch.zeros_like(after)
