"""Networks that start with given first exponents, by the gains of their recurrent matrices."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._checks import is_concrete
from ..tasks.bits import Parity
from .measuring import measure_exponents
from .network import Network

_RANGE = 0.01, 4.0


def networks_starting_at(
    first_exponents: Float[Array, " realisations"],
    build: Callable[[Float[Array, " realisations"]], Network],
    keys: Key[Array, " realisations"],
    task: Parity,
    *,
    num_steps: int = 1000,
    tolerance: float = 0.1,
) -> Network:
    """Networks with these first exponents, by bisection of their gains between 0.01 and 4, on a log scale.

    A small network can fall into an orbit that is stable at every larger gain; it gets the gain that came
    closest.

    Args:
        first_exponents: in nats per step, as measured over ``num_steps`` of the task's input.
        build: stacked networks from their gains.
        keys: random keys of the inputs and tangent bases.
        task: whose input drives the networks.
        num_steps: steps over which exponents are measured.
        tolerance: how far an exponent may be off, in nats per step.

    Raises:
        ValueError: no gain in that range leads within ``tolerance`` of a target.
    """
    low, high = (jnp.full(first_exponents.shape, end) for end in _RANGE)
    best, error = low, jnp.full(first_exponents.shape, jnp.inf)
    for _ in range(15):
        middle = jnp.sqrt(low * high)
        found = measure_exponents(build(middle), keys, task, 1, num_steps)[:, 0]
        closer = jnp.abs(found - first_exponents) < error
        best = jnp.where(closer, middle, best)
        error = jnp.where(closer, jnp.abs(found - first_exponents), error)
        below = found < first_exponents
        low, high = jnp.where(below, middle, low), jnp.where(below, high, middle)
    if is_concrete(error) and (error > tolerance).any():
        i = int(error.argmax())
        raise ValueError(
            f"first_exponents: no gain between {_RANGE[0]} and {_RANGE[1]} was found that gives "
            f"{float(first_exponents[i]):g}; the closest first exponent is off by {float(error[i]):.3g}."
        )
    return build(best)
