"""Compiled blocks of training and flossing, with realisations as the leading axis.

One realisation is one network with its own random stream. Random numbers are a function of the
realisation's key, the kind of work and the number of the epoch or flossing step, so a run does not
depend on how it is cut into blocks, and two runs that differ in their schedule see the same data.
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, PRNGKeyArray, PyTree

from .._checks import check_choice, check_fraction, check_integer, check_positive
from ..floss import Flossing, flossing_loss
from ..lyapunov import lyapunov_spectrum
from ..lyapunov._steps import dimension
from ..tasks.bits import Parity
from .losses import binary_accuracy, binary_cross_entropy
from .network import Network
from .optimisers import all_finite, apply_if, clip_by_array_norm, tree_norm


@dataclasses.dataclass(frozen=True)
class Training:
    """How networks are trained: every epoch is one update on one fresh batch."""

    epochs: int = 3001
    """Number of updates."""
    batch_size: int = 16
    """Trials per epoch."""
    num_steps: int = 300
    """Steps per trial."""
    learning_rate: float = 1e-3
    """Of Adam."""
    beta1: float = 0.9
    """Adam's decay of the mean, for training and flossing."""
    beta2: float = 0.999
    """Adam's decay of the square, for training and flossing."""
    clip: Literal["array", "global", "none"] = "array"
    """Clip the gradient norm of each array (as published), of all together, or not."""
    clip_norm: float = 0.03
    """Largest gradient norm."""
    train_initial_state: bool = True
    """Whether the start state is trained."""

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, 1)
        check_integer("batch_size", self.batch_size, 1)
        check_integer("num_steps", self.num_steps, 1)
        check_positive("learning_rate", self.learning_rate, zero=True)
        check_fraction("beta1", self.beta1)
        check_fraction("beta2", self.beta2)
        check_choice("clip", self.clip, ("array", "global", "none"))
        check_positive("clip_norm", self.clip_norm)


class TrainState(eqx.Module):
    """Everything that changes during a run; arrays have the realisation as leading axis."""

    networks: Network
    optimiser: PyTree
    flosser: PyTree
    epochs: Int[Array, ""]
    """Training epochs done so far."""
    floss_steps: Int[Array, ""]
    """Flossing steps done so far."""


class TrainMetrics(NamedTuple):
    """Per epoch and realisation, before that epoch's update; data are fresh every epoch."""

    loss: Float[Array, "epochs realisations"]
    accuracy: Float[Array, "epochs realisations"]
    gradient_norm: Float[Array, "epochs realisations"]
    """Norm of the gradient with respect to the initial state, |dL/dh_0|."""
    skipped: Bool[Array, "epochs realisations"]
    """The gradient or the loss was not finite and the update was left out."""


class FlossMetrics(NamedTuple):
    """Per flossing step and realisation, before that step's update."""

    loss: Float[Array, "steps realisations"]
    exponents: Float[Array, "steps realisations k"]
    skipped: Bool[Array, "steps realisations"]


class Evaluation(NamedTuple):
    """On held-out trials, per realisation."""

    loss: Float[Array, " realisations"]
    accuracy: Float[Array, " realisations"]


_DATA, _FLOSS, _EVALUATE, _MEASURE = range(4)


def _optimiser(training: Training) -> optax.GradientTransformation:
    clip = {
        "array": clip_by_array_norm,
        "global": optax.clip_by_global_norm,
        "none": lambda _: optax.identity(),
    }[training.clip](training.clip_norm)
    adam = optax.adam(training.learning_rate, training.beta1, training.beta2)
    return optax.chain(clip, adam)


def _flosser(training: Training, flossing: Flossing) -> optax.GradientTransformation:
    return optax.adam(flossing.learning_rate, training.beta1, training.beta2)


