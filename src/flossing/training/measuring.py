"""What trained networks do on data that training never saw."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from .._compiled import one_thread_first
from ..lyapunov import lyapunov_spectrum
from ..tasks.bits import Parity
from ._streams import Stream, fold_all
from .devices import everywhere, over_realisations, spread
from ..tasks.losses import binary_accuracy, binary_cross_entropy
from .network import Network
from .updates import sample


class Evaluation(NamedTuple):
    """On held-out trials, per realisation."""

    loss: Float[Array, " realisations"]
    accuracy: Float[Array, " realisations"]


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

    return _of_each(one, networks, fold_all(keys, Stream.EVALUATE, 0))


@one_thread_first
def measure_exponents(
    networks: Network,
    keys: Key[Array, " realisations"],
    task: Parity,
    num_exponents: int,
    num_steps: int = 300,
    warmup: int = 50,
) -> Float[Array, "realisations k"]:
    """Leading exponents of each network, driven by the task, in nats per step.

    ``num_steps`` are counted, after ``warmup``. The inputs are the same at every call, so that
    differences between calls are differences between networks.
    """
    return _measure_exponents(*everywhere((networks, keys)), task, num_exponents, num_steps, warmup)


@eqx.filter_jit
def _measure_exponents(
    networks: Network,
    keys: Array,
    task: Parity,
    num_exponents: int,
    num_steps: int,
    warmup: int,
) -> Array:
    def one(network: Network, key: Array) -> Array:
        input_key, basis_key = jax.random.split(key)
        return lyapunov_spectrum(
            network.cell,
            network.initial_state,
            task.sample_inputs(input_key, warmup + num_steps),
            num_exponents=num_exponents,
            warmup=warmup,
            key=basis_key,
        ).exponents

    return _of_each(one, networks, fold_all(keys, Stream.MEASURE, 0))


def _of_each(function: Callable, networks: Network, keys: Array) -> Any:
    """``function(network, key)`` of all realisations, laid over the devices."""
    each = networks, keys
    return spread(lambda part: (over_realisations(function, *part),), each, axes=(0,))[0]
