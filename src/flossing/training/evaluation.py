"""What trained networks do on data that training never saw."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from .._compiled import one_thread_first
from ..lyapunov import lyapunov_spectrum
from ..tasks.task import Metric, Task, as_metrics
from .devices import over_realisations, placed, spread
from .streams import Stream, fold, fold_all
from .trainer import Trainer, outputs_of, start_state


class Evaluation(NamedTuple):
    """On held-out trials, per realisation."""

    loss: Float[Array, " realisations"]
    metrics: dict[str, Metric]


def evaluate(
    networks: Any, keys: Key[Array, " realisations"], trainer: Trainer, trials: int = 256
) -> Evaluation:
    """Loss and metrics on held-out trials, from a random stream that training never uses."""
    given = placed((networks, keys), len(keys))
    return _evaluate(*given, trainer.task, trainer.state, trainer.outputs, trials)


# What does not depend on schedules and optimisers does not get them: runs that differ there share programs.
@eqx.filter_jit
def _evaluate(
    networks: Any,
    keys: Array,
    task: Task,
    state: Callable,
    batched: Callable | None,
    trials: int,
) -> Evaluation:
    def evaluate_network(network: Any, key: Array) -> Evaluation:
        trial = task.held_out(fold(key, Stream.EVALUATE, 0), trials)
        count = jax.tree.leaves(trial.inputs)[0].shape[0]
        noise = jax.random.split(fold(key, Stream.EVALUATE, 1), count)
        outputs = (batched or outputs_of)(network, trial.inputs, start_state(network, state), noise)
        metrics = as_metrics(task.metrics(outputs, trial))
        return Evaluation(task.loss(outputs, trial), metrics)

    return _of_each(evaluate_network, networks, keys)


@one_thread_first
def measure_exponents(
    networks: Any,
    keys: Key[Array, " realisations"],
    trainer: Trainer,
    num_exponents: int,
    num_steps: int = 300,
    warmup: int = 50,
) -> Float[Array, "realisations k"]:
    """Leading exponents of each network, driven by the task, in nats per step.

    ``num_steps`` are counted, after ``warmup``. The inputs are the same at every call, so that
    differences between calls are differences between networks.
    """
    given = placed((networks, keys), len(keys))
    parts = trainer.task, trainer.step, trainer.state
    return _measure_exponents(*given, *parts, num_exponents, num_steps, warmup)


@eqx.filter_jit
def _measure_exponents(
    networks: Any,
    keys: Array,
    task: Task,
    step: Callable,
    state: Callable,
    num_exponents: int,
    num_steps: int,
    warmup: int,
) -> Array:
    def exponents_of(network: Any, key: Array) -> Array:
        input_key, basis_key = jax.random.split(key)
        return lyapunov_spectrum(
            step(network),
            state(network),
            task.sample_inputs(input_key, warmup + num_steps),
            num_exponents=num_exponents,
            warmup=warmup,
            key=basis_key,
        ).exponents

    return _of_each(exponents_of, networks, fold_all(keys, Stream.MEASURE, 0))


def _of_each(function: Callable, networks: Any, keys: Array) -> Any:
    """``function(network, key)`` of all realisations, laid over the devices."""
    each = networks, keys
    return spread(lambda part: (over_realisations(function, *part),), each, axes=(0,))[0]
