"""Feedforward networks of stochastic binary neurons, and the exact gradient of what is expected of them."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import (
    as_floats,
    check_integer,
    check_key,
    check_positive,
    check_shape,
    check_single,
)
from ..escape_noise import EscapeNoise, SigmoidNoise, spike

Loss = Callable[[Float[Array, " output"]], Float[Array, ""]]
"""From the output spikes to a number."""
_WIDEST = 12


class StochasticNet(eqx.Module):
    """Layers of neurons that spike with a probability: ``S_l ~ Bernoulli(p_l(W_l S_{l-1} + b_l))``.

    Thresholds are negative biases. The input takes the place of ``S_0``; the output is the last layer's
    spikes.

    Args:
        sizes: number of inputs, then neurons of each layer.
        noise: escape noise of all layers, or a sequence with one per layer; default
            ``SigmoidNoise(10)``.
        gain: weights are drawn from N(0, gain^2 / number of presynaptic units).
        bias: biases are drawn from N(0, bias^2).
        key: random key.

    Raises:
        ValueError, TypeError: sizes that are no list of at least two positive integers, a wrong number of
            noises.
    """

    weights: tuple[Array, ...]
    """Layer by layer, shape ``(neurons, units below)``."""
    biases: tuple[Array, ...]
    """Shape ``(neurons,)``."""
    noises: tuple[EscapeNoise, ...]

    def __init__(
        self,
        sizes: Sequence[int],
        noise: EscapeNoise | Sequence[EscapeNoise] | None = None,
        *,
        gain: float = 1.0,
        bias: float = 0.1,
        key: PRNGKeyArray,
    ):
        if len(sizes) < 2:
            raise ValueError(f"sizes: expected inputs and at least one layer, got {list(sizes)}.")
        for i, size in enumerate(sizes):
            check_integer(f"sizes[{i}]", size, 1)
        check_positive("gain", gain)
        check_single(gain=gain)
        check_positive("bias", bias, zero=True)
        check_single(bias=bias)
        check_key("key", key)
        layers = len(sizes) - 1
        noise = SigmoidNoise() if noise is None else noise
        noises: tuple[Any, ...] = (
            tuple(noise) if isinstance(noise, list | tuple) else (noise,) * layers
        )
        for each in noises:
            if not isinstance(each, EscapeNoise):
                raise TypeError(
                    f"noise: expected an escape noise such as SigmoidNoise(), got {each!r}."
                )
        if len(noises) != layers:
            raise ValueError(f"noise: expected one or {layers} (one per layer), got {len(noises)}.")
        keys = jax.random.split(key, 2 * layers)
        self.weights = tuple(
            gain / math.sqrt(pre) * jax.random.normal(keys[i], (post, pre))
            for i, (pre, post) in enumerate(itertools.pairwise(sizes))
        )
        self.biases = tuple(
            bias * jax.random.normal(keys[layers + i], (post,)) for i, post in enumerate(sizes[1:])
        )
        self.noises = noises

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of inputs, then neurons of each layer."""
        return (self.weights[0].shape[1], *(len(b) for b in self.biases))

    @property
    def num_neurons(self) -> int:
        """Number of Bernoulli draws in one pass."""
        return sum(self.sizes[1:])

    def uniforms(self, key: PRNGKeyArray) -> tuple[Array, ...]:
        """The randomness of one pass: a uniform number in [0, 1) per neuron."""
        flat = jax.random.uniform(key, (self.num_neurons,), self.biases[0].dtype)
        return tuple(jnp.split(flat, np.cumsum(self.sizes[1:])[:-1]))

    def __call__(
        self,
        input: Float[Array, " input"],
        uniforms: Sequence[Array],
        derivative: object = None,
    ) -> tuple[Array, ...]:
        """The spikes of every layer; they differentiate as the slopes of the escape noise.

        Args:
            input: shape ``(inputs,)``.
            uniforms: as from ``uniforms``.
            derivative: a surrogate or an escape noise whose derivative is declared instead.
        """
        spikes, layers = self.numbers(input), []
        for weight, bias, noise, uniform in zip(
            self.weights, self.biases, self.noises, uniforms, strict=True
        ):
            x = weight @ spikes + bias
            spikes = spike(x, uniform, noise, noise if derivative is None else derivative)
            layers.append(spikes)
        return tuple(layers)

    def numbers(self, input: Any) -> Array:
        """The input in the dtype of the network, its shape checked."""
        numbers = as_floats("input", input)
        check_shape("input", numbers, (self.sizes[0],))
        return numbers.astype(self.biases[0].dtype)

    def from_layer(
        self, start: int, spikes: Float[Array, " pre"], uniforms: Sequence[Array]
    ) -> Float[Array, " output"]:
        """The output, given the spikes that enter layer ``start``."""
        spikes = as_floats("spikes", spikes).astype(self.biases[0].dtype)
        for weight, bias, noise, uniform in list(
            zip(self.weights, self.biases, self.noises, uniforms, strict=True)
        )[start:]:
            spikes = (uniform < noise.probability(weight @ spikes + bias)).astype(bias.dtype)
        return spikes


