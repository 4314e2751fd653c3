"""Escape noise around a binary or LIF cell; the uniform numbers come with the input."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ..surrogates import Surrogate
from ._driven import Inputs


class Escape(eqx.Module):
    """Stochastic spikes in the place of a surrogate: 1 where ``uniforms < p(x)``.

    ``p`` is logistic with the given steepness; derivatives are those of ``surrogate``. Without uniform
    numbers the value is ``p`` itself.
    """

    steepness: Any
    surrogate: Surrogate
    uniforms: Float[Array, " units"] | None = None

    def __call__(self, x: Float[Array, " units"]) -> Float[Array, " units"]:
        """Spikes, 0 or 1, or their probabilities."""
        value = jax.nn.sigmoid(self.steepness * x)
        if self.uniforms is not None:
            value = (self.uniforms < value).astype(x.dtype)
        smooth = self.surrogate.primitive(x)
        return jax.lax.stop_gradient(value) + (smooth - jax.lax.stop_gradient(smooth))


class Noisy(eqx.Module):
    """A cell with escape noise: ``noisy(state, (input, uniforms))``.

    Args:
        cell: a binary or LIF cell, whose surrogate says what the derivatives are.
        steepness: of the escape probability, in units of one over the membrane.
    """

    cell: Any
    steepness: Any

    def _with(self, uniforms: Array | None) -> Any:
        escape = Escape(self.steepness, self.cell.surrogate, uniforms)
        return eqx.tree_at(lambda c: c.surrogate, self.cell, escape)

    def __call__(self, state: Any, input: tuple[Array, Array]) -> Any:
        """The next state."""
        value, uniforms = input
        return self._with(uniforms)(state, value)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Any:
        """That of the cell."""
        return self.cell.initial_state(key=key)

    def output(self, state: Any) -> Array:
        """The probability with which each unit of a state spikes."""
        return self._with(None).output(state)


class WithNoise(eqx.Module):
    """Input together with the uniform numbers of ``units`` stochastic units.

    With another ``seed`` (a number or an array) the same key gives the same input and other noise.
    """

    inputs: Inputs
    units: int
    seed: Any = 0

    def __call__(self, key: PRNGKeyArray, num_steps: int) -> tuple[Any, Array]:
        """Input and uniform numbers."""
        noise = jax.random.fold_in(key, self.seed + 1)
        return self.inputs(key, num_steps), jax.random.uniform(noise, (num_steps, self.units))


def mean_field_exponent(steepness: float, noisy: bool, bias_range: float = 0.1) -> float:
    """First exponent of large binary networks ``W ~ N(0, 2/N)`` on random bits, matched surrogate.

    ``1/2 log(2 <p'(x)^2>)``, averaged over the bit, with ``x`` Gaussian of the variance that the
    activity of the units brings about (Engelken & Abbott 2024 have such networks; the theory is that of
    Sompolinsky, Crisanti & Sommers 1988). ``noisy`` says whether units spike with probability ``p`` or
    by the sign of ``x``.
    """
    z = np.linspace(-8, 8, 32001)
    weight = np.exp(-np.square(z) / 2)
    weight /= weight.sum()
    mean, spread = bias_range / 2, bias_range**2 / 12
    activity, p = 0.5, [z, z]
    for _ in range(50):
        fields = [mean + np.sqrt(2 * activity + spread + bit) * z for bit in (0, 1)]
        p = [0.5 * (1 + np.tanh(steepness * x / 2)) for x in fields]
        spikes = p if noisy else [x > 0 for x in fields]
        activity = float(np.mean([weight @ s for s in spikes]))
    squares = [weight @ np.square(steepness * s * (1 - s)) for s in p]
    return float(np.mean(0.5 * np.log(2 * np.array(squares))))
