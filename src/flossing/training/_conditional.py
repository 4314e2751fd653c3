"""Changes of a carry that are made under a condition, and scans of a length that is known late."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree


def scan_block(body: Any, carry: PyTree, first: Array, count: Array, size: int) -> Any:
    """``count`` of at most ``size`` steps of ``body``; one compilation serves every count."""
    arrays, rest = eqx.partition(carry, eqx.is_array)

    def inner(arrays: PyTree, number: Array) -> tuple[PyTree, Any]:
        new, out = body(eqx.combine(arrays, rest), number)
        return eqx.filter(new, eqx.is_array), out

    blank = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(inner, arrays, first)[1]
    )

    def maybe(arrays: PyTree, i: Array) -> tuple[PyTree, Any]:
        return jax.lax.cond(i < count, inner, lambda a, _: (a, blank), arrays, first + i)

    arrays, out = jax.lax.scan(maybe, arrays, jnp.arange(size))
    return eqx.combine(arrays, rest), out


def unless(
    skipped: Array | None, change: Callable[..., tuple[tuple, Any]], carry: tuple
) -> tuple[tuple, Any]:
    """``change`` of the carry; where skipped, the carry as it is, and zeros for the rest."""
    if skipped is None:
        return change(*carry)
    arrays, rest = eqx.partition(carry, eqx.is_array)

    def do(arrays: PyTree) -> tuple[PyTree, Any]:
        new, out = change(*eqx.combine(arrays, rest))
        return eqx.filter(new, eqx.is_array), out

    out = jax.eval_shape(do, arrays)[1]
    blank = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), out)
    arrays, out = jax.lax.cond(skipped, lambda arrays: (arrays, blank), do, arrays)
    return eqx.combine(arrays, rest), out


def sometimes(when: Array, change: Any, carry: tuple, idle: tuple) -> tuple:
    """``change`` of one network and its flosser when it is due; else nothing but ``idle``."""
    arrays, rest = eqx.partition(carry, eqx.is_array)

    def do(arrays: PyTree) -> tuple[PyTree, tuple]:
        network, flosser, *out = change(*eqx.combine(arrays, rest))
        return eqx.filter((network, flosser), eqx.is_array), tuple(out)

    arrays, out = jax.lax.cond(when, do, lambda arrays: (arrays, idle), arrays)
    return *eqx.combine(arrays, rest), *out
