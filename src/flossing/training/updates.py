"""One update of one network: a training epoch or a flossing step."""

from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._norms import tree_norm
from ..floss import Flossing, flossing_loss
from ..lyapunov._steps import dimension
from ..tasks.bits import Parity
from .configuration import Training
from .jacobian_penalty import no_nudges, nudged, penalty_gradient
from ..tasks.losses import binary_accuracy, binary_cross_entropy
from .network import Network
from .optimisers import (
    all_finite,
    apply_if,
    clip_by_array_norm,
    clip_by_global_norm,
    normalised_descent,
    polyak_descent,
    without_new_connections,
    without_row_means,
)


class TrainMetrics(NamedTuple):
    """Per epoch and realisation, before that epoch's update; data are fresh every epoch."""

    loss: Float[Array, "epochs realisations"]
    accuracy: Float[Array, "epochs realisations"]
    gradient_norm: Float[Array, "epochs realisations"]
    """Norm of the gradient with respect to the initial state, |dL/dh_0|."""
    skipped: Bool[Array, "epochs realisations"]
    """The gradient or the loss was not finite and the update was left out."""
    floss_steps: Int[Array, "epochs realisations"]
    """Flossing steps that the adaptive schedule took before that epoch; one per epoch if joint."""
    watched: Float[Array, "epochs realisations"]
    """The first exponent as the adaptive or joint schedule found it; NaN where it did not look."""
    rolled_back: Bool[Array, "epochs realisations"]
    """After that epoch the network returned to its best weights."""


class FlossMetrics(NamedTuple):
    """Per flossing step and realisation, before that step's update."""

    loss: Float[Array, "steps realisations"]
    exponents: Float[Array, "steps realisations k"]
    skipped: Bool[Array, "steps realisations"]


def optimiser_of(training: Training) -> optax.GradientTransformation:
    """Clipping and Adam of the training, or normalised descent."""
    clip = {
        "array": clip_by_array_norm,
        "global": clip_by_global_norm,
        "none": lambda _: optax.identity(),
    }[training.clip](training.clip_norm)
    rate: Any = training.learning_rate
    if training.final_learning_rate is not None and rate > 0:
        share = training.final_learning_rate / rate
        rate = optax.cosine_decay_schedule(rate, training.epochs, share)
    if training.optimiser == "normalised":
        return normalised_descent(rate, training.beta1)
    return optax.chain(clip, optax.adam(rate, training.beta1, training.beta2))


def flosser_of(training: Training, flossing: Flossing) -> optax.GradientTransformationExtraArgs:
    """Clipping and Adam of flossing, or Polyak's steps; its updates need the flossing loss as ``value``."""
    clip = clip_by_array_norm(flossing.clip_norm) if flossing.clip_norm else optax.identity()
    last = flossing.final_learning_rate
    share = 0.1 if last is None else last / flossing.learning_rate
    steps = max(1, flossing.steps_before)
    rate = optax.cosine_decay_schedule(flossing.learning_rate, steps, share)
    if flossing.optimiser == "polyak":
        return polyak_descent(rate)
    return optax.chain(clip, optax.adam(rate, training.beta1, training.beta2))


def flossed_leaves(cell: PyTree, names: tuple[str, ...]) -> PyTree:
    """A mask of the cell's leaves: those that flossing changes.

    Parameters of surrogate derivatives, which do not belong to the forward pass, have to be named.

    Raises:
        ValueError: none of the names is a parameter of the cell.
    """

    def chosen(path: tuple, leaf: Any) -> bool:
        parts = {str(getattr(part, "name", getattr(part, "idx", part))) for part in path}
        wanted = not parts.isdisjoint(names) if names else "surrogate" not in parts
        return eqx.is_inexact_array(leaf) and wanted

    mask = jax.tree_util.tree_map_with_path(chosen, cell)
    if not any(jax.tree.leaves(mask)):
        paths = jax.tree_util.tree_leaves_with_path(eqx.filter(cell, eqx.is_inexact_array))
        known = sorted({jax.tree_util.keystr(path).lstrip(".") for path, _ in paths})
        raise ValueError(
            f"flossing.parameters: none of {list(names)} is a parameter of this cell; it has {known}."
        )
    return mask


def sample(task: Parity, key: PRNGKeyArray, count: int, num_steps: int) -> Any:
    """``count`` trials, along the leading axis."""
    return jax.vmap(lambda k: task.sample(k, num_steps))(jax.random.split(key, count))