def _flossed(cell: PyTree, names: tuple[str, ...]) -> PyTree:
    """A mask of the cell's leaves: those that flossing changes."""

    def chosen(path: tuple, leaf: Any) -> bool:
        parts = {str(getattr(part, "name", getattr(part, "idx", part))) for part in path}
        return eqx.is_inexact_array(leaf) and (not names or not parts.isdisjoint(names))

    mask = jax.tree_util.tree_map_with_path(chosen, cell)
    if not any(jax.tree.leaves(mask)):
        paths = jax.tree_util.tree_leaves_with_path(eqx.filter(cell, eqx.is_inexact_array))
        known = sorted({jax.tree_util.keystr(path).lstrip(".") for path, _ in paths})
        raise ValueError(
            f"flossing.parameters: none of {list(names)} is a parameter of this cell; it has {known}."
        )
    return mask


def begin(networks: Network, training: Training, flossing: Flossing) -> TrainState:
    """The state before a run, from networks stacked along the leading axis."""
    arrays = eqx.filter(networks, eqx.is_inexact_array)
    flossed = eqx.filter(networks.cell, _flossed(networks.cell, flossing.parameters))
    return TrainState(
        networks,
        jax.vmap(_optimiser(training).init)(arrays),
        jax.vmap(_flosser(training, flossing).init)(flossed),
        jnp.asarray(0),
        jnp.asarray(0),
    )


def _sample(task: Parity, key: PRNGKeyArray, count: int, num_steps: int) -> Any:
    return jax.vmap(lambda k: task.sample(k, num_steps))(jax.random.split(key, count))


def _epoch(
    network: Network, optimiser: PyTree, key: PRNGKeyArray, task: Parity, training: Training
) -> tuple[Network, PyTree, TrainMetrics]:
    inputs, targets, mask = _sample(task, key, training.batch_size, training.num_steps)
    arrays, rest = eqx.partition(network, eqx.is_inexact_array)

    def loss_of(arrays: PyTree) -> tuple[Array, Array]:
        outputs = jax.vmap(eqx.combine(arrays, rest))(inputs)
        return binary_cross_entropy(outputs, targets, mask), outputs

    (loss, outputs), gradient = jax.value_and_grad(loss_of, has_aux=True)(arrays)
    norm = tree_norm(gradient.initial_state)
    if not training.train_initial_state:
        frozen = jax.tree.map(jnp.zeros_like, gradient.initial_state)
        gradient = eqx.tree_at(lambda g: g.initial_state, gradient, frozen)
    good = all_finite((loss, gradient))
    updates, new_optimiser = _optimiser(training).update(gradient, optimiser, arrays)
    arrays = apply_if(good, optax.apply_updates(arrays, updates), arrays)
    optimiser = apply_if(good, new_optimiser, optimiser)
    metrics = TrainMetrics(loss, binary_accuracy(outputs, targets, mask), norm, ~good)
    return eqx.combine(arrays, rest), optimiser, metrics


def _floss_step(
    network: Network,
    flosser: PyTree,
    key: PRNGKeyArray,
    task: Parity,
    training: Training,
    flossing: Flossing,
) -> tuple[Network, PyTree, FlossMetrics]:
    input_key, basis_key = jax.random.split(key)
    flossed, rest = eqx.partition(network.cell, _flossed(network.cell, flossing.parameters))
    inputs = jax.vmap(lambda k: task.sample_inputs(k, flossing.steps))(
        jax.random.split(input_key, flossing.starts)
    )
    states = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (flossing.starts, *x.shape)), network.initial_state
    )

    def loss_of(flossed: PyTree) -> tuple[Array, Array]:
        return flossing_loss(  # pyright: ignore[reportReturnType]
            eqx.combine(flossed, rest),
            states,
            inputs,
            num_exponents=min(flossing.num_exponents, dimension(network.initial_state)),
            targets=flossing.targets[0] if len(flossing.targets) == 1 else flossing.targets,
            which=flossing.which or None,
            penalty=flossing.penalty,
            num_starts=flossing.starts,
            warmup=flossing.state_warmup,
            basis_warmup=flossing.basis_warmup,
            renormalise_every=flossing.renormalise_every,
            key=basis_key,
            return_exponents=True,
        )

    (loss, exponents), gradient = jax.value_and_grad(loss_of, has_aux=True)(flossed)
    good = all_finite((loss, gradient))
    updates, new_flosser = _flosser(training, flossing).update(gradient, flosser, flossed)
    flossed = apply_if(good, optax.apply_updates(flossed, updates), flossed)
    flosser = apply_if(good, new_flosser, flosser)
    network = eqx.tree_at(lambda n: n.cell, network, eqx.combine(flossed, rest))
    return network, flosser, FlossMetrics(loss, exponents, ~good)


