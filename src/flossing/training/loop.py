"""Compiled blocks of training and flossing, with realisations as the leading axis.

One realisation is one network with its own random stream. Random numbers are a function of the
realisation's key, the kind of work and the number of the epoch or flossing step, so a run does not
depend on how it is cut into blocks, and two runs that differ in their schedule see the same data.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from .._compiled import one_thread_first
from ..floss import Flossing
from ..lyapunov import lyapunov_spectrum
from ..tasks.bits import Parity
from .adapting import Adaptation, Order, adapt, blank_metrics
from .best import Best, Moment
from .configuration import Training
from .devices import everywhere, over_realisations, spread
from .losses import binary_accuracy, binary_cross_entropy
from .network import Network
from .updates import (
    FlossMetrics,
    TrainMetrics,
    epoch_update,
    flossed_leaves,
    flosser_of,
    flossing_update,
    optimiser_of,
    sample,
)


class TrainState(eqx.Module):
    """Everything that changes during a run; arrays have the realisation as leading axis."""

    networks: Network
    optimiser: PyTree
    flosser: PyTree
    mean_loss: Float[Array, " realisations"]
    """Training loss, averaged over the last epochs; infinite before the first."""
    epochs: Int[Array, ""]
    """Training epochs done so far."""
    floss_steps: Int[Array, ""]
    """Flossing steps done so far."""
    best: Best | None = None
    """The best state so far, if networks may return to it (``Training.roll_back``)."""


class Evaluation(NamedTuple):
    """On held-out trials, per realisation."""

    loss: Float[Array, " realisations"]
    accuracy: Float[Array, " realisations"]


_DATA, _FLOSS, _EVALUATE, _MEASURE, _ADAPT = range(5)


def begin(networks: Network, training: Training, flossing: Flossing) -> TrainState:
    """The state before a run, from networks stacked along the leading axis."""
    arrays = eqx.filter(networks, eqx.is_inexact_array)
    flossed = eqx.filter(networks.cell, flossed_leaves(networks.cell, flossing.parameters))
    optimiser = jax.vmap(optimiser_of(training).init)(arrays)
    loss = jnp.full(networks.readout_bias.shape[0], jnp.inf, networks.readout_bias.dtype)
    return TrainState(
        networks,
        optimiser,
        jax.vmap(flosser_of(training, flossing).init)(flossed),
        loss,
        jnp.asarray(0),
        jnp.asarray(0),
        Best.start(Moment(networks, optimiser), loss, jnp.ones_like(loss))
        if training.roll_back
        else None,
    )


def _fold(keys: Key[Array, " realisations"], kind: int, number: Array | int) -> Array:
    return jax.vmap(lambda k: jax.random.fold_in(jax.random.fold_in(k, kind), number))(keys)


def _scan_block(body: Any, carry: PyTree, first: Array, count: Array, size: int) -> Any:
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


def train_block(
    state: TrainState,
    keys: Key[Array, " realisations"],
    count: Array,
    size: int,
    task: Parity,
    training: Training,
    flossing: Flossing | None = None,
) -> tuple[TrainState, TrainMetrics]:
    """``count`` training epochs; metrics have ``size`` rows, of which ``count`` hold.

    With ``flossing`` of the adaptive schedule, networks are flossed between epochs when they need it; with
    the joint one, the flossing loss is part of what every epoch minimises.
    """
    if flossing is None or flossing.schedule not in ("adaptive", "joint"):
        flossing = Flossing("none")  # one compilation serves all the others
    orders = jnp.asarray(False) if _takes_orders(flossing) else None
    arrays = everywhere((state, keys, count, orders))
    return _train_block(*arrays, size, task, training, flossing)[:2]


def _takes_orders(flossing: Flossing) -> bool:
    """Whether the program of the training epochs has all that flossing steps before them need."""
    return flossing.schedule == "adaptive" and flossing.adaptive.control == "parameters"


@eqx.filter_jit
def _train_block(
    state: TrainState,
    keys: Array,
    count: Array,
    orders: Array | None,
    size: int,
    task: Parity,
    training: Training,
    flossing: Flossing,
) -> tuple[TrainState, TrainMetrics, FlossMetrics]:
    """With ``orders`` that are true, flossing steps in place of epochs; counted as epochs."""
    rules = flossing.adaptive

    def one(
        network: Network,
        optimiser: PyTree,
        flosser: PyTree,
        loss: Array,
        best: Best | None,
        key: Array,
        epoch: Array,
        orders: Array | None,
    ) -> tuple:
        look, joint, order = None, None, None
        floss_key = jax.random.fold_in(jax.random.fold_in(key, _ADAPT), epoch)
        flossed = blank_metrics(network, flossing)
        if flossing.schedule == "joint":
            joint = flossing, floss_key
        if flossing.schedule == "adaptive":
            now = (epoch > 0) & (epoch % rules.every == 0)
            if orders is not None:
                step_key = jax.random.fold_in(jax.random.fold_in(key, _FLOSS), epoch)
                order, now = Order(orders, step_key), now | orders
            network, flosser, look, flossed = _sometimes(
                now,
                lambda n, f: adapt(n, f, loss, floss_key, task, training, flossing, order),
                (network, flosser),
                (Adaptation(jnp.asarray(0), jnp.full_like(loss, jnp.nan)), flossed),
            )

        def train(network: Network, optimiser: PyTree, loss: Array, best: Best | None) -> tuple:
            data_key = jax.random.fold_in(jax.random.fold_in(key, _DATA), epoch)
            before = Moment(network, optimiser)
            pace = 1.0 if best is None else best.pace
            network, optimiser, metrics = epoch_update(
                network, optimiser, data_key, task, training, loss, joint, pace
            )
            change = jnp.where(jnp.isfinite(metrics.loss), metrics.loss - loss, 0) / rules.memory
            loss = jnp.where(jnp.isfinite(loss), loss + change, metrics.loss)
            if best is not None:
                margin = training.roll_back * task.chance_loss
                moment = Moment(network, optimiser)
                after = best.after(before, moment, loss, margin, task.chance_loss)
                (network, optimiser), loss, best, back = after
                metrics = metrics._replace(rolled_back=back)
            return (network, optimiser, loss, best), metrics

        changed, metrics = _unless(orders, train, (network, optimiser, loss, best))
        network, optimiser, loss, best = changed
        if look is not None:
            metrics = metrics._replace(**look._asdict())
        return network, optimiser, flosser, loss, best, (metrics, flossed)

    def block(realisations: tuple, first: Array, count: Array, orders: Array | None) -> tuple:
        *carry, keys = realisations

        def body(carry: tuple, number: Array) -> tuple[tuple, tuple[TrainMetrics, FlossMetrics]]:
            *changed, metrics = over_realisations(
                lambda *one_of_each: one(*one_of_each, number, orders), *carry, keys
            )
            return tuple(changed), metrics

        return _scan_block(body, tuple(carry), first, count, size)

    changed = state.networks, state.optimiser, state.flosser, state.mean_loss, state.best
    first = state.epochs if orders is None else jnp.where(orders, state.floss_steps, state.epochs)
    carry, metrics = spread(block, (*changed, keys), first, count, orders, axes=(0, 1))
    *carry, best = carry
    return TrainState(*carry, state.epochs + count, state.floss_steps, best), *metrics


def _unless(
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


def _sometimes(when: Array, change: Any, carry: tuple, idle: tuple) -> tuple:
    """``change`` of one network and its flosser when it is due; else nothing but ``idle``."""
    arrays, rest = eqx.partition(carry, eqx.is_array)

    def do(arrays: PyTree) -> tuple[PyTree, tuple]:
        network, flosser, *out = change(*eqx.combine(arrays, rest))
        return eqx.filter((network, flosser), eqx.is_array), tuple(out)

    arrays, out = jax.lax.cond(when, do, lambda arrays: (arrays, idle), arrays)
    return *eqx.combine(arrays, rest), *out


def floss_block(
    state: TrainState,
    keys: Key[Array, " realisations"],
    count: Array,
    size: int,
    task: Parity,
    training: Training,
    flossing: Flossing,
) -> tuple[TrainState, FlossMetrics]:
    """``count`` flossing steps; metrics have ``size`` rows, of which ``count`` hold.

    With the adaptive schedule the program is that of ``train_block``, so that it is compiled once.
    """
    state, keys, count, orders = everywhere((state, keys, count, jnp.asarray(True)))
    if _takes_orders(flossing):
        new, _, metrics = _train_block(state, keys, count, orders, size, task, training, flossing)
    else:
        new, metrics = _floss_block(state, keys, count, size, task, training, flossing)
    steps = state.floss_steps + count
    loss, best = state.mean_loss, state.best
    if best is not None:  # losses from before this phase say nothing about the networks after it
        loss = jnp.full_like(loss, jnp.inf)
        best = Best.start(Moment(new.networks, state.optimiser), loss, best.pace)
    optimiser, epochs = state.optimiser, state.epochs
    new = TrainState(new.networks, optimiser, new.flosser, loss, epochs, steps, best)
    return new, metrics


@eqx.filter_jit
def _floss_block(
    state: TrainState,
    keys: Array,
    count: Array,
    size: int,
    task: Parity,
    training: Training,
    flossing: Flossing,
) -> tuple[TrainState, FlossMetrics]:
    def block(realisations: tuple, first: Array, count: Array) -> tuple[tuple, FlossMetrics]:
        carry, keys = realisations

        def body(carry: tuple, number: Array) -> tuple[tuple, FlossMetrics]:
            networks, flosser, metrics = over_realisations(
                lambda n, f, k: flossing_update(n, f, k, task, training, flossing),
                *carry,
                _fold(keys, _FLOSS, number),
            )
            return (networks, flosser), metrics

        return _scan_block(body, carry, first, count, size)

    realisations = (state.networks, state.flosser), keys
    carry, metrics = spread(block, realisations, state.floss_steps, count, axes=(0, 1))
    networks, flosser = carry
    return eqx.tree_at(lambda s: (s.networks, s.flosser), state, (networks, flosser)), metrics


def evaluate(
    networks: Network,
    keys: Key[Array, " realisations"],
    task: Parity,
    num_steps: int,
    trials: int = 256,
) -> Evaluation:
    """Loss and accuracy on ``trials`` held-out trials, from a random stream that training never uses."""
    return _evaluate(*everywhere((networks, keys)), task, num_steps, trials)


@eqx.filter_jit
def _evaluate(
    networks: Network, keys: Array, task: Parity, num_steps: int, trials: int
) -> Evaluation:
    def one(network: Network, key: Array) -> Evaluation:
        inputs, targets, mask = sample(task, key, trials, num_steps)
        outputs = jax.vmap(task.read)(jax.vmap(network)(inputs))
        return Evaluation(
            binary_cross_entropy(outputs, targets, mask), binary_accuracy(outputs, targets, mask)
        )

    realisations = networks, _fold(keys, _EVALUATE, 0)
    return spread(lambda part: (over_realisations(one, *part),), realisations, axes=(0,))[0]


@one_thread_first
def measure_exponents(
    networks: Network,
    keys: Key[Array, " realisations"],
    task: Parity,
    num_exponents: int,
    num_steps: int = 300,
    basis_warmup: int = 50,
) -> Float[Array, "realisations k"]:
    """Leading exponents of each network, driven by the task, in nats per step.

    ``num_steps`` are counted, after ``basis_warmup``. The inputs are the same at every call, so that
    differences between calls are differences between networks.
    """
    return _measure_exponents(
        *everywhere((networks, keys)), task, num_exponents, num_steps, basis_warmup
    )


@eqx.filter_jit
def _measure_exponents(
    networks: Network,
    keys: Array,
    task: Parity,
    num_exponents: int,
    num_steps: int,
    basis_warmup: int,
) -> Array:
    def one(network: Network, key: Array) -> Array:
        input_key, basis_key = jax.random.split(key)
        return lyapunov_spectrum(
            network.cell,
            network.initial_state,
            task.sample_inputs(input_key, basis_warmup + num_steps),
            num_exponents=num_exponents,
            basis_warmup=basis_warmup,
            key=basis_key,
        ).exponents

    realisations = networks, _fold(keys, _MEASURE, 0)
    return spread(lambda part: (over_realisations(one, *part),), realisations, axes=(0,))[0]
