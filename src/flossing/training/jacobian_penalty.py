"""The penalty on vanishing and exploding errors of Pascanu, Mikolov & Bengio (2013)."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._norms import tree_norm
from .network import Network


def nudged(
    network: Network, inputs: Float[Array, "time input"], nudges: PyTree
) -> tuple[Float[Array, "time output"], PyTree]:
    """Outputs and states of one trial in which ``nudges`` are added to the state after every step.

    The gradient of a loss of the outputs with respect to nudges of zero is its total derivative with
    respect to every state. ``nudges`` has the form of the state, with time as leading axis.
    """

    def step(state: Any, input: tuple[Array, Any]) -> tuple[Any, Any]:
        state = jax.tree.map(jnp.add, network.cell(state, input[0]), input[1])
        return state, state

    states = jax.lax.scan(step, network.initial_state, (inputs, nudges))[1]
    activity = jax.vmap(network.cell.output)(states)
    return activity @ network.readout_weight.T + network.readout_bias, states


def no_nudges(network: Network, *axes: int) -> PyTree:
    """Zeros of the form of the state, with these leading axes."""
    return jax.tree.map(lambda x: jnp.zeros((*axes, *x.shape), x.dtype), network.initial_state)


def jacobian_penalty(
    cell: PyTree, states: PyTree, inputs: Float[Array, "time input"], errors: PyTree
) -> Float[Array, ""]:
    """How much errors grow or shrink in a step: mean over t of ``(|D_t^T e_t| / |e_t| - 1)^2``.

    ``e_t`` is the derivative of the loss with respect to the state after step t, and ``D_t`` the Jacobian of
    that step (equation 9 of the paper, with a mean over the steps in place of the sum). As there, only
    the direct dependence of ``D_t`` on the parameters is differentiated: states and errors are
    constants.

    Args:
        cell: a step; gradients are for what it holds.
        states: after each step, time as leading axis.
        inputs: of each step.
        errors: derivatives of the loss with respect to ``states``. Steps with an error of 0 do not count.
    """
    states, errors = jax.lax.stop_gradient((states, errors))
    before, after = (
        jax.tree.map(lambda x: x[:-1], states),
        jax.tree.map(lambda x: x[1:], errors),
    )

    def growth(state: PyTree, input: Array, error: PyTree) -> tuple[Array, Array]:
        largest = jnp.max(jnp.stack([jnp.abs(x).max() for x in jax.tree.leaves(error)]))
        counts = jnp.isfinite(largest) & (largest > 0)
        scale = jnp.where(counts, largest, 1)
        error = jax.tree.map(lambda x: jnp.where(counts, x / scale, 1), error)
        (back,) = jax.vjp(lambda s: cell(s, input), state)[1](error)
        growth = tree_norm(back) / tree_norm(error)
        return jnp.where(counts, jnp.square(growth - 1), 0), counts

    penalties, counts = jax.vmap(growth)(before, inputs[1:], after)
    return jnp.sum(penalties) / jnp.maximum(jnp.sum(counts), 1)


def penalty_gradient(
    network: Network, states: PyTree, inputs: Float[Array, "trials time input"], errors: PyTree
) -> PyTree:
    """Gradient of the penalty, averaged over trials, for the cell's parameters.

    ``states`` and ``errors`` have the axes (trials, time) before their own.
    """
    arrays, rest = eqx.partition(network.cell, eqx.is_inexact_array)

    def mean(arrays: PyTree) -> Array:
        cell = eqx.combine(arrays, rest)
        one = lambda s, i, e: jacobian_penalty(cell, s, i, e)  # noqa: E731
        return jax.vmap(one)(states, inputs, errors).mean()

    return jax.grad(mean)(arrays)
