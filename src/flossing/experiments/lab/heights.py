"""First exponents of layers of LIF neurons, and the heights of surrogate derivatives that set them."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ...cells import Stack
from ...lyapunov import lyapunov_spectrum
from ...surrogates import Sigmoid
from .classifier import hidden

BASIS_WARMUP = 60
"""First steps of a measurement, which do not count."""
LOGS = (-7.0, 5.0)
"""Where the logarithm of a height is looked for."""


@eqx.filter_jit
def first_exponent(step: Any, inputs: PyTree, key: PRNGKeyArray) -> Float[Array, ""]:
    """Of any cells without readout on these inputs, nats per step; minus infinity if nothing is left."""
    return lyapunov_spectrum(
        step,
        step.initial_state(),
        inputs,
        num_exponents=1,
        warmup=BASIS_WARMUP,
        key=key,
    ).exponents[0]


@eqx.filter_jit
def floss_heights(
    network: Stack, inputs: Float[Array, "time input"], target: float | Array, key: PRNGKeyArray
) -> list[Array]:
    """Heights of the surrogate derivatives with which the first exponent of every layer is the target.

    The exponents of a stack without feedback are those of its layers, each driven by the spikes from below.
    Heights do not change spikes, so each layer is solved for by itself, by bisection.
    """
    heights, below = [], inputs
    for layer in hidden(network).layers:
        surrogate: Sigmoid = layer.surrogate  # pyright: ignore[reportAttributeAccessIssue]

        def exponent(
            log: Array, layer: Any = layer, s: Sigmoid = surrogate, given: Any = below
        ) -> Any:
            changed = eqx.tree_at(
                lambda c: c.surrogate, layer, Sigmoid(s.sharpness, peak=jnp.exp(log))
            )
            return first_exponent(changed, given, key)

        heights.append(bisected(exponent, target))
        below = layer.over_time(below)
    return heights


def bisected(exponent: Callable[[Array], Array], target: float | Array) -> Float[Array, ""]:
    """The height, or factor of heights, whose logarithm gives a rising exponent the value of the target."""

    def halve(_: Any, ends: Array) -> Array:
        middle = ends.mean()
        above = exponent(middle) > target
        return jnp.where(above, ends.at[1].set(middle), ends.at[0].set(middle))

    return jnp.exp(jax.lax.fori_loop(0, 14, halve, jnp.asarray(LOGS)).mean())
