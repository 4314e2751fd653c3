"""The loop that all spectra share: push tangents, orthonormalise, keep the logarithms."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Bool, Float, Int, PyTree

from .._checks import check_integer
from ._automatic import propagate_automatically
from ._basis import Basis, renormalise
from ._orthonormalise import SAVED
from ._segments import scan_in_segments, segment_length
from ._steps import Step, push, take

RenormaliseEvery = int | Literal["auto"]


def check_renormalise_every(name: str, value: object) -> RenormaliseEvery:
    """Returns a number of steps or ``"auto"``; raises ``ValueError`` or ``TypeError`` for all else."""
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f'{name}: expected a number of steps or "auto", got {value!r}.')
        return "auto"
    return check_integer(name, value, 1)


def whole_number(renormalise_every: RenormaliseEvery) -> int:
    """Steps in each row of logarithms; ``"auto"`` has a row for each step."""
    return 1 if renormalise_every == "auto" else renormalise_every


class Logs(NamedTuple):
    """Logarithms of the stretching factors of each interval, by row of the first basis."""

    log_growth: Float[Array, "intervals k"]
    lost: Bool[Array, "intervals k"]


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
    store_every: int = 1,
) -> tuple[PyTree, Basis, Logs, Any]:
    """``num_steps`` steps of a state and its tangents, renormalised every so many steps and at the end.

    ``"auto"`` renormalises when ``Pace`` says so and after the numbers of steps in ``edges``.

    Returns the last state, the last basis, one row of logarithms per interval (see
    ``interval_lengths``), and what ``collect`` made of the start and of each interval's end, one row
    more (not with ``"auto"``).

    The backward pass of a derivative keeps the tangents and the factors of each renormalisation and
    computes all else again, because writing and reading it takes longer. With ``store_every`` above 1
    it keeps only the state and tangents that often (rounded up to whole intervals, or blocks of
    ``"auto"``), and computes the steps between once more.
    """

    def remember(log_growth: Array, state: PyTree, basis: Basis, triangle: Array) -> tuple:
        return log_growth, basis.slots, collect(state, basis, triangle)

    if renormalise_every == "auto":
        flags = np.zeros(num_steps, bool)
        flags[[edge for edge in edges if edge < num_steps]] = True
        state, basis, growth = propagate_automatically(
            step, state, basis, inputs, jnp.asarray(flags), store_every
        )
        parts = [(*growth, None)]
    else:
        state, basis, parts = _regularly(
            step, state, basis, inputs, num_steps, renormalise_every, remember, exact, store_every
        )

    def finish(basis: Basis, _: None) -> tuple[Basis, tuple]:
        basis, factors = renormalise(basis)
        return basis, (factors, basis)

    # Twice: where a direction was lost among living ones, the first leaves growth to the next to count. In a
    # loop, so that it is compiled once.
    basis, twice = jax.lax.scan(finish, basis, None, length=2)
    (last, ended), (rest, _) = (jax.tree.map(lambda x, i=i: x[i], twice) for i in (0, 1))
    end = remember(last.log_growth, state, ended, last.triangle)
    parts.append(jax.tree.map(lambda x: x[None], end))
    logs, slots, collected = jax.tree.map(lambda *x: jnp.concatenate(x), *parts)
    by_row, lost = _by_row(logs, slots)
    by_row, lost = by_row[1:].at[0].add(by_row[0]), lost[1:]
    # A direction lost in the last interval leaves the growth of those behind it uncounted, and
    # Gram-Schmidt a little of all: the rest.
    return state, basis, Logs(by_row.at[-1, basis.origin].add(rest.log_growth), lost), collected


def _by_row(logs: Float[Array, "rows k"], slots: Int[Array, "rows k"]) -> tuple[Array, Array]:
    """Growth and losses, which come by slot, by row of the first basis."""
    rows, origin = jnp.arange(logs.shape[0])[:, None], jnp.maximum(slots, ~slots)
    by_row = jnp.zeros_like(logs).at[rows, origin].set(logs)
    return by_row, jnp.zeros(slots.shape, bool).at[rows, origin].set(slots < 0)


def _regularly(
    step: Step,
    state: PyTree,
    basis: Basis,
    inputs: PyTree,
    num_steps: int,
    every: int,
    remember: Any,
    exact: bool,
    store_every: int,
) -> tuple[PyTree, Basis, list]:
    # Each turn of the loop renormalises what the turn before has pushed, and then pushes. So growth comes one
    # row late. With every = 3 and 8 steps:
    #
    #   row 0: renormalise the start;  push 1 2 3
    #   row 1: renormalise, growth of steps 1 to 3;  push 4 5 6
    #   row 2: renormalise, growth of steps 4 to 6;  push 7 8     (the rest, a shorter interval)
    #   row 3 (after the loop): renormalise, growth of steps 7 and 8
    #
    # Row 0 is about nothing, unless the start was not orthonormal; the caller adds it to row 1.
    keep = jax.checkpoint_policies.save_only_these_names(SAVED)

    def kept(pushed: tuple) -> tuple:
        return pushed[0], checkpoint_name(pushed[1], SAVED)

    def interval(carry: tuple, inputs: PyTree, length: int) -> tuple[tuple, tuple]:
        state, basis = carry
        basis, factors = renormalise(basis, None, exact)
        before = remember(factors.log_growth, state, basis, factors.triangle)
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

    body = jax.checkpoint(lambda c, u: interval(c, u, every), prevent_cse=False, policy=keep)
    whole, rest = divmod(num_steps, every)
    carry, parts = (state, basis), []
    if whole:
        blocks = jax.tree.map(
            lambda x: x[: whole * every].reshape(whole, every, *x.shape[1:]), inputs
        )
        carry, out = scan_in_segments(
            body, carry, blocks, whole, segment_length(store_every, every)
        )
        parts.append(out)
    if rest:
        carry, out = interval(carry, take(inputs, num_steps - rest, num_steps), rest)
        parts.append(jax.tree.map(lambda x: x[None], out))
    state, basis = carry
    return state, basis, parts


def interval_lengths(num_steps: int, renormalise_every: RenormaliseEvery) -> list[int]:
    """The number of steps in each row of logarithms of ``propagate``.

    Automatic renormalisation has a row for each step, with zeros where there was none.
    """
    every = whole_number(renormalise_every)
    whole, rest = divmod(num_steps, every)
    return [every] * whole + [rest] * bool(rest)
