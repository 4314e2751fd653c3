"""Tangents that are renormalised as rarely as their precision allows, with a guard."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._basis import Basis, renormalise
from ._orthonormalise import SAVED, Factors
from ._segments import scan_in_segments, segment_length
from ._steps import Step, push, take

LONGEST = 16
"""Most steps between renormalisations."""
BLOCK = 64
"""About so many steps after which the guard looks back."""
MOST_GROWTH = 16.0
"""Logarithm of the largest growth between renormalisations; its square must fit the numbers."""


class Limits(NamedTuple):
    """Logarithms of losses of independence."""

    aim: float
    """What an interval should not exceed: rounding errors stay as they are at every step."""
    most: float
    """What it must not exceed: beyond, the block is computed again with every step renormalised."""

    @classmethod
    def of(cls, dtype: Any) -> "Limits":
        """For numbers of this precision.

        What a row loses of its independence, its rounding errors gain. If it leans on those before it so much
        that a sixth of its length (``e^-1.75``) is its own, errors of that part are six times as large. Up to
        there, gradients in float32 are about as far from those in float64 as with every step renormalised. A
        factor of 150 (``e^5``) is borne where it comes as a surprise. float64 has twice as many digits, so
        the logarithms are twice as large.
        """
        return cls(1.75, 5.0) if jnp.finfo(dtype).eps > 1e-10 else cls(3.5, 10.0)


class Pace(NamedTuple):
    """When the next automatic renormalisation is due."""

    left: Int[Array, ""]
    """Steps until then; 0 at the start, when nothing is known."""
    since: Int[Array, ""]
    """Steps since the last one."""

    @classmethod
    def start(cls) -> "Pace":
        """Due at once."""
        return cls(jnp.asarray(0), jnp.asarray(0))

    def after(self, factors: Factors) -> "Pace":
        """The pace after a factorisation, or after none.

        The loss of independence and the growth of the last interval, taken as linear in time, say how
        many steps the tangents can go without losing precision. No interval is longer than twice the
        last one, and none is longer than ``LONGEST``.
        """
        lean = jax.lax.stop_gradient(factors.lean)
        growth = jnp.max(jnp.abs(jax.lax.stop_gradient(factors.log_growth)))
        used = jnp.maximum(lean / Limits.of(lean.dtype).aim, growth / MOST_GROWTH)
        fitting = jnp.floor(self.since / jnp.maximum(used, 1e-3)).astype(int)
        following = jnp.clip(jnp.minimum(fitting, 2 * self.since), 1, LONGEST)
        following = jnp.where(factors.whole > 0, following, 1)
        return Pace(
            jnp.where(factors.done, following, self.left),
            jnp.where(factors.done, 0, self.since),
        )

    def avoidable(self, factors: Factors) -> Float[Array, ""]:
        """The loss of independence since the last factorisation; 0 if that was one step ago."""
        return jnp.where(self.since > 1, factors.lean, 0)

    def step(self) -> "Pace":
        """One step later."""
        return Pace(self.left - 1, self.since + 1)


class Growth(NamedTuple):
    """Of each step of a stretch, by slot; where nothing was renormalised, zero."""

    logs: Float[Array, "steps k"]
    slots: Int[Array, "steps k"]


def propagate_automatically(
    step: Step,
    state: PyTree,
    basis: Basis,
    inputs: PyTree,
    edges: Bool[Array, " steps"],
    exact: bool = False,
    store_every: int = 1,
) -> tuple[PyTree, Basis, Growth]:
    """Steps of a state and its tangents, renormalised when ``Pace`` says so, after ``edges`` and at the end.

    ``edges[t]`` asks for a renormalisation before step ``t``. The growth of an interval stands at its last
    step. Where a block turns out to have lost too much independence between two renormalisations
    (a spectrum that suddenly widened), it is computed again with a renormalisation at every step.
    """
    carry = state, basis, Pace.start()
    steps = len(edges)
    length = block_length(steps)
    whole, end = steps // length, steps // length * length
    parts = []
    if whole > 1:
        blocks = jax.tree.map(
            lambda x: x[:end].reshape(whole, length, *x.shape[1:]), (inputs, edges)
        )
        carry, growth = scan_in_segments(
            lambda c, b: _block(step, c, *b, exact),
            carry,
            blocks,
            whole,
            segment_length(store_every, length),
        )
        parts.append(jax.tree.map(lambda x: x.reshape(end, *x.shape[2:]), growth))
    if whole == 1 or end < steps:
        begin = end if whole > 1 else 0
        carry, growth = _block(step, carry, take(inputs, begin, steps), edges[begin:], exact)
        parts.append(growth)
    return carry[0], carry[1], jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def block_length(steps: int) -> int:
    """Steps of a block; such that few are left over, for which the program is compiled once more."""
    if steps < 2 * BLOCK:
        return steps
    near = range(3 * BLOCK // 4, 3 * BLOCK // 2 + 1)
    return min(near, key=lambda length: (steps % length, abs(length - BLOCK)))


def _block(
    step: Step,
    carry: tuple,
    inputs: PyTree,
    edges: Bool[Array, " steps"],
    exact: bool,
) -> tuple[tuple, Growth]:
    """One block, and once more where it lost too much."""
    keep = jax.checkpoint_policies.save_only_these_names(SAVED)

    def advance(carry: tuple, at: tuple) -> tuple[tuple, tuple[Growth, Array]]:
        state, basis, pace = carry
        input, edge = at
        basis, factors = renormalise(basis, (pace.left <= 0) | edge, exact)
        avoidable = pace.avoidable(factors)
        pace = pace.after(factors)
        state, vectors = push(step, state, basis.vectors, input)
        growth = Growth(factors.log_growth, basis.slots)
        return (state, basis._replace(vectors=vectors), pace.step()), (growth, avoidable)

    body = jax.checkpoint(advance, prevent_cse=False, policy=keep)

    def rarely(carry: tuple) -> tuple[tuple, Growth, Array]:
        (state, basis, pace), (growth, leans) = jax.lax.scan(body, carry, (inputs, edges))
        basis, factors = renormalise(basis)
        last = Growth(factors.log_growth, basis.slots)
        # Row t so far is what was found before step t; it belongs to step t - 1.
        before, after = growth.logs[0], jnp.concatenate([growth.logs[1:], last.logs[None]])
        slots = jnp.concatenate([growth.slots[1:], last.slots[None]])
        lean = jnp.maximum(jnp.max(leans), pace.avoidable(factors))
        return (state, basis, pace.after(factors)), Growth(after.at[0].add(before), slots), lean

    def every_step(carry: tuple) -> tuple[tuple, Growth]:
        def advance_and_renormalise(carry: tuple, input: PyTree) -> tuple[tuple, Growth]:
            state, basis, pace = carry
            state, vectors = push(step, state, basis.vectors, input)
            basis, factors = renormalise(basis._replace(vectors=vectors), None, exact)
            growth = Growth(factors.log_growth, basis.slots)
            return (state, basis, pace.step().after(factors)), growth

        carry = (*carry[:2], Pace.start())
        body = jax.checkpoint(advance_and_renormalise, prevent_cse=False, policy=keep)
        return jax.lax.scan(body, carry, inputs, length=len(edges))

    carried, growth, lean = rarely(carry)
    enough = jax.lax.stop_gradient(lean) <= Limits.of(lean.dtype).most
    again = functools.partial(jax.checkpoint(every_step), carry)
    return jax.lax.cond(enough, lambda: (carried, growth), again)
