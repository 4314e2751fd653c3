"""Cells that start with a given first exponent, by the gain of their recurrent matrix."""

from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from ...cells import Cell
from ...lyapunov import lyapunov_spectrum
from ...tasks import Task

_RANGE = 0.01, 4.0
_TOLERANCE = 0.1
_WARMUP = 50
AnyCell = TypeVar("AnyCell", bound=Cell)


def starting_at(
    first_exponent: Float[ArrayLike, ""],
    cell: AnyCell,
    task: Task,
    start: Callable[[AnyCell], Any],
    *,
    key: PRNGKeyArray,
) -> AnyCell:
    """The cell with a gain between 0.01 and 4 that gives it this exponent, found by bisection on a log scale.

    A small network can fall into an orbit that is stable at every larger gain; it gets the gain that came
    closest.

    Args:
        first_exponent: in nats per step, as measured over 1000 steps of the task's input.
        cell: with a matrix ``recurrent_weight``, which is scaled.
        task: whose input drives the cell.
        start: makes the state in which trajectories start from a cell.
        key: random key of input and tangent basis.

    Raises:
        RuntimeError: no such gain leads within 0.1 of the exponent.
    """
    input_key, basis_key = jax.random.split(key)
    inputs = task.sample_inputs(input_key, _WARMUP + 1000)

    def scaled(gain: Array) -> AnyCell:
        return eqx.tree_at(lambda c: c.recurrent_weight, cell, replace_fn=lambda w: gain * w)  # pyright: ignore

    def exponent(gain: Array) -> Array:
        step = scaled(gain)
        return lyapunov_spectrum(
            step, start(step), inputs, num_exponents=1, warmup=_WARMUP, key=basis_key
        ).exponents[0]

    def halve(_: Array, carry: tuple) -> tuple:
        low, high, best, error = carry
        middle = jnp.sqrt(low * high)
        miss = exponent(middle) - first_exponent
        closer, below = jnp.abs(miss) < error, miss < 0
        best, error = jnp.where(closer, middle, best), jnp.where(closer, jnp.abs(miss), error)
        return jnp.where(below, middle, low), jnp.where(below, high, middle), best, error

    low, high, infinite = (jnp.asarray(x, jnp.result_type(float)) for x in (*_RANGE, jnp.inf))
    _, _, best, error = jax.lax.fori_loop(0, 15, halve, (low, high, low, infinite))
    message = (
        f"first_exponent: no gain between {_RANGE[0]} and {_RANGE[1]} was found that leads within "
        f"{_TOLERANCE} nats per step of it; choose another one, or more units."
    )
    return scaled(eqx.error_if(best, error > _TOLERANCE, message))
