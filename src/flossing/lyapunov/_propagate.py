"""The loop that all spectra share: push tangents, orthonormalise, keep the logarithms."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._checks import check_integer
from ._orthonormalise import SAVED, Factors, orthonormalise
from ._steps import Step, push, take

RenormaliseEvery = int | Literal["auto"]


def check_renormalise_every(name: str, value: object) -> RenormaliseEvery:
    """Returns a number of steps or ``"auto"``; raises ``ValueError`` or ``TypeError`` for all else."""
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f'{name}: expected a number of steps or "auto", got {value!r}.')
        return "auto"
    return check_integer(name, value, 1)


class Basis(NamedTuple):
    """Tangent vectors in the rows of ``vectors``.

    Slots are sorted by growth; a lost direction has a zero row, at the end. ``origin[i]`` names the
    row of the first basis that slot ``i`` continues, so that logarithms stay with their direction
    when a lost one moves to the end.
    """

    vectors: Float[Array, "k n"]
    alive: Bool[Array, " k"]
    origin: Int[Array, " k"]

    @classmethod
    def start(cls, vectors: Float[Array, "k n"]) -> "Basis":
        """A basis of living directions."""
        k = vectors.shape[0]
        return cls(vectors, jnp.ones(k, bool), jnp.arange(k))

    @classmethod
    def random(cls, key: PRNGKeyArray, n: int, k: int, dtype: Any) -> "Basis":
        """A random orthonormal basis."""
        return cls.start(jnp.linalg.qr(jax.random.normal(key, (n, k), dtype))[0].T)


class Logs(NamedTuple):
    """Logarithms of the stretching factors of each interval, by row of the first basis."""

    log_growth: Float[Array, "intervals k"]
    lost: Bool[Array, "intervals k"]


class Pace(NamedTuple):
    """When the next automatic renormalisation is due."""

    left: Int[Array, ""]
    """Steps until then."""
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
        used = jnp.maximum(lean / most_lean(lean.dtype), growth / MOST_GROWTH)
        fitting = jnp.floor(self.since / jnp.maximum(used, 1e-3)).astype(int)
        following = jnp.clip(jnp.minimum(fitting, 2 * self.since), 1, LONGEST)
        following = jnp.where(factors.whole > 0, following, 1)
        return Pace(
            jnp.where(factors.done, following, self.left),
            jnp.where(factors.done, 0, self.since),
        )

    def step(self) -> "Pace":
        """One step later."""
        return Pace(self.left - 1, self.since + 1)


LONGEST = 16
"""Most steps of an automatic interval."""
MOST_GROWTH = 16.0
"""Logarithm of the largest growth in such an interval; its square must fit the numbers."""


def most_lean(dtype: Any) -> float:
    """Logarithm of the largest loss of independence in an automatic interval."""
    return 1.75 if jnp.finfo(dtype).eps > 1e-10 else 3.5


def renormalise(
    basis: Basis, due: Bool[Array, ""] | None = None, exact: bool = True
) -> tuple[Basis, Factors]:
    """Orthonormalises a basis (if it is ``due``); returns it with the factors."""
    factors = orthonormalise(basis.vectors, due, exact)
    alive = factors.alive if due is None else jnp.where(factors.done, factors.alive, basis.alive)
    return Basis(factors.vectors, alive, basis.origin[factors.order]), factors


def propagate(
    step: Step,
    state: PyTree,
    basis: Basis,
    inputs: PyTree,
    num_steps: int,
    renormalise_every: RenormaliseEvery,
    *,
    edges: Sequence[int] = (),
    collect: Any = lambda state, basis, triangle: None,
    exact: bool = False,
) -> tuple[PyTree, Basis, Logs, Any]:
    """``num_steps`` steps of a state and its tangents, renormalised every so many steps and at the end.

    ``"auto"`` renormalises when ``Pace`` says so and after the numbers of steps in ``edges``.

    Returns the last state, the last basis, one row of logarithms per interval (see
    ``interval_lengths``), and what ``collect`` made of the start and of each interval's end, one row
    more.

    The backward pass of a derivative keeps the tangents and the factors of each renormalisation and
    computes all else again, because writing and reading it takes longer.
    """
    keep = jax.checkpoint_policies.save_only_these_names(SAVED)

    def remember(factors: Factors, state: PyTree, basis: Basis) -> tuple:
        logs = factors.log_growth, basis.alive, basis.origin
        return logs, collect(state, basis, factors.triangle)

    def automatic(carry: tuple, at: tuple) -> tuple[tuple, tuple]:
        state, basis, pace = carry
        input, edge = at
        basis, factors = renormalise(basis, (pace.left <= 0) | edge, exact)
        pace = pace.after(factors)
        before = remember(factors, state, basis)
        state, vectors = push(step, state, basis.vectors, input)
        return (state, basis._replace(vectors=vectors), pace.step()), before

    def interval(carry: tuple, inputs: PyTree, length: int) -> tuple[tuple, tuple]:
        state, basis = carry
        basis, factors = renormalise(basis, None, exact)
        before = remember(factors, state, basis)
        vectors = basis.vectors
        if length == 1:
            state, vectors = push(step, state, vectors, jax.tree.map(lambda x: x[0], inputs))
        else:
            (state, vectors), _ = jax.lax.scan(
                lambda c, u: (kept(push(step, *c, u)), None),
                (state, vectors),
                inputs,
                length=length,
                unroll=length if length <= 8 else 1,
            )
        return (state, basis._replace(vectors=vectors)), before

    def kept(pushed: tuple) -> tuple:
        return pushed[0], checkpoint_name(pushed[1], SAVED)

    parts = []
    if renormalise_every == "auto":
        flags = np.zeros(num_steps, bool)
        flags[[edge for edge in edges if edge < num_steps]] = True
        body = jax.checkpoint(automatic, prevent_cse=False, policy=keep)
        carry, out = jax.lax.scan(
            body, (state, basis, Pace.start()), (inputs, jnp.asarray(flags)), length=num_steps
        )
        carry = carry[:2]
        parts.append(out)
    else:
        body = jax.checkpoint(
            lambda c, u: interval(c, u, renormalise_every), prevent_cse=False, policy=keep
        )
        whole, rest = divmod(num_steps, renormalise_every)
        carry = state, basis
        if whole:
            split = whole * renormalise_every
            blocks = jax.tree.map(
                lambda x: x[:split].reshape(whole, renormalise_every, *x.shape[1:]), inputs
            )
            carry, out = jax.lax.scan(body, carry, blocks, length=whole)
            parts.append(out)
        if rest:
            carry, out = interval(carry, take(inputs, num_steps - rest, num_steps), rest)
            parts.append(jax.tree.map(lambda x: x[None], out))
    state, basis = carry
    basis, last = renormalise(basis)
    parts.append(jax.tree.map(lambda x: x[None], remember(last, state, basis)))
    (logs, alive, origin), collected = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    rows = jnp.arange(logs.shape[0])[:, None]
    by_row = jnp.zeros_like(logs).at[rows, origin].set(logs)
    lost = jnp.zeros(alive.shape, bool).at[rows, origin].set(~alive)
    growth = by_row[1:].at[0].add(by_row[0])
    # A direction lost in the last interval leaves the growth of those behind it uncounted.
    basis, rest_of_last = renormalise(basis)
    growth = growth.at[-1, basis.origin].add(rest_of_last.log_growth)
    return state, basis, Logs(growth, lost[1:]), collected


def interval_lengths(num_steps: int, renormalise_every: RenormaliseEvery) -> list[int]:
    """The number of steps in each row of logarithms of ``propagate``.

    Automatic renormalisation has a row for each step, with zeros where there was none.
    """
    every = 1 if renormalise_every == "auto" else renormalise_every
    whole, rest = divmod(num_steps, every)
    return [every] * whole + [rest] * bool(rest)
