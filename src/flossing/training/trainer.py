"""One training epoch and one flossing step of one network: plain functions, which blocks repeat."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._norms import tree_norm
from ..floss import AdaptiveFlosser, Flosser, Joint, Schedule
from ..optimisers import OptimiserSpec, all_finite, apply_if, as_optimiser, ascent
from ..tasks.task import Metric, Task, as_metrics
from .devices import mean_of_parts
from .streams import Stream, fold, stream


class TrainMetrics(NamedTuple):
    """Per epoch and realisation, before that epoch's update, on the trials of that update."""

    loss: Float[Array, "*epochs_realisations"]
    metrics: dict[str, Metric]
    """Those of the task."""
    gradient_norm: Float[Array, "*epochs_realisations"]
    """Norm of the gradient with respect to the initial state; NaN where the network takes none."""
    skipped: Bool[Array, "*epochs_realisations"]
    """The gradient or the loss was not finite and the update was left out."""
    floss_steps: Int[Array, "*epochs_realisations"]
    """Flossing steps that an adaptive schedule took before that epoch; one per epoch if joint."""
    watched: Float[Array, "*epochs_realisations"]
    """The first exponent as an adaptive or the joint schedule found it; NaN where it did not look."""


class FlossMetrics(NamedTuple):
    """Per flossing step and realisation, before that step's update."""

    loss: Float[Array, "*steps_realisations"]
    exponents: Float[Array, "*steps_realisations k"]
    skipped: Bool[Array, "*steps_realisations"]


def cell_of(network: Any) -> Any:
    """The step of a ``Network``."""
    return _part(network, "cell", "step")


def start_of(network: Any) -> Any:
    """The initial state of a ``Network``."""
    return _part(network, "initial_state", "state")


def _part(network: Any, name: str, option: str) -> Any:
    if not hasattr(network, name):
        raise TypeError(
            f"{option}: {type(network).__name__} has no attribute {name}, as fl.Network has; give the "
            f"trainer {option}=, a function that makes the {option} from the network."
        )
    return getattr(network, name)


class Trainer(eqx.Module):
    """What training consists of; everything that changes is in a ``Realisation``.

    Args:
        task: trials, loss and metrics.
        optimiser: a specification, or any Optax transformation; it gets the loss as ``value``.
        schedule: how networks are flossed; ``None`` for not at all.
        epochs: number of updates, on which learning rates may depend.
        batch_size: trials per update.
        step: makes the recurrent step from a network.
        state: makes the state in which trials start from a network; ``None`` if that is left to the network.
        part: trials whose gradient is computed at once, for losses and metrics that are means over trials; by
            default all. Few trials stay in the cache of a core and take little memory; parts are spread over
            the devices that are free.
        outputs: computes the outputs of a batch, as ``outputs(network, inputs, state, keys)``, for networks
            that take all its trials at once; by default ``outputs_of``, which calls them for each trial.
    """

    task: Task
    optimiser: OptimiserSpec | optax.GradientTransformation
    schedule: Schedule | None = None
    epochs: int = 3001
    batch_size: int = 16
    step: Callable[[Any], Any] = cell_of
    state: Callable[[Any], Any] = start_of
    part: int | None = None
    outputs: Callable[..., PyTree] | None = None

    @property
    def transformation(self) -> optax.GradientTransformationExtraArgs:
        """The optimiser as an Optax transformation."""
        return as_optimiser(self.optimiser, self.epochs)

    @property
    def control(self) -> Flosser | AdaptiveFlosser | None:
        """What flosses; ``None`` without a schedule."""
        if self.schedule is None:
            return None
        return self.schedule.control(self.step, self.task.horizon, self.task.chance_loss)

    def driven(self, network: Any) -> tuple[Callable, Callable]:
        """State and inputs of flossing steps, as functions of a key: the network's start, fresh inputs."""
        control = self.control
        assert control is not None
        window = control if isinstance(control, Flosser) else control.flosser
        return (
            lambda key: self.state(network),
            lambda key: self.task.sample_inputs(key, window.num_steps),
        )


class Realisation(eqx.Module):
    """One network with everything that changes while it is trained."""

    network: Any
    optimiser: PyTree
    flosser: PyTree
    """The state of what flosses; ``None`` without a schedule."""
    loss: Float[Array, ""]
    """Of the last epoch; infinite before the first."""


def begin(network: Any, trainer: Trainer) -> Realisation:
    """A network before its training."""
    arrays = eqx.filter(network, eqx.is_inexact_array)
    control = trainer.control
    return Realisation(
        network,
        trainer.transformation.init(arrays),
        None if control is None else control.init(network),
        jnp.full((), jnp.inf, jnp.result_type(float)),
    )


def floss_step(
    realisation: Realisation, key: PRNGKeyArray, number: Array | int, trainer: Trainer
) -> tuple[Realisation, FlossMetrics]:
    """One flossing step on fresh inputs and bases.

    Args:
        realisation: network and states.
        key: random key of the realisation.
        number: counts the flossing steps of a run from 0.
        trainer: with a schedule that flosses.
    """
    control, network = trainer.control, realisation.network
    if control is None:
        raise ValueError(
            "schedule: the trainer has none, so nothing flosses; give it one, such as fl.Before()."
        )
    driven, step_key = trainer.driven(network), fold(key, Stream.FLOSS, number)
    if isinstance(control, Flosser):
        network, flosser, info = control.update(network, realisation.flosser, *driven, key=step_key)
    else:
        network, own, info = control.flosser.update(
            network, realisation.flosser.flosser, *driven, key=step_key
        )
        flosser = realisation.flosser._replace(flosser=own)
    changed = Realisation(network, realisation.optimiser, flosser, realisation.loss)
    return changed, FlossMetrics(info.loss, info.exponents, info.skipped)


