"""Estimators of the gradient of an expected loss of stochastic binary networks, with one interface.

Each estimator is called with a network, an input, a loss of the output spikes and one draw of randomness,
and returns the gradient by weights and biases. ``compare`` and ``expected_gradient`` measure them;
``stochastic_derivatives.py`` has more of them.

Sources: Gygax & Zenke 2025; Williams 1992 (score function, baseline); Bengio, Leonard & Courville 2013
(straight through).
"""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
from jaxtyping import Array, Float

from .. import surrogates
from .._checks import check_choice, check_positive, check_single
from ._estimator import Draw, Estimator, Gradient, Run
from .stochastic_net import Loss, StochasticNet, exact_gradient, loss_of


class Exact(Estimator):
    """The gradient itself, by enumeration of all spike patterns; layers of at most 12 neurons."""

    unbiased: ClassVar[bool] = True

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        """One sample."""
        return exact_gradient(network, input, loss)

    def passes(self, network: StochasticNet) -> int:
        """Cost of a sample in passes through the network."""
        sizes = network.sizes[1:]
        return 3 * (1 + sum(2**size for size in sizes[:-1]))


def _baseline(value: Any) -> Any:
    """A plain number, so that NumPy's count as one."""
    if value is None or isinstance(value, str):
        return value
    check_single(baseline=value)
    return float(value)


def _step(value: Any) -> float:
    check_positive("step", value)
    check_single(step=value)
    return float(value)


class ScoreFunction(Estimator):
    """``(loss - baseline) * grad log P(spikes)`` (REINFORCE).

    Args:
        baseline: ``None``, a constant, or ``"mean"``: the mean loss of all other samples that are drawn
            together (a single sample then has none). All are unbiased.
    """

    baseline: float | str | None = eqx.field(static=True, default=None, converter=_baseline)
    unbiased: ClassVar[bool] = True

    def __check_init__(self) -> None:
        if isinstance(self.baseline, str):
            check_choice("baseline", self.baseline, ("mean",))

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        """One sample."""
        score, value = self._score(network, input, loss, draw)
        fixed = self.baseline if isinstance(self.baseline, float) else 0.0
        return jax.tree.map(lambda s: (value - fixed) * s, score)

    def many(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draws: Draw
    ) -> Gradient:
        """Samples for draws with a leading axis."""
        if self.baseline != "mean":
            return super().many(network, input, loss, draws)
        scores, values = jax.vmap(lambda d: self._score(network, input, loss, d))(draws)
        others = (values.sum() - values) / max(len(values) - 1, 1)
        return jax.tree.map(lambda s: jax.vmap(jnp.multiply)(values - others, s), scores)

    def _score(
        self, network: StochasticNet, input: Array, loss: Loss, draw: Draw
    ) -> tuple[Gradient, Array]:
        run = Run(network, input, draw.uniforms)
        signals = [
            s * noise.jump_down(x) - (1 - s) * noise.jump_up(x)
            for noise, x, s in zip(network.noises, run.x, run.spikes, strict=True)
        ]
        return run.gradient(signals), loss_of(loss, run.spikes[-1])

    def passes(self, network: StochasticNet) -> int:
        """Cost of a sample in passes through the network."""
        return 2


class Surrogate(Estimator):
    """The surrogate gradient: the chain rule at sampled spikes with a declared derivative.

    Args:
        surrogate: whose derivative to take; default the one that matches each layer's escape noise.
    """

    surrogate: surrogates.Surrogate | None = None

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        """One sample."""

        def value(parameters: Gradient) -> Array:
            net = eqx.tree_at(lambda n: (n.weights, n.biases), network, parameters)
            spikes = net(input, draw.uniforms, self.surrogate)[-1]
            return loss_of(loss, spikes, differentiated=True)

        return jax.grad(value)((network.weights, network.biases))

    def passes(self, network: StochasticNet) -> int:
        """Cost of a sample in passes through the network."""
        return 3


class StraightThrough(Surrogate):
    """The surrogate gradient with a derivative of one everywhere (the identity)."""

    def __init__(self) -> None:
        self.surrogate = surrogates.StraightThrough()


class FiniteDifference(Estimator):
    """Central differences with common random numbers, one parameter after the other.

    Its bias is of order ``step^2``, its variance of order ``1 / step``. NaN for a parameter whose dtype does
    not resolve the step, so that nothing moves.

    Args:
        step: half the distance between the two points, in units of the parameters.
    """

    step: float = eqx.field(static=True, default=0.1, converter=_step)
    spikes_only: ClassVar[bool] = False

    def __call__(
        self, network: StochasticNet, input: Float[Array, " input"], loss: Loss, draw: Draw
    ) -> Gradient:
        """One sample."""
        flat, unravel = jax.flatten_util.ravel_pytree((network.weights, network.biases))

        def value(vector: Array) -> Array:
            net = eqx.tree_at(lambda n: (n.weights, n.biases), network, unravel(vector))
            return loss_of(loss, net.from_layer(0, net.numbers(input), draw.uniforms))

        def slope_along(direction: Array) -> Array:
            above, below = flat + self.step * direction, flat - self.step * direction
            slope = (value(above) - value(below)) / (2 * self.step)
            return jnp.where((above == below).all(), jnp.nan, slope)

        return unravel(jax.lax.map(slope_along, jnp.eye(flat.size, dtype=flat.dtype)))

    def passes(self, network: StochasticNet) -> int:
        """Cost of a sample in passes through the network."""
        return 2 * sum(x.size for x in (*network.weights, *network.biases))
