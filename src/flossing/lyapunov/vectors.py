"""Covariant Lyapunov vectors: the tangent modes that grow with one exponent each, forward and backward."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key, has_values, is_concrete
from .._norms import log_norm, norm
from .._readable import (
    Summary,
    aligned,
    as_dataset,
    as_numpy,
    chosen,
    leading_dims,
    readable,
    short,
    with_dots,
)
from .._warn import refuse_old_names
from ._basis import Basis
from ._check_run import check_run
from ._propagate import propagate
from ._steps import Step, dimension, flatten, run, take, whole


@readable
class CovariantVectors(eqx.Module):
    """Covariant vectors along a stretch of trajectory. They print themselves as a table."""

    vectors: Float[Array, "times n k"]
    """Unit vectors in the columns; ``vectors[t]`` belongs to ``states[t]``."""
    states: PyTree
    """The states they belong to, time as leading axis."""
    local_exponents: Float[Array, "steps k"]
    """Log growth of each vector over each step between them, nats per step; ``times - 1`` rows."""

    @property
    def exponents(self) -> Float[Array, "*trajectories k"]:
        """Mean growth of each vector, nats per step: the Lyapunov exponents."""
        return self.local_exponents.mean(-2)

    @property
    def alignment(self) -> Float[Array, "*trajectories k k"]:
        """Absolute cosine of the angle between each two vectors, mean over time; 1 for parallel ones."""
        return jnp.abs(jnp.swapaxes(self.vectors, -1, -2) @ self.vectors).mean(-3)

    def plot(self, ax: Any = None) -> Any:
        """Draws ``alignment``, each vector with each, on given Axes of Matplotlib or new ones; returns them.

        Raises:
            ModuleNotFoundError: Matplotlib is not installed.
        """
        from .. import plots

        cosines = as_numpy(self.alignment)
        return plots.drawn(ax, plots.alignments, cosines.reshape(-1, *cosines.shape[-2:]).mean(0))

    def to_xarray(self) -> Any:
        """The numbers as an ``xarray.Dataset``, without the states.

        Returns:
            ``vectors`` along ``time``, ``variable`` (of the state) and ``exponent``, which counts from 1;
            ``local_exponents`` along ``step`` and ``exponent``; ``exponents``. Leading axes of several
            trajectories are ``trajectory`` (``trajectory_1``, ``trajectory_2``, ... if they are more).

        Raises:
            ModuleNotFoundError: xarray is not installed.
        """
        many = leading_dims(self.vectors.ndim - 3, "trajectory")
        unit, text = "nats per step", "growth of each vector"
        variables = {
            "vectors": ((*many, "time", "variable", "exponent"), self.vectors, "vectors", "1"),
            "local_exponents": ((*many, "step", "exponent"), self.local_exponents, text, unit),
            "exponents": ((*many, "exponent"), self.exponents, f"mean {text}", unit),
        }
        index = np.arange(1, self.vectors.shape[-1] + 1)
        return as_dataset(variables, {"exponent": index}, title="covariant Lyapunov vectors")

    def _summary(self) -> Summary | None:
        if not has_values(self.vectors, self.local_exponents) or self.vectors.ndim > 3:
            return None
        _, n, k = self.vectors.shape
        cosines = as_numpy(self.alignment)[~np.eye(k, dtype=bool)].reshape(k, k - 1)
        shown = chosen(k)
        columns = [aligned(as_numpy(self.exponents)[shown])]
        if k > 1:
            columns += [[short(x) for x in pick(cosines, 1)[shown]] for pick in (np.mean, np.max)]
        names = ["i", "exponent", "mean |cos|", "largest |cos|"][: 1 + len(columns)]
        title = f"{k} covariant vectors in {n} dimensions, nats per step, {len(self.local_exponents)} steps"
        notes = ["|cos|: of the angle to each other vector, mean over time"] * (k > 1)
        return Summary(title, names, with_dots([str(i + 1) for i in shown], columns), notes)


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

    # Covariant vectors are V_t = Q_t C_t with C_t upper triangular (Ginelli et al. 2007). A step takes Q_t
    # to Q_t+1 R, so it takes V_t to Q_t+1 R C_t, and V_t+1 has to be parallel to that: C_t+1 is R C_t up to
    # the lengths of its columns. Backwards, C_t = R^-1 C_t+1, normalised. Any triangle will do at the end,
    # because what is wrong in it shrinks on the way back, by the distance of exponents in each step;
    # ``tail`` steps are left out for that. (``triangle`` is the transpose of R here.)
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
