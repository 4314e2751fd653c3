"""The loop that all spectra share: push tangents, orthonormalise, keep the logarithms."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from ._orthonormalise import SAVED, orthonormalise
from ._steps import Step, push, take


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


def renormalise(basis: Basis, exact: bool = True) -> tuple[Basis, Array, Array]:
    """Orthonormalises a basis; returns it with the logarithms by slot and the triangular factor."""
    factors = orthonormalise(basis.vectors, exact)
    basis = Basis(factors.vectors, factors.alive, basis.origin[factors.order])
    return basis, factors.log_growth, factors.triangle


def propagate(
    step: Step,
    state: PyTree,
    basis: Basis,
    inputs: PyTree,
    num_steps: int,
    renormalise_every: int,
    collect: Any = lambda state, basis, triangle: None,
    exact: bool = False,
) -> tuple[PyTree, Basis, Logs, Any]:
    """``num_steps`` steps of a state and its tangents, renormalised every so many steps and at the end.

    Returns the last state, the last basis, one row of logarithms per interval (the last interval is
    shorter if the division has a remainder), and what ``collect`` made of the start and of each
    interval's end, one row more.

    The backward pass of a derivative keeps the tangents and the factors of each renormalisation and
    computes all else again, because writing and reading it takes longer.
    """

    def kept(pushed: tuple) -> tuple:
        return pushed[0], checkpoint_name(pushed[1], SAVED)

    def interval(carry: tuple, inputs: PyTree, length: int) -> tuple[tuple, tuple]:
        state, basis = carry
        basis, logs, triangle = renormalise(basis, exact)
        before = (logs, basis.alive, basis.origin), collect(state, basis, triangle)
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

    keep = jax.checkpoint_policies.save_only_these_names(SAVED)
    body = jax.checkpoint(
        lambda c, u: interval(c, u, renormalise_every), prevent_cse=False, policy=keep
    )
    whole, rest = divmod(num_steps, renormalise_every)
    carry, parts = (state, basis), []
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
    basis, last, triangle = renormalise(basis)
    end = (last, basis.alive, basis.origin), collect(state, basis, triangle)
    parts.append(jax.tree.map(lambda x: x[None], end))
    (logs, alive, origin), collected = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    rows = jnp.arange(logs.shape[0])[:, None]
    by_column = jnp.zeros_like(logs).at[rows, origin].set(logs)
    lost = jnp.zeros(alive.shape, bool).at[rows, origin].set(~alive)
    growth = by_column[1:].at[0].add(by_column[0])
    # A direction lost in the last interval leaves the growth of those behind it uncounted.
    basis, rest_of_last, _ = renormalise(basis)
    growth = growth.at[-1, basis.origin].add(rest_of_last)
    return state, basis, Logs(growth, lost[1:]), collected


def interval_lengths(num_steps: int, renormalise_every: int) -> list[int]:
    """The number of steps in each interval of ``propagate``."""
    whole, rest = divmod(num_steps, renormalise_every)
    return [renormalise_every] * whole + [rest] * bool(rest)
