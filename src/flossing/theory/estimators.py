"""Estimators of the gradient of an expected loss of stochastic binary networks, with one interface.

Each estimator is called with a network, an input, a loss of the output spikes and one draw of
randomness, and returns the gradient by weights and biases. ``compare`` and ``expected_gradient`` measure them.

Sources: Gygax & Zenke 2025; Arya, Schauer, Schaefer & Rackauckas 2022 (stochastic derivatives and their
smoothing); Williams 1992 (score function, baseline); Bengio, Leonard & Courville 2013 (straight through).
"""

import abc
from typing import ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .. import surrogates
from .._checks import check_choice, check_finite, check_positive
from .stochastic_net import Loss, StochasticNet, exact_gradient

Gradient = tuple[tuple[Array, ...], tuple[Array, ...]]
"""By weights and by biases, layer by layer."""
Side = Literal["right", "left", "two-sided"]


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


class Exact(Estimator):
    """The gradient itself, by enumeration of all spike patterns; layers of at most 12 neurons."""

    unbiased: ClassVar[bool] = True

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        return exact_gradient(network, input, loss)

    def passes(self, network: StochasticNet) -> int:
        sizes = network.sizes[1:]
        return 3 * (1 + sum(2**size for size in sizes[:-1]))


class ScoreFunction(Estimator):
    """``(loss - baseline) * grad log P(spikes)`` (REINFORCE).

    Args:
        baseline: ``None``, a constant, or ``"mean"``: the mean loss of all other samples that are drawn
            together (a single sample then has none). All are unbiased.
    """

    baseline: float | str | None = eqx.field(static=True, default=None)
    unbiased: ClassVar[bool] = True

    def __check_init__(self) -> None:
        if isinstance(self.baseline, str):
            check_choice("baseline", self.baseline, ("mean",))
        elif self.baseline is not None:
            check_finite("baseline", self.baseline)

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        score, value = self._score(network, input, loss, draw)
        fixed = 0.0 if self.baseline is None or self.baseline == "mean" else self.baseline
        return jax.tree.map(lambda s: (value - fixed) * s, score)

    def many(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draws: Draw
    ) -> Gradient:
        if self.baseline != "mean":
            return super().many(network, input, loss, draws)
        scores, values = jax.vmap(lambda d: self._score(network, input, loss, d))(draws)
        others = (values.sum() - values) / max(len(values) - 1, 1)
        return jax.tree.map(lambda s: jax.vmap(jnp.multiply)(values - others, s), scores)

    def _score(
        self, network: StochasticNet, input: Array, loss: Loss, draw: Draw
    ) -> tuple[Gradient, Array]:
        run = _Run(network, input, draw.uniforms)
        signals = [
            s * noise.jump_down(x) - (1 - s) * noise.jump_up(x)
            for noise, x, s in zip(network.noises, run.x, run.spikes, strict=True)
        ]
        return run.gradient(signals), loss(run.spikes[-1])

    def passes(self, network: StochasticNet) -> int:
        return 2


