"""Layers on top of each other, as one step."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ._base import Cell


class Stack(Cell):
    """Several cells, each driven by the output of the one below, as a single step.

    All layers move within one step: layer l+1 sees the new output of layer l. The state is the tuple of
    the layers' states, so the spectrum of a stack is that of the whole network.

    Args:
        layers: cells in order; each one's ``input_size`` must be the ``hidden_size`` of the one below.
    """

    layers: tuple[Cell, ...]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(self, layers: Sequence[Cell]):
        layers = tuple(layers)
        if not layers:
            raise ValueError("layers: expected at least one cell, got none.")
        for index, layer in enumerate(layers):
            if not isinstance(layer, Cell):
                raise TypeError(f"layers[{index}]: expected a cell, got {type(layer).__name__}.")
            if index and layer.input_size != layers[index - 1].hidden_size:
                raise ValueError(
                    f"layers[{index}]: input_size is {layer.input_size}, but the layer below has "
                    f"hidden_size {layers[index - 1].hidden_size}."
                )
        self.layers = layers
        self.input_size = layers[0].input_size
        self.hidden_size = layers[-1].hidden_size

    def __call__(self, state: tuple[Any, ...], input: Float[Array, " input"]) -> tuple[Any, ...]:
        """The next states of all layers, bottom first."""
        if len(state) != len(self.layers):
            raise ValueError(
                f"state: expected one entry for each of {len(self.layers)} layers, got {len(state)}."
            )
        new = []
        for layer, layer_state in zip(self.layers, state, strict=True):
            new.append(layer(layer_state, input))
            input = layer.output(new[-1])
        return tuple(new)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> tuple[Any, ...]:
        """The initial states of all layers, bottom first."""
        keys = [None] * len(self.layers) if key is None else jax.random.split(key, len(self.layers))
        return tuple(layer.initial_state(key=k) for layer, k in zip(self.layers, keys, strict=True))

    def output(self, state: tuple[Any, ...]) -> Float[Array, " hidden"]:
        """The output of the top layer."""
        return self.layers[-1].output(state[-1])
