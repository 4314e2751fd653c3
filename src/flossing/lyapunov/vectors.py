"""Covariant Lyapunov vectors: the tangent modes that grow with one exponent each, forward and backward."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key, is_concrete
from .._norms import log_norm, norm
from .._warn import refuse_old_names
from ._basis import Basis
from ._check_run import check_run
from ._propagate import propagate
from ._steps import Step, dimension, flatten, run, take, whole


class CovariantVectors(eqx.Module):
    """Covariant vectors along a stretch of trajectory, from ``covariant_vectors``."""

    vectors: Float[Array, "times n k"]
    """Unit vectors in the columns; ``vectors[t]`` belongs to ``states[t]``."""
    states: PyTree
    """The states they belong to, time as leading axis."""
    local_exponents: Float[Array, "steps k"]
    """Log growth of each vector over each step between them, nats per step; ``times - 1`` rows."""

    @property
    def exponents(self) -> Float[Array, " k"]:
        """Mean growth of each vector, nats per step: the Lyapunov exponents."""
        return self.local_exponents.mean(0)


@refuse_old_names
def covariant_vectors(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    num_exponents: int | None = None,
    num_steps: int | None = None,
    state_warmup: int = 0,
    warmup: int = 0,
    tail: int = 0,
    tangents: PyTree = None,
    key: PRNGKeyArray,
) -> CovariantVectors:
    """The first k covariant Lyapunov vectors by the method of Ginelli et al. 2007.

    Forward, tangents are orthonormalised at every step; backward, upper triangular coefficients are
    pulled through the inverse R factors until each column is the direction that the dynamics maps onto
    itself: ``D_t v_i(t) = exp(growth) v_i(t+1)``.

    Args:
        step, state, inputs, num_exponents, num_steps, state_warmup, tangents, key: as for
            ``lyapunov_spectrum``.
        warmup: steps for the tangents to converge before the stretch that is returned.
        tail: steps after that stretch, in which the backward coefficients converge.

    Returns:
        ``CovariantVectors`` with ``times = num_steps - state_warmup - warmup - tail + 1``.

    Raises:
        ValueError, TypeError: arguments that do not fit; lost directions, which have no vector.
    """
    step, state, inputs, steps = check_run(step, state, inputs, num_steps, tangents)
    n = dimension(state)
    k = n if num_exponents is None else check_integer("num_exponents", num_exponents, 1)
    if k > n:
        raise ValueError(f"num_exponents: got {k}, but the state has only {n} dimensions.")
    for name, value in [("state_warmup", state_warmup), ("warmup", warmup), ("tail", tail)]:
        check_integer(name, value, 0)
    if steps - state_warmup - warmup - tail < 1:
        raise ValueError(
            f"state_warmup, warmup, tail: {state_warmup} + {warmup} + {tail} steps leave none of {steps}."
        )
    check_key("key", key)
    result, alive = _covariant(step, state, inputs, k, steps, state_warmup, warmup, tail, key)
    if is_concrete(alive):
        if not bool(alive.all()):
            raise ValueError(
                f"num_exponents: {int((~alive).sum())} of {k} directions were lost (mapped to zero); "
                f"covariant vectors exist for at most {int(alive.sum())}."
            )
        if not bool(jnp.isfinite(result.vectors).all()):
            raise ValueError("step: the state or its tangents became NaN or infinite.")
    return result


@eqx.filter_jit
def _covariant(
    step: Step,
    state: PyTree,
    inputs: PyTree,
    k: int,
    steps: int,
    state_warmup: int,
    warmup: int,
    tail: int,
    key: PRNGKeyArray,
) -> tuple[CovariantVectors, Array]:
    vector = flatten(state).vector
    basis = Basis.random(key, vector.size, k, vector.dtype)
    state = run(step, state, take(inputs, 0, state_warmup), state_warmup)
    start = state_warmup + warmup
    if warmup:
        state, basis, _, _ = propagate(
            step, state, basis, take(inputs, state_warmup, start), warmup, 1
        )
    _, basis, _, (states, q, triangles) = propagate(
        step, state, basis, take(inputs, start, steps), steps - start, 1,
        collect=lambda state, basis, triangle: (state, basis.vectors, triangle), exact=True,
    )  # fmt: skip

    def back(coefficients: Array, triangle: Array) -> tuple[Array, tuple[Array, Array]]:
        earlier = jax.scipy.linalg.solve_triangular(triangle.T, coefficients)
        unit = earlier / norm(earlier, axis=0)[None]
        return unit, (unit, -log_norm(earlier, axis=0))

    end = jnp.triu(jnp.ones((k, k), vector.dtype))
    end = end / norm(end, axis=0)[None]
    _, (coefficients, growth) = jax.lax.scan(back, end, triangles[1:], reverse=True)
    coefficients = jnp.concatenate([coefficients, end[None]])
    last = steps - start - tail
    stretch = jax.tree.map(lambda x: x[: last + 1], (jnp.swapaxes(q, 1, 2) @ coefficients, states))
    vectors, states = stretch
    return CovariantVectors(vectors, whole(states), growth[:last]), basis.alive