class StochasticDerivative(Estimator):
    """Jumps of single spikes, weighted by the rate at which they happen as parameters grow.

    Each neuron's spike is flipped, the layers above it are run again on the same uniform numbers, and the change
    of the loss counts with weight ``p' / (1 - p)`` for a silent neuron (right), ``p' / p`` for one that spiked
    (left), or both in proportion ``1 - p`` to ``p`` (two-sided). Unbiased at any depth.

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
        run = _Run(network, input, draw.uniforms)
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
                    loss(network.from_layer(layer + 1, spikes.at[i].set(s), draw.uniforms))
                    for s in (1, 0)
                )
                return on - off

            signals.append(weight * jax.vmap(change)(jnp.arange(len(spikes))))
        return run.gradient(signals)

    def passes(self, network: StochasticNet) -> int:
        return 4 if self.pruned else 3 + network.num_neurons


class SmoothedStochasticDerivative(Estimator):
    """Stochastic derivatives whose jumps are replaced, neuron by neuron, by their mean slope.

    The chain rule with ``p' / (1 - p)`` at silent neurons (right), ``p' / p`` at those that spiked (left), or
    both in proportion ``1 - p`` to ``p`` (two-sided), at sampled spikes. It is written as a backward recursion,
    without automatic differentiation; the two-sided one equals the surrogate gradient.

    Args:
        side: ``"right"``, ``"left"`` or ``"two-sided"``.
    """

    side: str = eqx.field(static=True, default="two-sided")

    def __check_init__(self) -> None:
        check_choice("side", self.side, ("right", "left", "two-sided"))

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        run = _Run(network, input, draw.uniforms)
        signal = jax.grad(loss)(run.spikes[-1])
        signals = []
        slopes = run.jump_weights(self.side)
        for weight, slope in zip(network.weights[::-1], slopes[::-1], strict=True):
            signals.append(signal * slope)
            signal = weight.T @ signals[-1]
        return run.gradient(signals[::-1])

    def passes(self, network: StochasticNet) -> int:
        return 3


class Surrogate(Estimator):
    """The surrogate gradient: the chain rule at sampled spikes with a declared derivative.

    Args:
        surrogate: whose derivative to take; default the one that matches each layer's escape noise.
    """

    surrogate: surrogates.Surrogate | None = None

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        def value(parameters: Gradient) -> Array:
            net = eqx.tree_at(lambda n: (n.weights, n.biases), network, parameters)
            return loss(net(input, draw.uniforms, self.surrogate)[-1])

        return jax.grad(value)((network.weights, network.biases))

    def passes(self, network: StochasticNet) -> int:
        return 3


class StraightThrough(Surrogate):
    """The surrogate gradient with a derivative of one everywhere (the identity)."""

    def __init__(self) -> None:
        self.surrogate = surrogates.StraightThrough()


class FiniteDifference(Estimator):
    """Central differences with common random numbers, one parameter after the other.

    Its bias is of order ``step^2``, its variance of order ``1 / step``.

    Args:
        step: half the distance between the two points, in units of the parameters.
    """

    step: float = eqx.field(static=True, default=0.1)
    spikes_only: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_positive("step", self.step)

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        flat, unravel = jax.flatten_util.ravel_pytree((network.weights, network.biases))

        def value(vector: Array) -> Array:
            net = eqx.tree_at(lambda n: (n.weights, n.biases), network, unravel(vector))
            return loss(net.from_layer(0, input, draw.uniforms))

        def one(direction: Array) -> Array:
            up, down = value(flat + self.step * direction), value(flat - self.step * direction)
            return (up - down) / (2 * self.step)

        return unravel(jax.lax.map(one, jnp.eye(flat.size, dtype=flat.dtype)))

    def passes(self, network: StochasticNet) -> int:
        return 2 * sum(x.size for x in (*network.weights, *network.biases))


class _Run:
    """One pass: what enters each layer, distances to threshold, spikes."""

    def __init__(self, network: StochasticNet, input: Array, uniforms: tuple[Array, ...]):
        self.network = network
        self.spikes = network(input, uniforms)
        self.before = (jnp.asarray(input, self.spikes[0].dtype), *self.spikes[:-1])
        self.x = [
            weight @ before + bias
            for weight, bias, before in zip(
                network.weights, network.biases, self.before, strict=True
            )
        ]

    def jump_weights(self, side: str) -> list[Array]:
        """Weights of the jump of each neuron, layer by layer."""
        found = []
        for noise, x, s in zip(self.network.noises, self.x, self.spikes, strict=True):
            right, left = (1 - s) * noise.jump_up(x), s * noise.jump_down(x)
            p = noise.probability(x)
            both = (1 - p) * right + p * left
            found.append({"right": right, "left": left, "two-sided": both}[side])
        return found

    def gradient(self, signals: list[Array]) -> Gradient:
        """By weights and biases, from the error signal at each neuron's potential."""
        outer = tuple(jnp.outer(s, b) for s, b in zip(signals, self.before, strict=True))
        return outer, tuple(signals)
