"""What errors and perturbations meet along a trajectory of a network, for the experiment condition-number."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

from ...lyapunov import covariant_vectors, gradient_norms, log_singular_values
from ...tasks import Task
from ...training import Network
from ...training.devices import over_realisations, spread

_WARMUP = 200


@eqx.filter_jit
def along_trajectories(
    networks: Network,
    keys: Key[Array, " realisations"],
    task: Task,
    horizons: tuple[int, ...],
    max_sweeps: int,
    modes: int,
) -> dict[str, Array]:
    """Singular values, gradient norms and covariant vectors of each network, driven by the task.

    Returns:
        ``log_singular_values`` (networks, horizons, N); ``log_gradient_norms`` (networks, steps) of a
        random error signal, against steps back in time; ``alignment`` (networks, modes), the mean over time
        and all other modes of ``|v_i . v_j|`` of covariant vectors;
        ``singular_values_of_gradient`` (networks, N), of the gradient of the task's loss (16 trials of 300
        steps) with respect to the recurrent matrix.
    """

    def of_network(network: Network, key: Any) -> dict[str, Array]:
        cell = network.cell
        input_key, basis_key, task_key = jax.random.split(key, 3)
        inputs = task.sample_inputs(input_key, 3 * _WARMUP + 50)
        start = jax.lax.scan(
            lambda s, u: (cell(s, u), None), network.initial_state, inputs[:_WARMUP]
        )[0]
        following = inputs[_WARMUP:]
        values = [
            log_singular_values(cell, start, following[:h], max_sweeps=max_sweeps, key=basis_key)
            for h in horizons
        ]
        norms = gradient_norms(cell, start, following[: max(horizons)], log=True, key=basis_key)
        cosines = covariant_vectors(
            cell,
            start,
            following,
            num_exponents=modes,
            warmup=_WARMUP,
            tail=_WARMUP,
            key=basis_key,
        ).alignment
        return {
            "log_singular_values": jnp.stack(values),
            "log_gradient_norms": norms[::-1],
            "alignment": (cosines.sum(1) - jnp.diag(cosines)) / max(1, modes - 1),
            "singular_values_of_gradient": _gradient(network, task, task_key),
        }

    part = (networks, keys)
    return spread(lambda part: (over_realisations(of_network, *part),), part, axes=(0,))[0]


def _gradient(network: Network, task: Task, key: Any) -> Array:
    trials = task.held_out(key, 16)

    def loss(weight: Array) -> Array:
        changed = eqx.tree_at(lambda n: n.cell.recurrent_weight, network, weight)
        return task.loss(jax.vmap(changed)(trials.inputs), trials)

    gradient = jax.grad(loss)(network.cell.recurrent_weight)  # pyright: ignore[reportAttributeAccessIssue]
    return jnp.linalg.svd(gradient, compute_uv=False)


def effective_rank(log_singular_values: np.ndarray) -> np.ndarray:
    """Participation ratio of squared singular values: in how many directions errors arrive.

    Args:
        log_singular_values: shape (..., n).
    """
    weights = np.exp(2 * (log_singular_values - log_singular_values.max(-1, keepdims=True)))
    return weights.sum(-1) ** 2 / np.square(weights).sum(-1)


def log_condition(log_singular_values: np.ndarray, m: int) -> np.ndarray:
    """Log condition number of the m slowest directions, shape (...).

    Args:
        log_singular_values: shape (..., n), largest first.
        m: number of directions.
    """
    return log_singular_values[..., 0] - log_singular_values[..., m - 1]


def slow_modes(exponents: np.ndarray, steps: int) -> np.ndarray:
    """Number of directions that keep at least 1/e of a perturbation over so many steps."""
    return (exponents > -1 / steps).sum(-1)
