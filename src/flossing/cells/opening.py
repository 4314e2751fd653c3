"""Gates that start open: cells of this library and of Equinox."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from .gated import GatedCell

OPENNESS = 3.0
"""What biases of open gates are, in the direction of open."""


def open_gates(model: Any) -> Any:
    """The same model, in which gates of GRU and LSTM cells start open, before it is flossed.

    Gates that are half open as they are made hold half of the state, and flossing can only make them hold
    more: exponents come to zero, but the state is then kept whatever the input is, and a stream of inputs is
    not remembered. With open gates, memory has to pass through the recurrent weights. Reset, input and output
    gates get biases of +3, update and forget gates of -3::

        model = fl.open_gates(model)

    Known are cells of this library and of Equinox (``eqx.nn.GRUCell``, ``eqx.nn.LSTMCell``). Cells whose gate
    biases are no longer those of a fresh cell (``openness``, ``update_bias``, ``forget_bias``, ``chrono``, or
    trained ones) are left as they are. Of cells from elsewhere, set the biases by hand. For modules of
    PyTorch there is ``flossing.torch.open_gates``.

    Schedules that floss do this with fresh networks; before a ``fl.Flosser`` of your own loop, call it
    yourself. Without flossing, open gates are worse: exponents are far below zero. Floss fewer exponents than
    an LSTM has units: its recurrent weights can bring no more than that to zero, and its gates would shut for
    the rest. Where a few single inputs are all that is to be held, leave the gates shut instead
    (docs/findings/gated.md).

    Args:
        model: a pytree with any number of such cells, perhaps with axes of networks.

    Raises:
        ValueError: no such cell is in the model, or one has no biases.
    """
    parts = jax.tree.leaves(model, is_leaf=_is_gated)
    if not any(_is_gated(part) for part in parts):
        raise ValueError(
            "model: expected a pytree with GRU or LSTM cells of flossing or Equinox, got "
            f"{type(model).__name__} without one. Of others, set biases yourself: +3 for reset, "
            "input and output gates, -3 for update and forget gates."
        )
    return opened(model)


def opened(model: Any) -> Any:
    """``open_gates`` of a model that may have no gates."""
    return jax.tree.map(
        lambda part: _opened(part) if _is_gated(part) else part, model, is_leaf=_is_gated
    )


def _is_gated(part: Any) -> bool:
    return isinstance(part, GatedCell | eqx.nn.GRUCell | eqx.nn.LSTMCell)


def _opened(cell: Any) -> Any:
    """The cell with open gates, or as it is if its gates have other biases already; networks' axes lead."""
    if cell.bias is None:
        raise ValueError(
            f"model: a {type(cell).__name__} without biases has no gates to open; make it with use_bias=True."
        )
    if isinstance(cell, GatedCell):
        signs, largest = cell.open_signs, 0.0
    else:  # Equinox has the same order, and draws biases up to one over the root of the units
        signs = (1, -1, 0) if isinstance(cell, eqx.nn.GRUCell) else (1, -1, 0, 1)
        largest = 1.01 * cell.hidden_size**-0.5
    signs = jnp.repeat(jnp.asarray(signs, cell.bias.dtype), cell.hidden_size)
    signs = jnp.broadcast_to(signs, cell.bias.shape)
    fresh = ((abs(cell.bias) <= largest) | (signs == 0)).all(-1, keepdims=True)
    bias = jnp.where(fresh & (signs != 0), OPENNESS * signs, cell.bias)
    return eqx.tree_at(lambda cell: cell.bias, cell, bias)
