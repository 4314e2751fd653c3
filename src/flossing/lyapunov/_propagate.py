"""The loop that all spectra share: push tangents, orthonormalise, keep the logarithms."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ._orthonormalise import orthonormalise
from ._steps import Step, push, take


class Basis(NamedTuple):
    """Tangent vectors in the columns of ``vectors``.

    Slots are sorted by growth; a lost direction has a zero column, at the end. ``origin[i]`` names the
    column of the first basis that slot ``i`` continues, so that logarithms stay with their direction
    when a lost one moves to the end.
    """

    vectors: Float[Array, "n k"]
    alive: Bool[Array, " k"]
    origin: Int[Array, " k"]

    @classmethod
    def start(cls, vectors: Float[Array, "n k"]) -> "Basis":
        """A basis of living directions."""
        k = vectors.shape[1]
        return cls(vectors, jnp.ones(k, bool), jnp.arange(k))


class Logs(NamedTuple):
    """Logarithms of the stretching factors of each interval, by column of the first basis."""

    log_growth: Float[Array, "intervals k"]
    lost: Bool[Array, "intervals k"]


def renormalise(basis: Basis) -> tuple[Basis, Array, Array]:
    """Orthonormalises a basis; returns it with the logarithms by slot and the triangular factor.

    When a direction other than the last is lost, the vectors behind it have been orthogonalised against
    an arbitrary one. Then the basis is only sorted and its growth is left to be counted next time,
    which keeps the total exact.
    """
    vectors, _, origin = basis
    q, r, seen, hidden = orthonormalise(vectors)
    seen, hidden = jax.lax.stop_gradient((seen, hidden))
    alive_now = seen + hidden > 0
    logs = jnp.where(seen > 0, jnp.log(jnp.where(seen > 0, jnp.diagonal(r), 1)), 0)
    hole = jnp.any(~alive_now[:-1] & alive_now[1:])

    def sort() -> tuple[Basis, Array]:
        order = jnp.argsort(~alive_now, stable=True)
        kept = (vectors * alive_now)[:, order]
        return Basis(kept, alive_now[order], origin[order]), jnp.zeros_like(logs)

    basis, logs = jax.lax.cond(hole, sort, lambda: (Basis(q, alive_now, origin), logs))
    return basis, logs, r


def propagate(
    step: Step,
    state: PyTree,
    basis: Basis,
    inputs: PyTree,
    num_steps: int,
    renormalise_every: int,
    collect: Any = lambda state, basis, r: None,
) -> tuple[PyTree, Basis, Logs, Any]:
    """``num_steps`` steps of a state and its tangents, renormalised every so many steps and at the end.

    Returns the last state, the last basis, one row of logarithms per interval (the last interval is
    shorter if the division has a remainder), and what ``collect`` made of each interval's end.
    """

    def interval(carry: tuple, inputs: PyTree, length: int) -> tuple[tuple, tuple]:
        state, basis = carry
        vectors = basis.vectors
        if length == 1:
            state, vectors = push(step, state, vectors, jax.tree.map(lambda x: x[0], inputs))
        else:
            (state, vectors), _ = jax.lax.scan(
                lambda c, u: (push(step, *c, u), None), (state, vectors), inputs, length=length
            )
        basis, logs, r = renormalise(basis._replace(vectors=vectors))
        return (state, basis), ((logs, basis.alive, basis.origin), collect(state, basis, r))

    whole, rest = divmod(num_steps, renormalise_every)
    carry, parts = (state, basis), []
    if whole:
        split = whole * renormalise_every
        blocks = jax.tree.map(
            lambda x: x[:split].reshape(whole, renormalise_every, *x.shape[1:]), inputs
        )
        carry, out = jax.lax.scan(
            lambda c, u: interval(c, u, renormalise_every), carry, blocks, length=whole
        )
        parts.append(out)
    if rest:
        carry, out = interval(carry, take(inputs, num_steps - rest, num_steps), rest)
        parts.append(jax.tree.map(lambda x: x[None], out))
    (logs, alive, origin), collected = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    state, basis = carry
    basis, last, _ = renormalise(basis)
    logs = logs.at[-1].add(last)
    rows = jnp.arange(logs.shape[0])[:, None]
    by_column = jnp.zeros_like(logs).at[rows, origin].set(logs)
    lost = jnp.zeros(alive.shape, bool).at[rows, origin].set(~alive)
    return state, basis, Logs(by_column, lost), collected


def interval_lengths(num_steps: int, renormalise_every: int) -> list[int]:
    """The number of steps in each interval of ``propagate``."""
    whole, rest = divmod(num_steps, renormalise_every)
    return [renormalise_every] * whole + [rest] * bool(rest)
