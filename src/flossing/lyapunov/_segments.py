"""Scans whose derivative stores the carry now and then, and computes what lies between again.

With the carry stored after every ``sqrt(T)`` of ``T`` steps, what is stored grows like ``sqrt(T)`` and
the scan is computed once more (Chen et al. 2016). What the scan returns for each step still grows like ``T``.
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from .._checks import check_choice, check_integer

StoreEvery = int | Literal["auto"]

MOST_BYTES = 2**30
"""What the backward pass may find stored before ``"auto"`` makes segments."""


def check_store_every(name: str, value: object) -> None:
    """Raises ``ValueError`` or ``TypeError`` unless it is a number of steps or ``"auto"``."""
    if isinstance(value, str):
        check_choice(name, value, ("auto",))
    else:
        check_integer(name, value, 1)


def steps_between_stores(
    store_every: StoreEvery, num_steps: int, n: int, k: int, dtype: Any, copies: int = 1
) -> int:
    """``"auto"`` as a number of steps; a number as it is.

    1, which stores everything, if that fits ``MOST_BYTES`` for so many copies of the scan. Else so many
    that carries and the steps of one segment take about the same.
    """
    if store_every != "auto":
        return int(store_every)
    needed = copies * num_steps * (k * (n + k) + n) * jnp.dtype(dtype).itemsize
    return 1 if needed <= MOST_BYTES else math.ceil(math.sqrt(num_steps / 2))


def segment_length(store_every: int, steps_per_turn: int = 1) -> int | None:
    """Turns of a scan in a segment, if each turn is so many steps; ``None`` to store everything."""
    return None if store_every == 1 else -(-store_every // steps_per_turn)


def scan_in_segments(
    body: Callable, carry: PyTree, xs: PyTree, length: int, per_segment: int | None
) -> tuple[PyTree, PyTree]:
    """``jax.lax.scan`` that keeps for its derivative only the carry before each segment.

    With ``None``, or fewer than two segments, it is ``jax.lax.scan``.
    """
    if per_segment is None or length < 2 * per_segment:
        return jax.lax.scan(body, carry, xs, length=length)
    segments, rest = divmod(length, per_segment)

    def segment(carry: PyTree, xs: PyTree) -> tuple[PyTree, PyTree]:
        return jax.lax.scan(body, carry, xs, length=per_segment)

    split = segments * per_segment
    carry, ys = jax.lax.scan(
        jax.checkpoint(segment, prevent_cse=False),
        carry,
        jax.tree.map(lambda x: x[:split].reshape(segments, per_segment, *x.shape[1:]), xs),
        length=segments,
    )
    ys = jax.tree.map(lambda y: y.reshape(split, *y.shape[2:]), ys)
    if rest:
        carry, last = jax.lax.scan(body, carry, jax.tree.map(lambda x: x[split:], xs), length=rest)
        ys = jax.tree.map(lambda *parts: jnp.concatenate(parts), ys, last)
    return carry, ys
