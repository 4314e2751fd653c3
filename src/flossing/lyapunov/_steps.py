"""Steps, states and tangents: checks, flattening, and the propagation of tangents by forward mode."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PyTree

from .._checks import check_integer, is_concrete
from ._segments import scan_in_segments, segment_length

Step = Callable[[Any, Any], Any]


def dimension(state: PyTree) -> int:
    """Number of floating-point numbers in a state: the number of tangent directions."""
    return sum(int(np.prod(jnp.shape(x))) for x in jax.tree.leaves(_floats(state)))


def precision(state: PyTree) -> Any:
    """The dtype of ``flatten(state).vector``."""
    return jnp.result_type(*jax.tree.leaves(_floats(state)))


def _floats(state: PyTree) -> PyTree:
    return eqx.filter(state, eqx.is_inexact_array)


class Flat(NamedTuple):
    """A state as one vector of its floating-point numbers, with the way back."""

    vector: Float[Array, " n"]
    unravel: Callable[[Array], PyTree]


def flatten(state: PyTree) -> Flat:
    """The floating-point numbers of a state; ``unravel`` puts other numbers back into the rest."""
    floats, rest = eqx.partition(state, eqx.is_inexact_array)
    vector, unravel = ravel_pytree(floats)
    return Flat(vector, lambda flat: eqx.combine(unravel(flat), rest))


def detached(tree: PyTree) -> PyTree:
    """The same numbers, as constants."""
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


class DetachedStates(eqx.Module):
    """A step that derivatives see from a given state: what changed that state does not count.

    Tangents are not affected: ``push`` takes them through the step itself, at a state that still depends
    on the parameters of the step that led to it.
    """

    step: Step

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """The next state."""
        return self.step(detached(state), input)


def push(
    step: Step, state: PyTree, tangents: Float[Array, "k n"], input: PyTree
) -> tuple[PyTree, Float[Array, "k n"]]:
    """One step of the state and of ``k`` tangent vectors (the rows), without forming the Jacobian."""
    if isinstance(step, DetachedStates):
        return step(state, input), push(step.step, state, tangents, input)[1]
    vector, unravel = flatten(state)

    def flat_step(flat: Array) -> tuple[Array, PyTree]:
        new = step(unravel(flat), input)
        return flatten(new).vector, new

    def one(tangent: Array) -> tuple[PyTree, Array]:
        _, out, new = jax.jvp(flat_step, (vector,), (tangent,), has_aux=True)
        return new, out

    return jax.vmap(one, out_axes=(None, 0))(tangents)


def pull(step: Step, state: PyTree, cotangent: Float[Array, " n"], input: PyTree) -> Array:
    """The cotangent before a step from the one after it: the transposed Jacobian times a vector."""
    vector, unravel = flatten(state)
    _, transpose = jax.vjp(lambda flat: flatten(step(unravel(flat), input)).vector, vector)
    return transpose(cotangent)[0]


def run(step: Step, state: PyTree, inputs: PyTree, num_steps: int, store_every: int = 1) -> PyTree:
    """The state after ``num_steps`` steps."""
    if num_steps == 0:
        return state
    return scan_in_segments(
        lambda s, u: (step(s, u), None), state, inputs, num_steps, segment_length(store_every)
    )[0]


def take(inputs: PyTree, start: int, stop: int) -> PyTree:
    """Steps ``start`` to ``stop`` of inputs; ``None`` stays ``None``."""
    return jax.tree.map(lambda x: x[start:stop], inputs)


def as_state(state: PyTree) -> PyTree:
    """Python and NumPy numbers of a state as JAX arrays."""
    return jax.tree.map(lambda x: jnp.asarray(x) if eqx.is_array_like(x) else x, state)


def check_run(
    step: Step, state: PyTree, inputs: PyTree, num_steps: int | None
) -> tuple[PyTree, PyTree, int]:
    """Checks step, state and inputs against each other; returns state, inputs and number of steps."""
    if not callable(step):
        raise TypeError(
            f"step: expected a function step(state, input) -> state, got {type(step).__name__}."
        )
    state = as_state(state)
    if dimension(state) == 0:
        raise ValueError(f"state: expected floating-point arrays, got {_brief(state)}.")
    inputs = jax.tree.map(jnp.asarray, inputs)
    steps = _count_steps(inputs, num_steps)
    if is_concrete(state):
        for path, leaf in jax.tree_util.tree_leaves_with_path(_floats(state)):
            count = int((~np.isfinite(np.asarray(leaf))).sum())
            if count:
                raise ValueError(
                    f"state{jax.tree_util.keystr(path)}: has {count} NaN or infinite entries."
                )
    if inputs is not None and is_concrete(inputs):
        for path, leaf in jax.tree_util.tree_leaves_with_path(_floats(inputs)):
            bad = np.argwhere(~np.isfinite(np.asarray(leaf)))
            if bad.size:
                raise ValueError(
                    f"inputs{jax.tree_util.keystr(path)}: NaN or infinite entries, "
                    f"the first at time step {bad[0][0]}."
                )
    first = jax.tree.map(lambda x: x[0], inputs)
    try:
        new = eqx.filter_eval_shape(step, state, first)
    except Exception as error:
        raise ValueError(
            f"step: step(state, input) failed with state {_brief(state)} and input {_brief(first)}: {error}"
        ) from error
    if _signature(new) != _signature(state):
        raise ValueError(
            f"step: must return a state like the one it got, {_brief(state)}; it returned {_brief(new)}."
        )
    return state, inputs, steps


def _count_steps(inputs: PyTree, num_steps: int | None) -> int:
    leaves = jax.tree.leaves(inputs)
    if not leaves:
        if num_steps is None:
            raise ValueError("num_steps: expected a number of steps, because there are no inputs.")
        return check_integer("num_steps", num_steps, 1)
    if any(jnp.ndim(leaf) == 0 for leaf in leaves):
        raise ValueError("inputs: expected arrays with time as their leading axis, got a scalar.")
    lengths = {leaf.shape[0] for leaf in leaves}
    if len(lengths) > 1:
        raise ValueError(f"inputs: arrays of different lengths along time: {sorted(lengths)}.")
    steps = lengths.pop()
    if steps == 0:
        raise ValueError("inputs: expected at least one time step, got none.")
    if num_steps is not None and num_steps != steps:
        raise ValueError(f"num_steps: got {num_steps}, but inputs has {steps} time steps.")
    return steps


def _signature(tree: PyTree) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [
        (jnp.shape(x), jnp.result_type(x))
        for x in leaves
        if eqx.is_array_like(x) or isinstance(x, jax.ShapeDtypeStruct)
    ]


def _brief(tree: PyTree) -> str:
    leaves = jax.tree.leaves(tree)
    parts = [
        f"{jnp.dtype(x.dtype).name}{list(x.shape)}" if hasattr(x, "shape") else repr(x)
        for x in leaves
    ]
    return parts[0] if len(parts) == 1 else f"{type(tree).__name__}({', '.join(parts)})"