def train_epoch(
    realisation: Realisation, key: PRNGKeyArray, number: Array | int, trainer: Trainer
) -> tuple[Realisation, TrainMetrics]:
    """One update on one batch, after the flossing that is due; left out, and counted, if it is not finite.

    Arguments are those of ``floss_step``; ``number`` counts epochs.
    """
    network, flosser, floss_steps, watched = _flossed(realisation, key, number, trainer)
    loss, metrics, norm, gradient = _loss_and_gradient(network, key, number, trainer)
    control = trainer.control
    if isinstance(trainer.schedule, Joint):
        assert isinstance(control, Flosser)
        adapt_key = fold(key, Stream.ADAPT, number)
        (_, exponents, _), more = control.gradient(network, *trainer.driven(network), key=adapt_key)
        floss_steps, watched = jnp.asarray(1), exponents[0]
        gradient = _sum(gradient, trainer.schedule.weight, more)
    arrays, rest = eqx.partition(network, eqx.is_inexact_array)
    good = all_finite((loss, gradient))
    updates, optimiser = trainer.transformation.update(
        gradient, realisation.optimiser, arrays, value=loss
    )
    arrays = apply_if(good, optax.apply_updates(arrays, updates), arrays)
    optimiser = apply_if(good, optimiser, realisation.optimiser)
    changed = Realisation(eqx.combine(arrays, rest), optimiser, flosser, loss)
    return changed, TrainMetrics(loss, metrics, norm, ~good, floss_steps, watched)


def _flossed(
    realisation: Realisation, key: PRNGKeyArray, number: Array | int, trainer: Trainer
) -> tuple[Any, PyTree, Array, Array]:
    """The network after the flossing that an adaptive schedule finds due, its steps and what it saw."""
    control, network, flosser = trainer.control, realisation.network, realisation.flosser
    if control is None or isinstance(control, Flosser):
        return network, flosser, jnp.asarray(0), jnp.full_like(realisation.loss, jnp.nan)
    network, flosser, look = control.update(
        network,
        flosser,
        *trainer.driven(network),
        loss=realisation.loss,
        key=fold(key, Stream.ADAPT, number),
    )
    return network, flosser, look.steps, look.exponent


def _loss_and_gradient(
    network: Any, key: PRNGKeyArray, number: Array | int, trainer: Trainer
) -> tuple[Array, dict[str, Metric], Array, PyTree]:
    """Loss and metrics of a batch, |dL/dh_0|, and the gradient of the network's arrays."""
    task = trainer.task
    trial = task.batch(stream(key, Stream.DATA), number, trainer.batch_size)
    noise = jax.random.split(fold(key, Stream.NOISE, number), trainer.batch_size)
    arrays, rest = eqx.partition(network, eqx.is_inexact_array)
    start = eqx.filter(start_state(network, trainer.state), eqx.is_inexact_array)

    def loss_of(given: tuple, rest: PyTree, trainer: Trainer, part: tuple) -> tuple:
        (arrays, nudge), (trial, noise) = given, part
        network = eqx.combine(arrays, rest)
        moved, other = eqx.partition(start_state(network, trainer.state), eqx.is_inexact_array)
        state = eqx.combine(jax.tree.map(jnp.add, moved, nudge), other)
        outputs = (trainer.outputs or outputs_of)(network, trial.inputs, state, noise)
        task = trainer.task
        return task.loss(outputs, trial), as_metrics(task.metrics(outputs, trial))

    def find(shared: tuple, part: tuple) -> tuple:
        return jax.value_and_grad(loss_of, has_aux=True)(*shared, part)

    shared = (arrays, jax.tree.map(jnp.zeros_like, start)), rest, trainer
    if trainer.part is None:
        outcome = find(shared, (trial, noise))
    else:
        outcome = mean_of_parts(find, shared, (trial, noise), trainer.part)
    (loss, metrics), (gradient, errors) = outcome
    known = "state" in _takes(network) and jax.tree.leaves(errors)
    norm = tree_norm(errors) if known else jnp.full_like(loss, jnp.nan)
    return loss, metrics, norm, ascent(gradient)


def start_state(network: Any, state: Callable[[Any], Any]) -> PyTree:
    """The state in which trials start; ``None`` for a network that takes none."""
    return state(network) if "state" in _takes(network) else None


def outputs_of(network: Any, inputs: PyTree, state: PyTree, keys: Array) -> PyTree:
    """Outputs of a network for trials along the leading axis, which all start in ``state``.

    Networks are called as ``network(inputs)``, with ``state`` and ``key`` if they take arguments of these
    names.
    """
    takes = _takes(network)

    def of_trial(inputs: PyTree, key: Array) -> PyTree:
        more = {"state": state, "key": key}
        return network(inputs, **{name: more[name] for name in takes})

    return jax.vmap(of_trial)(inputs, keys)


def _takes(network: Any) -> list[str]:
    names = inspect.signature(network).parameters
    return [name for name in ("state", "key") if name in names]


def _sum(gradient: PyTree, weight: float, more: PyTree) -> PyTree:
    return jax.tree.map(
        lambda g, m: g if m is None else g + weight * m,
        gradient,
        more,
        is_leaf=lambda leaf: leaf is None,
    )
