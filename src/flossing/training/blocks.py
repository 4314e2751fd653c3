"""Compiled blocks of training and flossing, with realisations as the leading axis.

One realisation is one network with its own random stream. Random numbers are a function of the
realisation's key, the kind of work and the number of the epoch or flossing step, so a run does not
depend on how it is cut into blocks, and two runs that differ in their schedule see the same data.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PyTree

from .._checks import check_integer
from .devices import over_realisations, placed, spread
from .trainer import (
    FlossMetrics,
    Realisation,
    Trainer,
    TrainMetrics,
    begin as begin_one,
    floss_step,
    train_epoch,
)


class TrainState(eqx.Module):
    """Everything that changes during a run; arrays have the realisation as leading axis."""

    realisations: Realisation
    epochs: Int[Array, ""]
    """Training epochs done so far."""
    floss_steps: Int[Array, ""]
    """Flossing steps done so far."""

    @property
    def networks(self) -> Any:
        """The networks, along a leading axis."""
        return self.realisations.network


def begin(networks: Any, trainer: Trainer) -> TrainState:
    """The state before a run, from networks stacked along the leading axis."""
    realisations = eqx.filter_jit(eqx.filter_vmap(begin_one, in_axes=(eqx.if_array(0), None)))(
        networks, trainer
    )
    count = jax.tree.leaves(eqx.filter(networks, eqx.is_array))[0].shape[0]
    zero = jnp.zeros((), jnp.int32)
    return placed(TrainState(realisations, zero, zero), count)


def train_block(
    state: TrainState,
    keys: Key[Array, " realisations"],
    count: int,
    size: int,
    trainer: Trainer,
) -> tuple[TrainState, TrainMetrics]:
    """``count`` training epochs in a program for at most ``size``; metrics have ``count`` rows."""
    state, metrics = _run(train_epoch, "epochs", state, keys, count, size, trainer)
    return state, metrics


def floss_block(
    state: TrainState,
    keys: Key[Array, " realisations"],
    count: int,
    size: int,
    trainer: Trainer,
) -> tuple[TrainState, FlossMetrics]:
    """``count`` flossing steps in a program for at most ``size``; metrics have ``count`` rows."""
    state, metrics = _run(floss_step, "floss_steps", state, keys, count, size, trainer)
    return state, metrics


def _run(
    work: Callable,
    counter: str,
    state: TrainState,
    keys: Array,
    count: int,
    size: int,
    trainer: Trainer,
) -> tuple[TrainState, Any]:
    number = jnp.asarray(check_integer("count", count, 0, size), jnp.int32)
    state, keys, number = placed((state, keys, number), len(keys))
    state, metrics = _block(work, counter, state, keys, number, size, trainer)
    return state, jax.tree.map(lambda x: x[:count], metrics)


@eqx.filter_jit
def _block(
    work: Callable,
    counter: str,
    state: TrainState,
    keys: Array,
    count: Array,
    size: int,
    trainer: Trainer,
) -> tuple[TrainState, Any]:
    """``count`` of at most ``size`` pieces of work on every realisation; one program for every count."""

    def part(realisations: tuple, first: Array, count: Array, trainer_arrays: PyTree) -> tuple:
        rules = eqx.combine(trainer_arrays, trainer_rest)
        carry, keys = realisations

        def body(carry: PyTree, number: Array) -> tuple[PyTree, Any]:
            return over_realisations(lambda r, k: work(r, k, number, rules), carry, keys)

        return _repeat(body, carry, first, count, size)

    trainer_arrays, trainer_rest = eqx.partition(trainer, eqx.is_array)
    first = getattr(state, counter)
    changed, metrics = spread(
        part, (state.realisations, keys), first, count, trainer_arrays, axes=(0, 1)
    )
    state = eqx.tree_at(
        lambda s: (s.realisations, getattr(s, counter)), state, (changed, first + count)
    )
    return state, metrics


def _repeat(
    body: Callable, carry: PyTree, first: Array, count: Array, size: int
) -> tuple[PyTree, Any]:
    """``count`` of at most ``size`` steps of ``body(carry, number)``; the rows of the others are zeros."""
    arrays, rest = eqx.partition(carry, eqx.is_array)

    def inner(arrays: PyTree, number: Array) -> tuple[PyTree, Any]:
        new, out = body(eqx.combine(arrays, rest), number)
        return eqx.filter(new, eqx.is_array), out

    blank = jax.tree.map(
        lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(inner, arrays, first)[1]
    )

    def maybe(arrays: PyTree, i: Array) -> tuple[PyTree, Any]:
        return jax.lax.cond(i < count, inner, lambda a, _: (a, blank), arrays, first + i)

    arrays, out = jax.lax.scan(maybe, arrays, jnp.arange(size, dtype=first.dtype))
    return eqx.combine(arrays, rest), out
