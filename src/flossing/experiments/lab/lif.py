"""LIF networks of the published minimal example (Engelken & Abbott 2024), at a chosen firing rate."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ...cells import LIFCell
from ...initialisers import Gaussian
from ...surrogates import SuperSpike
from .driven import Inputs, firing_rates

Numbers = float | np.ndarray


def lif_networks(
    keys: Key[Array, " networks"],
    inputs: Any,
    neurons: int,
    *,
    sharpness: Numbers = 1.0,
    gain: Numbers = 1.0,
    membrane: Numbers = 10.0,
    synapse: Numbers = 5.0,
    input_gain: Numbers = 1.0,
    **options: Any,
) -> LIFCell:
    """LIF networks with centred weights, stacked; each number may differ between networks.

    Args:
        keys: one per network.
        inputs: with ``channels``, the number of inputs.
        neurons: N.
        sharpness: of the surrogate derivative ``1 / (sharpness |x| + 1)^2``.
        gain: of the recurrent weights.
        membrane, synapse: time constants in ms.
        input_gain: of the input weights.
        options: ``reset`` and ``reset_gradient`` of ``LIFCell``.
    """

    def build(key: Array, sharpness: Any, gain: Any, membrane: Any, synapse: Any) -> LIFCell:
        return LIFCell(
            inputs.channels,
            neurons,
            surrogate=SuperSpike(sharpness),
            recurrent=lambda key, size: gain * Gaussian()(key, size),
            membrane_time_constant=jnp.full(neurons, membrane),
            synapse_time_constant=jnp.full(neurons, synapse),
            centred=True,
            key=key,
            **options,
        )

    each = [
        jnp.broadcast_to(jnp.asarray(x, jnp.float32), keys.shape)
        for x in (sharpness, gain, membrane, synapse)
    ]
    return with_input_gain(eqx.filter_vmap(build)(keys, *each), np.asarray(input_gain))


def with_input_gain(cells: LIFCell, factor: np.ndarray) -> LIFCell:
    """The input weights of each network times a factor."""
    factors = jnp.broadcast_to(
        jnp.asarray(factor, jnp.float32), cells.input_weight.shape[:1]
    ).reshape(-1, 1, 1)
    return eqx.tree_at(lambda c: c.input_weight, cells, factors * cells.input_weight)


def at_rate(
    cells: LIFCell, keys: Key[Array, " networks"], inputs: Inputs, rate: Numbers, rounds: int = 10
) -> tuple[LIFCell, np.ndarray]:
    """Networks whose input weights have been scaled until they fire at ``rate`` Hz.

    Bisection on a log scale; returns the networks and the factors, which lie between 1/4 and 32.
    """
    low = np.full(len(keys), 1 / 4)
    high = np.full(len(keys), 32.0)
    for _ in range(rounds):
        middle = np.sqrt(low * high)
        rates = firing_rates(with_input_gain(cells, middle), keys, inputs)
        low = np.where(rates < rate, middle, low)
        high = np.where(rates < rate, high, middle)
    factor = np.sqrt(low * high)
    return with_input_gain(cells, factor), factor
