"""Layers on top of each other, as one step."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ..escape_noise import EscapeNoise, Noisy, parts
from ._base import Cell, check_cell, check_escape


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
        if not isinstance(layers, Sequence):
            raise TypeError(f"layers: expected a list of cells, got {type(layers).__name__}.")
        layers = tuple(layers)
        if not layers:
            raise ValueError("layers: expected at least one cell, got none.")
        for index, layer in enumerate(layers):
            check_cell(f"layers[{index}]", layer)
            if index and layer.input_size != layers[index - 1].hidden_size:
                raise ValueError(
                    f"layers[{index}]: input_size is {layer.input_size}, but the layer below has "
                    f"hidden_size {layers[index - 1].hidden_size}."
                )
        self.layers = layers
        self.input_size = layers[0].input_size
        self.hidden_size = layers[-1].hidden_size

    @property
    def keep_row_means(self) -> bool:
        """Whether flossing steps leave the means of rows of weights as they are: if any layer asks for it."""
        return any(getattr(layer, "keep_row_means", False) for layer in self.layers)

    @property
    def most_flossed(self) -> int | None:
        """Those of all layers together."""
        if all(layer.most_flossed is None for layer in self.layers):
            return None
        states = (jax.tree.leaves(layer.initial_state()) for layer in self.layers)
        sizes = [sum(x.size for x in leaves if eqx.is_inexact_array(x)) for leaves in states]
        most = [layer.most_flossed for layer in self.layers]
        return sum(n if m is None else m for n, m in zip(sizes, most, strict=True))

    @property
    def noise_size(self) -> int:
        """How many uniform numbers a step needs: those of all layers together."""
        return sum(layer.noise_size for layer in self.layers)

    def _noise(self, uniform: Array | None) -> list[Array | None]:
        """Each layer's share of the uniform numbers, bottom first."""
        shares, start = [], 0
        for layer in self.layers:
            stop = start + layer.noise_size
            shares.append(None if uniform is None or stop == start else uniform[..., start:stop])
            start = stop
        return shares

    def __call__(
        self, state: tuple[Any, ...], input: Float[Array, " input"] | Noisy
    ) -> tuple[Any, ...]:
        """The next states of all layers, bottom first."""
        self._check_states(state)
        below, uniform = parts(input, self.noise_size)
        new = []
        for layer, its, noise in zip(self.layers, state, self._noise(uniform), strict=True):
            with_noise: Any = below if noise is None else Noisy(below, noise)
            new.append(layer(its, with_noise))
            below = layer.output(new[-1])
        return tuple(new)

    def over_time(
        self,
        inputs: Float[Array, "time *trial input"] | Noisy,
        state: tuple[Any, ...] | None = None,
    ) -> Float[Array, "time *trial hidden"]:
        """Outputs of the top layer at all steps, shape ``(time, *trial, hidden_size)``."""
        return self.all_over_time(inputs, state)[-1]

    def all_over_time(
        self,
        inputs: Float[Array, "time *trial input"] | Noisy,
        state: tuple[Any, ...] | None = None,
    ) -> tuple[Float[Array, "time *trial _"], ...]:
        """Outputs of every layer at all steps, bottom first; one layer after the other.

        Args:
            inputs: of one trial, or of many side by side; time comes first.
            state: where to start, each array with the axes of the trials before its own.
        """
        below, uniform = parts(inputs, self.noise_size, "inputs")
        if state is not None:
            self._check_states(state)
        states = [None] * len(self.layers) if state is None else state
        outputs = []
        for layer, its, noise in zip(self.layers, states, self._noise(uniform), strict=True):
            below = layer.over_time(below if noise is None else Noisy(below, noise), its)
            outputs.append(below)
        return tuple(outputs)

    def _check_states(self, state: Any) -> None:
        if not isinstance(state, tuple | list) or len(state) != len(self.layers):
            got = len(state) if isinstance(state, tuple | list) else type(state).__name__
            raise ValueError(
                f"state: expected one entry for each of {len(self.layers)} layers, got {got}."
            )

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> tuple[Any, ...]:
        """The initial states of all layers, bottom first."""
        keys = [None] * len(self.layers) if key is None else jax.random.split(key, len(self.layers))
        return tuple(layer.initial_state(key=k) for layer, k in zip(self.layers, keys, strict=True))

    def output(self, state: tuple[Any, ...]) -> Float[Array, " hidden"]:
        """The output of the top layer."""
        return self.layers[-1].output(state[-1])


def with_escape(cell: Cell, escape: EscapeNoise | Sequence[EscapeNoise | None] | None) -> Any:
    """A copy of a cell, or of a stack, with other spikes: stochastic, or deterministic for ``None``.

    Weights stay as they are, so a network that was trained with one kind of spikes can be run with another.

    Args:
        cell: LIF neurons or binary units, or a stack whose layers of these are all changed.
        escape: an escape noise or ``None``; for a stack also one for each of these layers, bottom first.

    Raises:
        TypeError: a cell that has no spikes.
        ValueError: as many entries as there are layers with spikes were expected.
    """
    layers = cell.layers if isinstance(cell, Stack) else (cell,)
    spiking = [layer for layer in layers if hasattr(layer, "escape")]
    if not spiking:
        raise TypeError(f"cell: expected LIF neurons or binary units, got {type(cell).__name__}.")
    for each in escape if isinstance(escape, Sequence) else [escape]:
        check_escape(each)
    given = list(escape) if isinstance(escape, Sequence) else [escape] * len(spiking)
    if len(given) != len(spiking):
        raise ValueError(f"escape: expected {len(spiking)} entries, got {len(given)}.")
    rest = iter(given)

    def change(layer: Cell) -> Cell:
        if not hasattr(layer, "escape"):
            return layer
        return eqx.tree_at(lambda c: c.escape, layer, next(rest), is_leaf=lambda x: x is None)

    changed = [change(layer) for layer in layers]
    return Stack(changed) if isinstance(cell, Stack) else changed[0]
