"""Steps, states and tangents: flattening, and the propagation of tangents by forward mode."""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ._segments import scan_in_segments, segment_length

Step = Callable[[Any, Any], Any]


class PartialState(eqx.Module):
    """A state of which only a part carries perturbations; see ``StepOfPart``."""

    moving: PyTree
    rest: PyTree


def whole(state: PyTree) -> PyTree:
    """A state in its user's form."""
    return eqx.combine(state.moving, state.rest) if isinstance(state, PartialState) else state


def moving_floats(state: PyTree) -> PyTree:
    """The floating-point arrays that carry perturbations, ``None`` in the place of all else."""
    moving = state.moving if isinstance(state, PartialState) else state
    return eqx.filter(moving, eqx.is_inexact_array)


def moving_leaves(state: PyTree) -> tuple[list[Array], Callable[[list[Array]], PyTree]]:
    """The leaves of ``moving_floats``, and the state with others in their place."""
    partial = isinstance(state, PartialState)
    floats, rest = eqx.partition(state.moving if partial else state, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(floats)

    def with_leaves(new: list[Array]) -> PyTree:
        moving = eqx.combine(structure.unflatten(new), rest)
        return PartialState(moving, state.rest) if partial else moving

    return leaves, with_leaves


def dimension(state: PyTree) -> int:
    """Number of real numbers that carry perturbations: the number of tangent directions.

    A complex number counts as two.
    """
    sizes = [x.size * (1 + jnp.iscomplexobj(x)) for x in jax.tree.leaves(moving_floats(state))]
    return int(sum(sizes))


def precision(state: PyTree) -> Any:
    """The dtype of ``flatten(state).vector``: float32, or float64 where a part of the state is."""
    digits = [jnp.finfo(x.dtype).bits for x in jax.tree.leaves(moving_floats(state))]
    return jnp.dtype("float64" if max(digits, default=0) > 32 else "float32")


class Flat(NamedTuple):
    """A state as one vector of its floating-point numbers, with the way back."""

    vector: Float[Array, " n"]
    unravel: Callable[[Array], PyTree]


def flatten(state: PyTree) -> Flat:
    """The floating-point numbers of a state; ``unravel`` puts other numbers back into the rest.

    Leaves follow each other as ``jax.tree.leaves`` orders them. Of a complex leaf, all real parts come
    before all imaginary parts. Half precision is widened to float32, and narrowed on the way back.
    """
    leaves, with_leaves = moving_leaves(state)
    dtype = precision(state)
    parts = [_real(x).ravel().astype(dtype) for x in leaves]
    ends = np.cumsum([part.size for part in parts]).tolist()

    def unravel(vector: Array) -> PyTree:
        pieces = jnp.split(vector, ends[:-1]) if leaves else []
        numbers = [_like(piece, x) for piece, x in zip(pieces, leaves, strict=True)]
        return with_leaves(numbers)

    return Flat(jnp.concatenate(parts), unravel)


def _real(x: Array) -> Array:
    return jnp.stack([x.real, x.imag]) if jnp.iscomplexobj(x) else x


def _like(piece: Float[Array, " m"], x: Array) -> Array:
    if jnp.iscomplexobj(x):
        real, imaginary = piece.astype(x.real.dtype).reshape(2, *x.shape)
        return jax.lax.complex(real, imaginary)
    return piece.astype(x.dtype).reshape(x.shape)


def detached(tree: PyTree) -> PyTree:
    """The same numbers, as constants."""
    arrays, rest = eqx.partition(tree, eqx.is_inexact_array)
    return eqx.combine(jax.lax.stop_gradient(arrays), rest)


class StepOfPart(eqx.Module):
    """A step of a ``PartialState``: what ``tangents`` leaves out moves as ever, without perturbations."""

    step: Step
    tangents: PyTree
    """Which leaves carry perturbations: a filter, as ``equinox.partition`` takes it."""

    def split(self, state: PyTree) -> PartialState:
        """A state of the user's form in two parts."""
        return PartialState(*eqx.partition(state, self.tangents))

    def __call__(self, state: PartialState, input: PyTree) -> PartialState:
        """The next state."""
        return self.split(self.step(whole(state), input))


class StepWithPush(eqx.Module):
    """A step with its own way to push tangents."""

    @abc.abstractmethod
    def push(
        self, state: PyTree, tangents: Float[Array, "k n"], input: PyTree
    ) -> tuple[PyTree, Float[Array, "k n"]]:
        """See ``push``."""


class DetachedStates(StepWithPush):
    """A step that derivatives see from a given state: what changed that state does not count.

    Tangents are not affected: ``push`` takes them through the step itself, at a state that still depends
    on the parameters of the step that led to it.
    """

    step: Step

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """The next state."""
        return self.step(detached(state), input)

    def push(
        self, state: PyTree, tangents: Float[Array, "k n"], input: PyTree
    ) -> tuple[PyTree, Float[Array, "k n"]]:
        """The next state and tangents."""
        return self(state, input), push(self.step, state, tangents, input)[1]


class ByReverseMode(StepWithPush):
    """A step whose tangents are found by reverse mode, for a step that has no forward mode.

    A function with ``jax.custom_vjp`` only says how to pull errors ``c`` back: ``c -> D^T c``. That is
    linear in ``c``, and pulling a tangent ``v`` back through it gives ``(D^T)^T v = D v``. It costs about as
    much as forward mode, and never forms the Jacobian.
    """

    step: Step

    def __call__(self, state: PyTree, input: PyTree) -> PyTree:
        """The next state."""
        return self.step(state, input)

    def push(
        self, state: PyTree, tangents: Float[Array, "k n"], input: PyTree
    ) -> tuple[PyTree, Float[Array, "k n"]]:
        """The next state and tangents."""
        zeros = jnp.zeros(tangents.shape[1], tangents.dtype)
        _, forward = jax.vjp(lambda c: pull(self.step, state, c, input), zeros)
        return self(state, input), jax.vmap(lambda tangent: forward(tangent)[0])(tangents)


def push(
    step: Step, state: PyTree, tangents: Float[Array, "k n"], input: PyTree
) -> tuple[PyTree, Float[Array, "k n"]]:
    """One step of the state and of ``k`` tangent vectors (the rows), without forming the Jacobian."""
    if isinstance(step, StepWithPush):
        return step.push(state, tangents, input)
    vector, unravel = flatten(state)

    def flat_step(flat: Array) -> tuple[Array, PyTree]:
        new = step(unravel(flat), input)
        return flatten(new).vector, new

    def of_tangent(tangent: Array) -> tuple[PyTree, Array]:
        _, out, new = jax.jvp(flat_step, (vector,), (tangent,), has_aux=True)
        return new, out

    return jax.vmap(of_tangent, out_axes=(None, 0))(tangents)


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
