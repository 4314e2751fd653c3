"""What every estimator of a gradient has, and one pass through a network as they need it."""

import abc
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .stochastic_net import Loss, StochasticNet

Gradient = tuple[tuple[Array, ...], tuple[Array, ...]]
"""By weights and by biases, layer by layer."""


class Draw(NamedTuple):
    """The randomness of one sample."""

    uniforms: tuple[Array, ...]
    """A number in [0, 1) per neuron, layer by layer."""
    choice: Float[Array, ""]
    """One more, for estimators that choose at random."""

    @classmethod
    def random(cls, network: StochasticNet, key: PRNGKeyArray) -> "Draw":
        """A draw for this network."""
        first, second = jax.random.split(key)
        dtype = network.biases[0].dtype
        return cls(network.uniforms(first), jax.random.uniform(second, (), dtype))


class Estimator(eqx.Module):
    """An estimator of the gradient of ``E[loss(output spikes)]`` in weights and biases."""

    unbiased: ClassVar[bool] = False
    """Whether its expectation is the gradient, for every network, loss and escape noise."""
    spikes_only: ClassVar[bool] = True
    """Whether it depends on the randomness through the spikes alone."""

    @abc.abstractmethod
    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        """One sample."""

    @abc.abstractmethod
    def passes(self, network: StochasticNet) -> int:
        """Cost of a sample in passes through the network; a backward pass counts as two."""

    def many(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draws: Draw
    ) -> Gradient:
        """Samples for draws with a leading axis."""
        return jax.vmap(lambda draw: self(network, input, loss, draw))(draws)


class Run:
    """One pass: what enters each layer, distances to threshold, spikes."""

    def __init__(self, network: StochasticNet, input: Array, uniforms: tuple[Array, ...]):
        self.network = network
        self.spikes = network(input, uniforms)
        self.before = (network.numbers(input), *self.spikes[:-1])
        self.x = [
            weight @ before + bias
            for weight, bias, before in zip(
                network.weights, network.biases, self.before, strict=True
            )
        ]

    def jump_weights(self, side: str) -> list[Array]:
        """Weights of the jump of each neuron, layer by layer."""
        weights = []
        for noise, x, s in zip(self.network.noises, self.x, self.spikes, strict=True):
            right, left = (1 - s) * noise.jump_up(x), s * noise.jump_down(x)
            p = noise.probability(x)
            both = (1 - p) * right + p * left
            weights.append({"right": right, "left": left, "two-sided": both}[side])
        return weights

    def gradient(self, signals: list[Array]) -> Gradient:
        """By weights and biases, from the error signal at each neuron's potential."""
        outer = tuple(jnp.outer(s, b) for s, b in zip(signals, self.before, strict=True))
        return outer, tuple(signals)
