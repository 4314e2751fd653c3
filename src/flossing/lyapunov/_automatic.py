"""Tangents that are renormalised as rarely as their precision allows, with a guard."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._basis import Basis, renormalise
from ._gram_schmidt import GramSchmidt
from ._orthonormalise import SAVED, Factors
from ._segments import scan_in_segments, segment_length
from ._steps import Step, push, take

LONGEST = 16
"""Most steps between renormalisations."""
BLOCK = 64
"""About so many steps after which the guard looks back."""
PILOT = 9
"""Steps whose factors say whether to ask at all when a renormalisation is due."""
FARTHEST = 1e8
"""Largest entry of a tangent vector that goes without renormalisation; the smallest is one over it."""


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

    def after(self, factors: Factors, due: Bool[Array, ""]) -> "Pace":
        """The pace after a factorisation, or after none if it was not ``due``.

        The loss of independence in the last interval, taken as linear in time, says how many steps the
        tangents can go without losing precision. No interval is longer than twice the last one (or than
        that was planned to be, if it ended early), and none is longer than ``LONGEST``.
        """
        lean = jax.lax.stop_gradient(factors.lean)
        used = lean / Limits.of(lean.dtype).aim
        fitting = jnp.floor(self.since / jnp.maximum(used, 1e-3)).astype(int)
        most = self.since + jnp.maximum(self.since, self.left)
        following = jnp.clip(jnp.minimum(fitting, most), 1, LONGEST)
        following = jnp.where(factors.whole > 0, following, 1)
        return Pace(
            jnp.where(due, following, self.left),
            jnp.where(due, 0, self.since),
        )

    def avoidable(self, factors: Factors) -> Float[Array, ""]:
        """The loss of independence since the last factorisation; 0 if that was one step ago."""
        return jnp.where(self.since > 1, factors.lean, 0)

    def step(self) -> "Pace":
        """One step later."""
        return Pace(self.left - 1, self.since + 1)


@jax.custom_batching.custom_vmap
def any_of_batch(flag: Bool[Array, ""]) -> Bool[Array, ""]:
    """A flag as it is; under ``jax.vmap`` whether it is set for any of the batch.

    A conditional on it stays one, where a flag for each of the batch would have both branches computed.
    """
    return flag


@any_of_batch.def_vmap
def _any_of_batch(
    size: int, batched: list, flags: Bool[Array, " batch"]
) -> tuple[Bool[Array, ""], bool]:
    del size, batched
    return any_of_batch(jnp.any(flags)), False


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
    store_every: int = 1,
) -> tuple[PyTree, Basis, Growth]:
    """Steps of a state and its tangents, renormalised when ``Pace`` says so and where ``edges`` asks for it.

    ``edges[t]`` asks for a renormalisation before step ``t``, and row ``t`` of the growth is what that
    renormalisation has found. The last basis is not renormalised.

    Where a block of steps turns out to have lost too much independence between two renormalisations (a
    spectrum that suddenly widened), it is computed again with one at every step. Where the first steps
    show that every step is due, none of the others is asked: see ``_every_step_is_due``.
    """
    in_blocks = functools.partial(
        _in_blocks, step, (state, basis, Pace.start()), (inputs, edges), store_every
    )
    if block_length(len(edges)) == len(edges):
        return in_blocks(_paced)
    return jax.lax.cond(
        any_of_batch(_every_step_is_due(step, state, basis, inputs)),
        lambda: in_blocks(_at_every_step),
        lambda: in_blocks(_paced),
    )


def _every_step_is_due(step: Step, state: PyTree, basis: Basis, inputs: PyTree) -> Bool[Array, ""]:
    """Whether two steps without a renormalisation between them would lose too much, from the first steps."""

    def advance(carry: tuple, input: PyTree) -> tuple[tuple, Array]:
        state, vectors = carry
        factors = GramSchmidt.of(vectors)
        pushed = push(step, state, factors.vectors, input)
        return jax.lax.stop_gradient((pushed, factors.lean))

    carry = jax.lax.stop_gradient((state, basis.vectors))
    _, leans = jax.lax.scan(advance, carry, take(inputs, 0, PILOT), length=PILOT)
    # NaN counts as not due: a lost direction says nothing of the others.
    return jnp.all(leans[1:] > Limits.of(leans.dtype).aim / 2)


def _in_blocks(
    step: Step, carry: tuple, xs: tuple, store_every: int, block: Callable
) -> tuple[PyTree, Basis, Growth]:
    steps = len(xs[1])
    length = block_length(steps)
    whole, end = steps // length, steps // length * length
    parts = []
    if whole > 1:
        blocks = jax.tree.map(lambda x: x[:end].reshape(whole, length, *x.shape[1:]), xs)
        carry, growth = scan_in_segments(
            functools.partial(block, step),
            carry,
            blocks,
            whole,
            segment_length(store_every, length),
        )
        parts.append(jax.tree.map(lambda x: x.reshape(end, *x.shape[2:]), growth))
    if whole == 1 or end < steps:
        begin = end if whole > 1 else 0
        carry, growth = block(step, carry, take(xs, begin, steps))
        parts.append(growth)
    return carry[0], carry[1], jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def block_length(steps: int) -> int:
    """Steps of a block; such that few are left over, for which the program is compiled once more."""
    if steps < 2 * BLOCK:
        return steps
    near = range(3 * BLOCK // 4, 3 * BLOCK // 2 + 1)
    return min(near, key=lambda length: (steps % length, abs(length - BLOCK)))


def _at_every_step(step: Step, carry: tuple, xs: tuple) -> tuple[tuple, Growth]:
    """A block of steps with a renormalisation before each."""

    def advance(carry: tuple, input: PyTree) -> tuple[tuple, Growth]:
        state, basis = carry
        basis, factors = renormalise(basis, exact=False)
        state, vectors = push(step, state, basis.vectors, input)
        return (state, basis._replace(vectors=vectors)), Growth(factors.log_growth, basis.slots)

    inputs, edges = xs
    (state, basis), growth = _scan(advance, carry[:2], inputs, len(edges))
    return (state, basis, Pace.start()), growth


def _paced(step: Step, carry: tuple, xs: tuple) -> tuple[tuple, Growth]:
    """A block of steps with few renormalisations, and once more where it lost too much."""

    def advance(carry: tuple, at: tuple) -> tuple[tuple, tuple[Growth, Array]]:
        state, basis, pace = carry
        input, edge = at
        due = any_of_batch((pace.left <= 0) | edge | _far(basis))
        basis, factors = renormalise(basis, due, exact=False)
        avoidable = pace.avoidable(factors)
        pace = pace.after(factors, due)
        state, vectors = push(step, state, basis.vectors, input)
        growth = Growth(factors.log_growth, basis.slots)
        return (state, basis._replace(vectors=vectors), pace.step()), (growth, avoidable)

    # The last step has a renormalisation before it, so that an interval that ends in the next block has only
    # one step in this one, and computing the next block again is enough.
    inputs, edges = xs
    edges = edges.at[-1].set(True)
    carried, (growth, leans) = _scan(advance, carry, (inputs, edges), len(edges))
    enough = jnp.max(leans) <= Limits.of(leans.dtype).most
    again_if = any_of_batch(~enough)
    again = jax.checkpoint(lambda carry: _at_every_step(step, carry, xs))
    return jax.lax.cond(again_if, again, lambda carry: (carried, growth), carry)


def _far(basis: Basis) -> Bool[Array, ""]:
    """Whether a living vector has become so long or short that it may leave the range of the numbers.

    Losing independence is noticed at the end of an interval, which is computed again. Leaving the range is
    not: a vector that has become zero looks like a lost direction.
    """
    size = jnp.max(jnp.abs(jax.lax.stop_gradient(basis.vectors)), axis=1)
    return jnp.any(basis.alive & ~((size > 1 / FARTHEST) & (size < FARTHEST)))


def _scan(body: Callable, carry: tuple, xs: PyTree, length: int) -> tuple[tuple, Any]:
    """A loop whose derivative stores factors and carries, and computes all else again."""
    keep = jax.checkpoint_policies.save_only_these_names(SAVED)
    return jax.lax.scan(jax.checkpoint(body, prevent_cse=False, policy=keep), carry, xs, length)
