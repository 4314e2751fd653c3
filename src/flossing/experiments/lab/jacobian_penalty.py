"""A tanh network with the penalty on vanishing and exploding errors of Pascanu, Mikolov & Bengio (2013)."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ..._norms import tree_norm
from ...cells import TanhCell
from ...cells.spec import RecurrentSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class PenalisedSpec(RecurrentSpec):
    """A tanh network whose training adds the penalty to the loss."""

    weight: float = 1.0
    """Weight of the penalty of each trial; that of the mean over a batch, divided by its trials."""

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> "PenalisedCell":
        """One cell with fresh weights."""
        return PenalisedCell(
            input_size, self.hidden_size, weight=self.weight, key=key, **self._matrices()
        )


class PenalisedCell(TanhCell):
    """A tanh cell whose gradients along a trial are those of loss and penalty together.

    The penalty needs the errors, which exist in the backward pass alone, so it acts there: the gradient that
    parameters get from ``over_time`` has ``weight`` times that of ``jacobian_penalty`` in it.
    """

    weight: float = eqx.field(static=True)

    def __init__(self, input_size: int, hidden_size: int, *, weight: float, **more: Any):
        super().__init__(input_size, hidden_size, **more)
        self.weight = weight

    def over_time(self, inputs: Any, state: Any = None) -> Float[Array, "time hidden"]:
        """States of one trial after each step."""
        return _states((self, self.initial_state() if state is None else state), inputs)


def nudged(
    cell: TanhCell,
    start: Float[Array, " hidden"],
    inputs: Float[Array, "time input"],
    nudges: Float[Array, "time hidden"],
) -> Float[Array, "time hidden"]:
    """States of one trial in which ``nudges`` are added to the state after every step.

    The gradient of a loss of the states with respect to nudges of zero is its total derivative with respect
    to every state.
    """

    def step(state: Array, given: tuple[Array, Array]) -> tuple[Array, Array]:
        input, nudge = given
        state = cell(state, input) + nudge
        return state, state

    return jax.lax.scan(step, start, (inputs, nudges))[1]


@eqx.filter_custom_vjp
def _states(cell_and_start: tuple[PenalisedCell, Array], inputs: Array) -> Array:
    return nudged(*cell_and_start, inputs, jnp.zeros((len(inputs), *cell_and_start[1].shape)))


@_states.def_fwd
def _forward(
    perturbed: Any, cell_and_start: tuple[PenalisedCell, Array], inputs: Array
) -> tuple[Array, Any]:
    arrays, rest = eqx.partition(cell_and_start, eqx.is_inexact_array)
    nudges = jnp.zeros((len(inputs), *cell_and_start[1].shape))
    states, pull = jax.vjp(
        lambda arrays, nudges: nudged(*eqx.combine(arrays, rest), inputs, nudges), arrays, nudges
    )
    return states, (states, pull)


@_states.def_bwd
def _backward(
    kept: Any,
    direct: Array,
    perturbed: Any,
    cell_and_start: tuple[PenalisedCell, Array],
    inputs: Array,
) -> PyTree:
    (states, pull), cell = kept, cell_and_start[0]
    (gradient, of_start), errors = pull(direct)
    more = eqx.filter_grad(jacobian_penalty)(cell, states, inputs, errors)
    return jax.tree.map(lambda g, m: g + cell.weight * m, gradient, more), of_start


def jacobian_penalty(
    cell: PyTree,
    states: Float[Array, "time hidden"],
    inputs: Float[Array, "time input"],
    errors: Float[Array, "time hidden"],
) -> Float[Array, ""]:
    """How much errors grow or shrink in a step: mean over t of ``(|D_t^T e_t| / |e_t| - 1)^2``.

    ``e_t`` is the derivative of the loss with respect to the state after step t, and ``D_t`` the Jacobian of
    that step (equation 9 of the paper, with a mean over the steps in place of the sum). As there, only
    the direct dependence of ``D_t`` on the parameters is differentiated: states and errors are
    constants.

    Args:
        cell: a step; gradients are for what it holds.
        states: after each step.
        inputs: of each step.
        errors: derivatives of the loss with respect to ``states``. Steps with an error of 0 do not count.
    """
    states, errors = jax.lax.stop_gradient((states, errors))

    def growth(state: Array, input: Array, error: Array) -> tuple[Array, Array]:
        largest = jnp.abs(error).max()
        counts = jnp.isfinite(largest) & (largest > 0)
        error = jnp.where(counts, error / jnp.where(counts, largest, 1), 1)
        (back,) = jax.vjp(lambda s: cell(s, input), state)[1](error)
        growth = tree_norm(back) / tree_norm(error)
        return jnp.where(counts, jnp.square(growth - 1), 0), counts

    penalties, counts = jax.vmap(growth)(states[:-1], inputs[1:], errors[1:])
    return jnp.sum(penalties) / jnp.maximum(jnp.sum(counts), 1)
