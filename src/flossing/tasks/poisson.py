"""Frozen Poisson input: random spikes that are the same in every trial."""

import jax
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from .._checks import check_integer, check_key, check_positive, check_shape, check_single


def frozen_poisson(
    key: PRNGKeyArray,
    *,
    num_steps: int,
    inputs: int,
    rate: ArrayLike = 50.0,
    time_step: float = 1.0,
) -> Float[Array, "time input"]:
    """Independent spikes in each step with probability ``rate * time_step``, shape ``(num_steps, inputs)``.

    Args:
        key: random key; the same key gives the same spikes.
        num_steps: length.
        inputs: number of spike trains.
        rate: in Hz; one number, or shape ``(inputs,)``.
        time_step: in ms.

    Raises:
        ValueError: a rate at which more than one spike per step would be needed.
    """
    check_key("key", key)
    check_integer("num_steps", num_steps, 1)
    check_integer("inputs", inputs, 1)
    check_positive("rate", rate, zero=True)
    check_positive("time_step", time_step)
    check_single(time_step=time_step)
    rates = np.asarray(rate, float)
    if rates.ndim:
        check_shape("rate", rates, (inputs,))
    probability = rates * float(time_step) * 1e-3
    # One spike in every step is allowed, and 1000 / time_step Hz may be a rounding error above it.
    if probability.max() > 1 + 1e-12:
        raise ValueError(
            f"rate: {rates.max()} Hz in steps of {time_step} ms is a probability of "
            f"{probability.max():g} per step; expected at most 1."
        )
    probability = np.broadcast_to(probability, (num_steps, inputs))
    return jax.random.bernoulli(key, probability).astype(float)
