"""Compiled blocks of training and flossing, with realisations as the leading axis.

One realisation is one network with its own random stream. Random numbers are a function of the
realisation's key, the kind of work and the number of the epoch or flossing step, so a run does not
depend on how it is cut into blocks, and two runs that differ in their schedule see the same data.
"""

import enum

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key, PyTree

from ..floss import Flossing
from ..tasks.bits import Parity
from ._conditional import scan_block, sometimes, unless
from ._streams import Stream, fold, fold_all
from .adapting import Adaptation, Order, adapt, blank_metrics
from .best import Best, Moment
from .configuration import Training
from .devices import everywhere, over_realisations, spread
from .network import Network
from .updates import (
    FlossMetrics,
    TrainMetrics,
    epoch_update,
    flossed_leaves,
    flosser_of,
    flossing_update,
    optimiser_of,
)


class Work(enum.IntEnum):
    """What one turn of a program that can floss and train does."""

    BOTH = 0
    """A training epoch, and flossing before it where the rules say so."""
    FLOSS = 1
    """One flossing step."""
    TRAIN = 2
    """A training epoch."""


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


@eqx.filter_jit
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


def train_block(
    state: TrainState,
    keys: Key[Array, " realisations"],
    count: Array,
    size: int,
    task: Parity,
    training: Training,
    flossing: Flossing | None = None,
    beside: Flossing | None = None,
) -> tuple[TrainState, TrainMetrics]:
    """``count`` training epochs; metrics have ``size`` rows, of which ``count`` hold.

    With ``flossing`` of the adaptive schedule, networks are flossed between epochs when they need it; with
    the joint one, the flossing loss is part of what every epoch minimises. Networks that are not flossed
    can use the compiled program of others, which are flossed as ``beside`` says.
    """
    work = Work.BOTH
    if flossing is None or flossing.schedule not in ("adaptive", "joint"):
        work = Work.TRAIN
        flossing = beside if beside is not None and _does_both(beside) else Flossing("none")
    arrays = everywhere((state, keys, count, jnp.asarray(work) if _does_both(flossing) else None))
    return _train_block(*arrays, size, task, training, flossing)[:2]


def _does_both(flossing: Flossing) -> bool:
    """Whether the program of the training epochs has all that flossing steps before them need."""
    return flossing.schedule == "adaptive" and flossing.adaptive.control == "parameters"


@eqx.filter_jit
def _train_block(
    state: TrainState,
    keys: Array,
    count: Array,
    work: Array | None,
    size: int,
    task: Parity,
    training: Training,
    flossing: Flossing,
) -> tuple[TrainState, TrainMetrics, FlossMetrics]:
    """Turns of ``work``, or of both without it; flossing steps are counted as epochs."""
    rules = flossing.adaptive

    def one(
        network: Network,
        optimiser: PyTree,
        flosser: PyTree,
        loss: Array,
        best: Best | None,
        key: Array,
        epoch: Array,
        work: Array | None,
    ) -> tuple:
        look, joint, order = None, None, None
        floss_key = fold(key, Stream.ADAPT, epoch)
        flossed = blank_metrics(network, flossing)
        if flossing.schedule == "joint":
            joint = flossing, floss_key
        if flossing.schedule == "adaptive":
            now = (epoch > 0) & (epoch % rules.every == 0)
            if work is not None:
                order = Order(work == Work.FLOSS, fold(key, Stream.FLOSS, epoch))
                now = (now & (work != Work.TRAIN)) | order.given
            network, flosser, look, flossed = sometimes(
                now,
                lambda n, f: adapt(n, f, loss, floss_key, task, training, flossing, order),
                (network, flosser),
                (Adaptation(jnp.asarray(0), jnp.full_like(loss, jnp.nan)), flossed),
            )

        def train(network: Network, optimiser: PyTree, loss: Array, best: Best | None) -> tuple:
            data_key = fold(key, Stream.DATA, epoch)
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

        skipped = None if work is None else work == Work.FLOSS
        changed, metrics = unless(skipped, train, (network, optimiser, loss, best))
        network, optimiser, loss, best = changed
        if look is not None:
            metrics = metrics._replace(**look._asdict())
        return network, optimiser, flosser, loss, best, (metrics, flossed)

    def block(realisations: tuple, first: Array, count: Array, work: Array | None) -> tuple:
        *carry, keys = realisations

        def body(carry: tuple, number: Array) -> tuple[tuple, tuple[TrainMetrics, FlossMetrics]]:
            *changed, metrics = over_realisations(
                lambda *one_of_each: one(*one_of_each, number, work), *carry, keys
            )
            return tuple(changed), metrics

        return scan_block(body, tuple(carry), first, count, size)

    changed = state.networks, state.optimiser, state.flosser, state.mean_loss, state.best
    first = state.epochs
    if work is not None:
        first = jnp.where(work == Work.FLOSS, state.floss_steps, first)
    carry, metrics = spread(block, (*changed, keys), first, count, work, axes=(0, 1))
    *carry, best = carry
    return TrainState(*carry, state.epochs + count, state.floss_steps, best), *metrics


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
    state, keys, count, work = everywhere((state, keys, count, jnp.asarray(Work.FLOSS)))
    if _does_both(flossing):
        new, _, metrics = _train_block(state, keys, count, work, size, task, training, flossing)
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
                fold_all(keys, Stream.FLOSS, number),
            )
            return (networks, flosser), metrics

        return scan_block(body, carry, first, count, size)

    realisations = (state.networks, state.flosser), keys
    carry, metrics = spread(block, realisations, state.floss_steps, count, axes=(0, 1))
    networks, flosser = carry
    return eqx.tree_at(lambda s: (s.networks, s.flosser), state, (networks, flosser)), metrics
