"""Fluctuation-driven initialisation: membranes fluctuate by a wanted amount from the start."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from .._checks import check_fraction, check_key, check_positive, check_single
from ._base import Cell
from .convolution import ConvLIFCell
from .readout import LeakyReadout
from .spiking import LIFCell, check_rate
from .stack import Stack


def fluctuation_driven(
    cell: Cell,
    *,
    rate: float,
    target: float = 1.0,
    input_share: float = 0.9,
    key: PRNGKeyArray,
) -> Any:
    """A copy of a layer, or a stack of layers, with weights drawn anew for membranes of a given spread.

    ``n`` Poisson inputs of rate ``r`` move the membrane with a standard deviation of ``target`` if weights
    are from N(0, target^2 / (n r e)), ``e = tau_syn^2 / (2 (tau_syn + tau_mem))`` being the integral of
    the squared postsynaptic potential of unit weight (no reset, small time steps).

    Args:
        cell: ``LIFCell``, ``ConvLIFCell``, ``LeakyReadout`` or a ``Stack`` of them.
        rate: of each input in Hz, at least 0.5. Less is refused: versions up to 0.1.0 took spikes per ms,
            and their 0.05 is 50.0 here.
        target: standard deviation of the membrane (sigma_u), in units of the membrane variable.
        input_share: part of the variance that inputs get in a layer with recurrence.
        key: random key.

    Raises:
        TypeError: another kind of cell; an array where one number is expected.
        ValueError: a rate below 0.5 Hz; a convolution with one time constant per neuron, since its neurons
            share their weights.

    Source: Rossbroich, Gygax & Zenke 2022.
    """
    check_rate("rate", rate)
    check_positive("target", target)
    check_fraction("input_share", input_share)
    check_single(target=target, input_share=input_share)
    check_key("key", key)
    if isinstance(cell, Stack):
        keys = jax.random.split(key, len(cell.layers))
        layers = [
            fluctuation_driven(layer, rate=rate, target=target, input_share=input_share, key=k)
            for layer, k in zip(cell.layers, keys, strict=True)
        ]
        return Stack(layers)
    if not isinstance(cell, LIFCell | ConvLIFCell | LeakyReadout):
        raise TypeError(f"cell: expected a layer of LIF neurons, got {type(cell).__name__}.")
    tau_mem, tau_syn = cell.membrane_time_constant, cell.synapse_time_constant
    if isinstance(cell, ConvLIFCell) and (jnp.ndim(tau_mem) or jnp.ndim(tau_syn)):
        raise ValueError(
            "cell: the neurons of a convolution share their weights; fluctuation_driven needs one "
            "membrane_time_constant and one synapse_time_constant for all of them."
        )
    scale = target * (rate / 1000 * _energy(tau_mem, tau_syn)) ** -0.5
    input_key, recurrent_key = jax.random.split(key)

    def draw(key: PRNGKeyArray, like: Array, inputs: int, share: float) -> Array:
        weights = jax.random.normal(key, like.shape, like.dtype)
        # One number per neuron, in the rows of a dense layer.
        wide = scale[:, None] if getattr(scale, "ndim", 0) == 1 else scale
        return wide * math.sqrt(share / inputs) * weights

    if isinstance(cell, LeakyReadout):
        new = draw(input_key, cell.weight, cell.input_size, 1.0)
        return eqx.tree_at(lambda c: c.weight, cell, new)
    if isinstance(cell, LIFCell):
        own = cell.recurrent_weight
        share = 1.0 if own is None else input_share
        new = draw(input_key, cell.input_weight, cell.input_size, share)
        cell = eqx.tree_at(lambda c: c.input_weight, cell, new)
        if own is None:
            return cell
        new = draw(recurrent_key, own, cell.hidden_size, 1 - share)
        return eqx.tree_at(lambda c: c.recurrent_weight, cell, new)
    kernel = cell.convolution.kernel
    own = cell.recurrent_convolution
    share = 1.0 if own is None else input_share
    new = draw(input_key, kernel, kernel.shape[0] * kernel.shape[1], share)
    cell = eqx.tree_at(lambda c: c.convolution.kernel, cell, new)
    if own is None:
        return cell
    kernel = own.kernel
    new = draw(recurrent_key, kernel, kernel.shape[0] * kernel.shape[1], 1 - share)
    return eqx.tree_at(lambda c: c.recurrent_convolution.kernel, cell, new)


def _energy(tau_mem: Any, tau_syn: Any) -> Any:
    """Integral of the squared postsynaptic potential of unit weight, in ms."""
    return tau_syn**2 / (2 * (tau_syn + tau_mem))