def patterns(size: int) -> np.ndarray:
    """All spike patterns of ``size`` neurons, shape ``(2^size, size)``."""
    return (np.arange(2**size)[:, None] >> np.arange(size)) & 1


def loss_of(loss: Loss, spikes: Array, *, differentiated: bool = False) -> Array:
    """The loss as a float, also where it counts in integers or booleans.

    Raises:
        TypeError: such a loss where it is to be differentiated, since its derivative would be zero.
        ValueError: not one number.
    """
    value = jnp.asarray(loss(spikes))
    check_shape("loss", value, ())
    if differentiated and not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"loss: returns {value.dtype}, which has no derivative; this estimator needs a float "
            "that depends smoothly on the spikes."
        )
    return value.astype(jnp.result_type(value, spikes.dtype))


def expected_loss(
    network: StochasticNet, input: Float[Array, " input"], loss: Loss
) -> Float[Array, ""]:
    """The exact expectation of ``loss(output spikes)``: the sum over all spike patterns.

    Layer after layer the probability of each pattern is carried along, so that depth costs little; a layer
    may have at most 12 neurons. Its gradient, by automatic differentiation, is exact too.

    Raises:
        ValueError: a layer that is too wide, an input of another shape.
    """
    return _expected_loss(network, input, loss)


@eqx.filter_jit
def _expected_loss(network: StochasticNet, input: Array, loss: Loss) -> Array:
    spikes, weights = _distributions(network, input)[-1]
    return weights @ jax.vmap(lambda s: loss_of(loss, s))(spikes)


def expected_spikes(network: StochasticNet, input: Float[Array, " input"]) -> tuple[Array, ...]:
    """The exact probability of a spike of every neuron, layer by layer.

    Raises:
        ValueError: as ``expected_loss``.
    """
    return _expected_spikes(network, input)


@eqx.filter_jit
def _expected_spikes(network: StochasticNet, input: Array) -> tuple:
    return tuple(weights @ spikes for spikes, weights in _distributions(network, input))


def _distributions(network: StochasticNet, input: Array) -> list[tuple[Array, Array]]:
    """Patterns of each layer and their probabilities."""
    input = network.numbers(input)
    if max(network.sizes[1:]) > _WIDEST:
        raise ValueError(
            f"network: exact enumeration is for layers of at most {_WIDEST} neurons, "
            f"got {max(network.sizes[1:])}."
        )
    dtype = network.biases[0].dtype
    before, weights = input[None], jnp.ones(1, dtype)
    distributions = []
    for weight, bias, noise in zip(network.weights, network.biases, network.noises, strict=True):
        now = jnp.asarray(patterns(len(bias)), dtype)
        spiking = noise.probability(before @ weight.T + bias[None])
        transition = jnp.ones((len(before), len(now)), dtype)
        for i in range(len(bias)):
            p = spiking[:, i, None]
            transition = transition * jnp.where(now[None, :, i] > 0, p, 1 - p)
        before, weights = now, weights @ transition
        distributions.append((before, weights))
    return distributions


def exact_gradient(
    network: StochasticNet, input: Float[Array, " input"], loss: Loss
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The gradient of ``expected_loss`` in weights and biases.

    Returns:
        Two tuples: by weights and by biases, layer by layer.
    """
    return _exact_gradient(network, input, loss)


@eqx.filter_jit
def _exact_gradient(network: StochasticNet, input: Array, loss: Loss) -> tuple:
    def value(parameters: tuple) -> Array:
        net = eqx.tree_at(lambda n: (n.weights, n.biases), network, parameters)
        return _expected_loss(net, input, loss)

    return jax.grad(value)((network.weights, network.biases))
