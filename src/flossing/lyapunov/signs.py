"""How a step treats its state, its input and perturbations of them, at every step of a trajectory."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ._steps import Step, flatten, pull, push, whole

_DIRECTIONS = 8
"""Random perturbations of every state, from which norms and the diagonal of the Jacobian are estimated."""


class Signs(NamedTuple):
    """What happens to each of n state variables at each of T steps; squares are means over perturbations."""

    states: Float[Array, "T n"]
    """After the step."""
    change: Float[Array, "T n"]
    """Squared norms of the rows of the Jacobian minus 1: 0 for a variable that is kept as it is."""
    kept: Float[Array, "T n"]
    """Diagonal of the Jacobian: how much of a variable stays. Noisy in one step, good in means of many."""
    response: Float[Array, "T n"]
    """Squared change of a variable where the input of another step comes instead."""
    sensitivity: Float[Array, "T n"]
    """Squared norms of the rows of the Jacobian."""
    influence: Float[Array, "T n"]
    """Squared norms of its columns."""
    growth: Float[Array, "T blocks"]
    """Logarithms of the growth of one perturbation of each block, which stays in it: their means are the
    first Lyapunov exponents of the blocks."""
    seen: PyTree
    """What ``observable`` made of the states, with time leading."""


@eqx.filter_jit
def signs(
    step: Step,
    state: PyTree,
    inputs: PyTree,
    num_steps: int,
    observable: Callable[[Any], PyTree],
    blocks: Float[Array, "blocks n"] | None = None,
    *,
    key: PRNGKeyArray,
) -> Signs:
    """``Signs`` along the trajectory from ``state``, for checked arguments.

    Perturbations have independent normal entries. With ``v`` such a vector, ``(D v)_i^2`` is the
    squared norm of row i of the Jacobian in the mean, ``(D v - v)_i^2`` that of row i of ``D - 1``,
    and ``v_i (D v)_i`` the entry ``D_ii``.

    Args:
        step, state, inputs, num_steps: as ``check_run`` gives them.
        observable: function of each state (in its user's form) that gives what else is wanted, a pytree of
            arrays.
        blocks: for each block of state variables, such as a layer, 1 for those in it and 0 for others;
            default one block of all.
        key: random key of perturbations and exchanged inputs.
    """
    swap_key, key = jax.random.split(key)
    order = jax.random.permutation(swap_key, num_steps)
    others = jax.tree.map(lambda x: x[order], inputs)
    like = flatten(state).vector
    within = jnp.ones((1, like.size), like.dtype) if blocks is None else blocks.astype(like.dtype)
    count = len(within)

    def random(number: Array | int, *lead: int) -> Array:
        return jax.random.normal(jax.random.fold_in(key, number), (*lead, like.size), like.dtype)

    def advance(carry: tuple, at: tuple) -> tuple[tuple, Signs]:
        state, tangents = carry
        input, other, number = at
        drawn = random(number, _DIRECTIONS)
        new, pushed = push(step, state, jnp.concatenate([tangents, drawn]), input)
        tangents, moved = within * pushed[:count], pushed[count:]
        pulled = jax.vmap(lambda error: pull(step, state, error, input))(drawn)
        growth = jnp.linalg.norm(tangents, axis=1)
        vector = flatten(new).vector
        signs_now = Signs(
            states=vector,
            change=jnp.square(moved - drawn).mean(0),
            kept=(moved * drawn).mean(0),
            response=jnp.square(vector - flatten(step(state, other)).vector),
            sensitivity=jnp.square(moved).mean(0),
            influence=jnp.square(pulled).mean(0),
            growth=jnp.log(growth),
            seen=observable(whole(new)),
        )
        return (new, tangents / jnp.where(growth > 0, growth, 1)[:, None]), signs_now

    tangents = within * random(num_steps, count)
    start = state, tangents / jnp.linalg.norm(tangents, axis=1, keepdims=True)
    return jax.lax.scan(advance, start, (inputs, others, jnp.arange(num_steps)))[1]
