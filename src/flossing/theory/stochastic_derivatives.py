"""Stochastic derivatives: what a spike more or less would change (Arya et al. 2022; Gygax & Zenke 2025)."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._checks import check_choice
from ._estimator import Draw, Estimator, Gradient, Run
from .stochastic_net import Loss, StochasticNet, loss_of


class StochasticDerivative(Estimator):
    """Jumps of single spikes, weighted by the rate at which they happen as parameters grow.

    Each neuron's spike is flipped, the layers above it are run again on the same uniform numbers, and the
    change of the loss counts with weight ``p' / (1 - p)`` for a silent neuron (right), ``p' / p`` for one
    that spiked (left), or both in proportion ``1 - p`` to ``p`` (two-sided). Unbiased at any depth.

    Args:
        side: ``"right"``, ``"left"`` or ``"two-sided"``.
        pruned: flip only one neuron, chosen with probability proportional to its weight.
    """

    side: str = eqx.field(static=True, default="two-sided")
    pruned: bool = eqx.field(static=True, default=False)
    unbiased: ClassVar[bool] = True
    spikes_only: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_choice("side", self.side, ("right", "left", "two-sided"))

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        """One sample."""
        run = Run(network, input, draw.uniforms)
        weights = run.jump_weights(self.side)
        if self.pruned:
            flat, unravel = jax.flatten_util.ravel_pytree(weights)
            total = flat.sum()
            chosen = jnp.searchsorted(jnp.cumsum(flat), draw.choice * total, side="right")
            chosen = jnp.minimum(chosen, flat.size - 1)
            weights = unravel(jnp.where(jnp.arange(flat.size) == chosen, total, 0))
        signals = []
        for layer, (spikes, weight) in enumerate(zip(run.spikes, weights, strict=True)):

            def change(i: Array, layer: int = layer, spikes: Array = spikes) -> Array:
                on, off = (
                    loss_of(loss, network.from_layer(layer + 1, spikes.at[i].set(s), draw.uniforms))
                    for s in (1, 0)
                )
                return on - off

            signals.append(weight * jax.vmap(change)(jnp.arange(len(spikes))))
        return run.gradient(signals)

    def passes(self, network: StochasticNet) -> int:
        """Cost of a sample in passes through the network."""
        return 4 if self.pruned else 3 + network.num_neurons


class SmoothedStochasticDerivative(Estimator):
    """Stochastic derivatives whose jumps are replaced, neuron by neuron, by their mean slope.

    The chain rule with ``p' / (1 - p)`` at silent neurons (right), ``p' / p`` at those that spiked (left),
    or both in proportion ``1 - p`` to ``p`` (two-sided), at sampled spikes. It is written as a backward
    recursion, without automatic differentiation; the two-sided one equals the surrogate gradient.

    Args:
        side: ``"right"``, ``"left"`` or ``"two-sided"``.
    """

    side: str = eqx.field(static=True, default="two-sided")

    def __check_init__(self) -> None:
        check_choice("side", self.side, ("right", "left", "two-sided"))

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        """One sample."""
        run = Run(network, input, draw.uniforms)
        signal = jax.grad(lambda s: loss_of(loss, s, differentiated=True))(run.spikes[-1])
        signals = []
        slopes = run.jump_weights(self.side)
        for weight, slope in zip(network.weights[::-1], slopes[::-1], strict=True):
            signals.append(signal * slope)
            signal = weight.T @ signals[-1]
        return run.gradient(signals[::-1])

    def passes(self, network: StochasticNet) -> int:
        """Cost of a sample in passes through the network."""
        return 3