def epoch_update(
    network: Network,
    optimiser: PyTree,
    key: PRNGKeyArray,
    task: Parity,
    training: Training,
    mean_loss: Array,
    joint: tuple[Flossing, PRNGKeyArray] | None = None,
    pace: Array | float = 1.0,
) -> tuple[Network, PyTree, TrainMetrics]:
    """One update on a fresh batch; left out, and counted, if it is not finite.

    ``mean_loss`` is that of the last epochs, ``pace`` a factor of the update. With ``joint``, settings and a
    random key, the flossing loss is added to that of the task.
    """
    inputs, targets, mask = sample(task, key, training.batch_size, training.num_steps)
    arrays, rest = eqx.partition(network, eqx.is_inexact_array)

    def loss_of(arrays: PyTree) -> tuple[Array, Array]:
        outputs = jax.vmap(task.read)(jax.vmap(eqx.combine(arrays, rest))(inputs))
        return binary_cross_entropy(outputs, targets, mask), outputs

    def loss_and_states(arrays: PyTree, nudges: PyTree) -> tuple[Array, tuple[Array, PyTree]]:
        nudge = partial(nudged, eqx.combine(arrays, rest))
        outputs, states = jax.vmap(nudge)(inputs, nudges)
        return binary_cross_entropy(outputs, targets, mask), (outputs, states)

    if training.jacobian_penalty:
        nudges = no_nudges(network, training.batch_size, training.num_steps)
        both = jax.value_and_grad(loss_and_states, argnums=(0, 1), has_aux=True)
        (loss, (outputs, states)), (gradient, errors) = both(arrays, nudges)
        more = penalty_gradient(network, states, inputs, errors)
        cell = jax.tree.map(lambda g, m: g + training.jacobian_penalty * m, gradient.cell, more)
        gradient = eqx.tree_at(lambda g: g.cell, gradient, cell)
    else:
        (loss, outputs), gradient = jax.value_and_grad(loss_of, has_aux=True)(arrays)
    norm = tree_norm(gradient.initial_state)
    floss_steps, watched = jnp.asarray(0), jnp.full_like(loss, jnp.nan)
    if joint is not None:
        (_, exponents), more = flossing_gradient(network, joint[1], task, joint[0])
        floss_steps, watched = jnp.asarray(1), exponents[0]
        weight = joint[0].joint_weight
        cell = jax.tree.map(
            lambda g, m: g if m is None else g + weight * m,
            gradient.cell, more, is_leaf=lambda leaf: leaf is None,
        )  # fmt: skip
        gradient = eqx.tree_at(lambda g: g.cell, gradient, cell)
    if not training.train_initial_state:
        frozen = jax.tree.map(jnp.zeros_like, gradient.initial_state)
        gradient = eqx.tree_at(lambda g: g.initial_state, gradient, frozen)
    good = all_finite((loss, gradient))
    updates, new_optimiser = optimiser_of(training).update(gradient, optimiser, arrays)
    if training.slow_below:
        pace *= jnp.minimum(1, mean_loss / (training.slow_below * task.chance_loss))
    if training.slow_below or training.roll_back:
        updates = jax.tree.map(lambda u: pace * u, updates)
    if training.readout_rate != 1:
        updates = eqx.tree_at(_readout, updates, replace_fn=lambda u: training.readout_rate * u)
    if training.keep_zeros:
        updates = without_new_connections(updates, arrays)
    arrays = apply_if(good, optax.apply_updates(arrays, updates), arrays)
    optimiser = apply_if(good, new_optimiser, optimiser)
    accuracy = binary_accuracy(outputs, targets, mask)
    metrics = TrainMetrics(loss, accuracy, norm, ~good, floss_steps, watched, jnp.asarray(False))
    return eqx.combine(arrays, rest), optimiser, metrics


def _readout(network: PyTree) -> tuple[Any, Any]:
    return network.readout_weight, network.readout_bias


def flossing_gradient(
    network: Network, key: PRNGKeyArray, task: Parity, flossing: Flossing
) -> tuple[tuple[Array, Array], PyTree]:
    """Flossing loss and exponents, on fresh inputs and bases, and the gradient for what is flossed.

    The gradient has the form of the cell, with ``None`` for what is not flossed.
    """
    input_key, basis_key = jax.random.split(key)
    flossed, rest = eqx.partition(network.cell, flossed_leaves(network.cell, flossing.parameters))
    inputs = jax.vmap(lambda k: task.sample_inputs(k, flossing.steps))(
        jax.random.split(input_key, flossing.starts)
    )
    states = jax.tree.map(
        lambda x: jnp.broadcast_to(x, (flossing.starts, *x.shape)), network.initial_state
    )

    every = flossing.renormalise_every
    if every == "auto" and jax.default_backend() != "cpu":
        every = 1  # networks in a batch would wait for each other, and pay for both branches

    def loss_of(flossed: PyTree) -> tuple[Array, Array]:
        loss, info = flossing_loss(
            eqx.combine(flossed, rest),
            states,
            inputs,
            num_exponents=min(flossing.num_exponents, dimension(network.initial_state)),
            targets=flossing.targets[0] if len(flossing.targets) == 1 else flossing.targets,
            which=flossing.which or None,
            penalty=flossing.penalty,
            num_starts=flossing.starts,
            state_warmup=flossing.state_warmup,
            warmup=flossing.warmup,
            detach_warmup=flossing.detach_warmup,
            detach_states=flossing.detach_states,
            renormalise_every=every,
            key=basis_key,
            has_aux=True,
        )
        return loss, info.exponents

    return jax.value_and_grad(loss_of, has_aux=True)(flossed)


def flossing_update(
    network: Network,
    flosser: PyTree,
    key: PRNGKeyArray,
    task: Parity,
    training: Training,
    flossing: Flossing,
) -> tuple[Network, PyTree, FlossMetrics]:
    """One flossing update on fresh inputs and bases; left out, and counted, if it is not finite."""
    (loss, exponents), gradient = flossing_gradient(network, key, task, flossing)
    flossed, rest = eqx.partition(network.cell, flossed_leaves(network.cell, flossing.parameters))
    good = all_finite((loss, gradient))
    updates, new_flosser = flosser_of(training, flossing).update(
        gradient, flosser, flossed, value=loss
    )
    if flossing.centred:
        updates = jax.tree.map(without_row_means, updates)
    if training.keep_zeros:
        updates = without_new_connections(updates, flossed)
    flossed = apply_if(good, optax.apply_updates(flossed, updates), flossed)
    flosser = apply_if(good, new_flosser, flosser)
    network = eqx.tree_at(lambda n: n.cell, network, eqx.combine(flossed, rest))
    return network, flosser, FlossMetrics(loss, exponents, ~good)