def _fold(keys: Key[Array, " realisations"], kind: int, number: Array | int) -> Array:
    return jax.vmap(lambda k: jax.random.fold_in(jax.random.fold_in(k, kind), number))(keys)


def _over_realisations(function: Any, *args: Any) -> Any:
    """``function`` of every realisation: batched, or one after the other where that is faster (CPU)."""
    if jax.default_backend() != "cpu":
        return eqx.filter_vmap(function, in_axes=eqx.if_array(0))(*args)
    arrays, rest = eqx.partition(args, eqx.is_array)
    static = []

    def one(arrays: PyTree) -> PyTree:
        out, kept = eqx.partition(function(*eqx.combine(arrays, rest)), eqx.is_array)
        static.append(kept)
        return out

    out = jax.lax.map(one, arrays)
    return eqx.combine(out, static[-1])


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


@eqx.filter_jit
def train_block(
    state: TrainState,
    keys: Key[Array, " realisations"],
    count: Array,
    size: int,
    task: Parity,
    training: Training,
) -> tuple[TrainState, TrainMetrics]:
    """``count`` training epochs; metrics have ``size`` rows, of which ``count`` hold."""

    def body(carry: tuple, epoch: Array) -> tuple[tuple, TrainMetrics]:
        networks, optimiser, metrics = _over_realisations(
            lambda n, o, k: _epoch(n, o, k, task, training), *carry, _fold(keys, _DATA, epoch)
        )
        return (networks, optimiser), metrics

    carry, metrics = _scan_block(body, (state.networks, state.optimiser), state.epochs, count, size)
    epochs = state.epochs + count
    return TrainState(*carry, state.flosser, epochs, state.floss_steps), metrics


@eqx.filter_jit
def floss_block(
    state: TrainState,
    keys: Key[Array, " realisations"],
    count: Array,
    size: int,
    task: Parity,
    training: Training,
    flossing: Flossing,
) -> tuple[TrainState, FlossMetrics]:
    """``count`` flossing steps; metrics have ``size`` rows, of which ``count`` hold."""

    def body(carry: tuple, number: Array) -> tuple[tuple, FlossMetrics]:
        networks, flosser, metrics = _over_realisations(
            lambda n, f, k: _floss_step(n, f, k, task, training, flossing),
            *carry,
            _fold(keys, _FLOSS, number),
        )
        return (networks, flosser), metrics

    carry, metrics = _scan_block(
        body, (state.networks, state.flosser), state.floss_steps, count, size
    )
    networks, flosser = carry
    steps = state.floss_steps + count
    return TrainState(networks, state.optimiser, flosser, state.epochs, steps), metrics


@eqx.filter_jit
def evaluate(
    networks: Network,
    keys: Key[Array, " realisations"],
    task: Parity,
    num_steps: int,
    trials: int = 256,
) -> Evaluation:
    """Loss and accuracy on ``trials`` held-out trials, from a random stream that training never uses."""

    def one(network: Network, key: PRNGKeyArray) -> Evaluation:
        inputs, targets, mask = _sample(task, key, trials, num_steps)
        outputs = jax.vmap(network)(inputs)
        return Evaluation(
            binary_cross_entropy(outputs, targets, mask), binary_accuracy(outputs, targets, mask)
        )

    return _over_realisations(one, networks, _fold(keys, _EVALUATE, 0))


@eqx.filter_jit
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

    def one(network: Network, key: PRNGKeyArray) -> Array:
        input_key, basis_key = jax.random.split(key)
        return lyapunov_spectrum(
            network.cell,
            network.initial_state,
            task.sample_inputs(input_key, basis_warmup + num_steps),
            num_exponents=num_exponents,
            basis_warmup=basis_warmup,
            key=basis_key,
        ).exponents

    return _over_realisations(one, networks, _fold(keys, _MEASURE, 0))
