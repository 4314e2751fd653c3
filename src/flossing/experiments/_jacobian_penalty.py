"""A cell with the penalty on vanishing and exploding errors of Pascanu, Mikolov & Bengio (2013)."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._norms import tree_norm
from ..cells import Cell, TanhCell
from ..cells.spec import RecurrentSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class PenalisedSpec(RecurrentSpec):
    """A tanh network whose training adds the penalty to the loss."""

    weight: float = 1.0
    """Weight of the penalty of each trial; that of the mean over a batch, divided by its trials."""

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> "PenalisedCell":
        """One cell with fresh weights."""
        cell = TanhCell(input_size, self.hidden_size, key=key, **self._matrices())
        return PenalisedCell(cell, self.weight)


class PenalisedCell(Cell):
    """A cell whose gradients along a trial are those of loss and penalty together.

    The penalty needs the errors, which exist in the backward pass alone, so it acts there: the gradient that
    parameters get from ``over_time`` has ``weight`` times that of ``jacobian_penalty`` in it.
    Steps, outputs and exponents are those of the cell alone.
    """

    cell: Cell
    weight: float = eqx.field(static=True)

    @property
    def input_size(self) -> int:
        """Number of inputs."""
        return self.cell.input_size

    @property
    def hidden_size(self) -> int:
        """Number of units."""
        return self.cell.hidden_size

    def __call__(self, state: Any, input: Float[Array, " input"]) -> Any:
        """The next state."""
        return self.cell(state, input)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Any:
        """The state a network starts in."""
        return self.cell.initial_state(key=key)

    def output(self, state: Any) -> Float[Array, " hidden"]:
        """What a readout sees of a state."""
        return self.cell.output(state)

    def over_time(self, inputs: Any, state: Any = None) -> Float[Array, "time hidden"]:
        """Outputs of one trial after each step."""
        start = self.initial_state() if state is None else state
        return jax.vmap(self.output)(_states((self.cell, start), inputs, self.weight))


def nudged(cell: Any, start: PyTree, inputs: Float[Array, "time input"], nudges: PyTree) -> PyTree:
    """States of one trial in which ``nudges`` are added to the state after every step.

    The gradient of a loss of the states with respect to nudges of zero is its total derivative with respect
    to every state. ``nudges`` has the form of the state, with time as leading axis.
    """

    def step(state: Any, input: tuple[Array, Any]) -> tuple[Any, Any]:
        state = jax.tree.map(jnp.add, cell(state, input[0]), input[1])
        return state, state

    return jax.lax.scan(step, start, (inputs, nudges))[1]


def no_nudges(start: PyTree, num_steps: int) -> PyTree:
    """Nudges of zero for a trial that begins in this state."""
    return jax.tree.map(lambda x: jnp.zeros((num_steps, *x.shape), x.dtype), start)


@eqx.filter_custom_vjp
def _states(differentiated: tuple[Cell, PyTree], inputs: Array, weight: float) -> PyTree:
    cell, start = differentiated
    return nudged(cell, start, inputs, no_nudges(start, len(inputs)))


@_states.def_fwd
def _forward(
    perturbed: Any, differentiated: tuple[Cell, PyTree], inputs: Array, weight: float
) -> tuple[PyTree, Any]:
    arrays, rest = eqx.partition(differentiated, eqx.is_inexact_array)

    def states_of(arrays: PyTree, nudges: PyTree) -> PyTree:
        return nudged(*eqx.combine(arrays, rest), inputs, nudges)

    zero = no_nudges(differentiated[1], len(inputs))
    states, pull = jax.vjp(states_of, arrays, zero)
    return states, (states, pull)


@_states.def_bwd
def _backward(
    kept: Any,
    direct: PyTree,
    perturbed: Any,
    differentiated: tuple[Cell, PyTree],
    inputs: Array,
    weight: float,
) -> PyTree:
    states, pull = kept
    (gradient, of_start), errors = pull(direct)
    arrays, rest = eqx.partition(differentiated[0], eqx.is_inexact_array)
    more = jax.grad(lambda a: jacobian_penalty(eqx.combine(a, rest), states, inputs, errors))(
        arrays
    )
    return jax.tree.map(lambda g, m: g + weight * m, gradient, more), of_start


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
