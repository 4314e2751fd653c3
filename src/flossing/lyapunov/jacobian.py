"""The Jacobian over a long horizon: itself, its singular values, its condition number, its gradients."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key, is_concrete
from .._norms import log_norm, norm, with_norm
from ._basis import Basis, renormalise
from ._check_run import check_run
from ._steps import Step, dimension, flatten, pull, push, whole


def long_term_jacobian(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    num_steps: int | None = None,
    tangents: PyTree = None,
) -> Float[Array, "n n"]:
    """The dense product of the Jacobians along a trajectory, the last one first, shape ``(N, N)``.

    Entry ``[i, j]`` is the derivative of state variable ``i`` at the end with respect to state variable
    ``j`` at the start; leaves are ordered as ``jax.tree.leaves`` orders them, and of a complex leaf all real
    parts come before all imaginary parts. For long horizons its small singular values drown in rounding
    errors: use ``log_singular_values``.

    Args:
        step, state, inputs, num_steps, tangents: as for ``lyapunov_spectrum``.

    Raises:
        ValueError, TypeError: arguments that do not fit; a product that overflows.
    """
    step, state, inputs, steps = check_run(step, state, inputs, num_steps, tangents)
    matrix = _dense(step, state, inputs, steps)
    if is_concrete(matrix) and not bool(jnp.isfinite(matrix).all()):
        raise ValueError(
            f"step: the Jacobian over {steps} steps overflows {matrix.dtype} or is NaN; "
            "use log_singular_values, or fewer steps."
        )
    return matrix


@eqx.filter_jit
def _dense(step: Step, state: PyTree, inputs: PyTree, steps: int) -> Array:
    vector = flatten(state).vector
    start = (state, jnp.eye(vector.size, dtype=vector.dtype))
    (_, matrix), _ = jax.lax.scan(
        lambda c, u: (push(step, *c, u), None), start, inputs, length=steps
    )
    return matrix.T


def log_singular_values(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    num_directions: int | None = None,
    num_steps: int | None = None,
    max_sweeps: int = 20,
    tangents: PyTree = None,
    key: PRNGKeyArray,
) -> Float[Array, " m"]:
    """Natural logarithms of the largest singular values of the long-term Jacobian, descending.

    Orthogonal iteration forward and backward along the trajectory, with QR at every step: each value is
    found with its own relative precision, however far apart they are, and nothing overflows. A
    direction that is mapped to zero gives minus infinity. Values closer to each other than a few per
    cent converge slowly; what is left after ``max_sweeps`` is a mixture within such a cluster.

    Args:
        step, state, inputs, num_steps, tangents: as for ``lyapunov_spectrum``.
        num_directions: m, at most N; default all.
        max_sweeps: forward and backward passes; it stops sooner when no value moves by 1e-4.
        key: random key of the start basis.

    Raises:
        ValueError, TypeError: arguments that do not fit, or a result that is NaN.

    Source of the method: Dieci & Elia 2008 (singular values of long products by QR iteration).
    """
    step, state, inputs, steps = check_run(step, state, inputs, num_steps, tangents)
    n = dimension(state)
    m = n if num_directions is None else check_integer("num_directions", num_directions, 1)
    if m > n:
        raise ValueError(f"num_directions: got {m}, but the state has only {n} dimensions.")
    check_integer("max_sweeps", max_sweeps, 1)
    check_key("key", key)
    logs = _log_singular_values(step, state, inputs, m, steps, max_sweeps, key)
    if is_concrete(logs) and bool(jnp.isnan(logs).any()):
        raise ValueError(
            "step: the state or its Jacobian became NaN or infinite along the trajectory."
        )
    return logs


@eqx.filter_jit
def _log_singular_values(
    step: Step,
    state: PyTree,
    inputs: PyTree,
    m: int,
    steps: int,
    max_sweeps: int,
    key: PRNGKeyArray,
) -> Array:
    vector = flatten(state).vector
    _, states = jax.lax.scan(lambda s, u: (step(s, u), s), state, inputs, length=steps)
    basis = Basis.random(key, vector.size, m, vector.dtype)

    def scaled(basis: Basis, vectors: Array) -> tuple[Basis, Array]:
        basis, factors = renormalise(basis._replace(vectors=vectors))
        logs = factors.log_growth
        return basis, jnp.zeros_like(logs).at[basis.origin].set(logs)

    def forward(basis: Basis, at: tuple) -> tuple[Basis, Array]:
        return scaled(basis, push(step, at[0], basis.vectors, at[1])[1])

    def backward(basis: Basis, at: tuple) -> tuple[Basis, Array]:
        rows = jax.vmap(lambda row: pull(step, at[0], row, at[1]))
        return scaled(basis, rows(basis.vectors))

    def traverse(basis: Basis, body: Callable, reverse: bool) -> tuple[Basis, Array]:
        basis = basis._replace(origin=jnp.arange(m))
        basis, logs = jax.lax.scan(body, basis, (states, inputs), length=steps, reverse=reverse)
        basis, last = scaled(basis, basis.vectors)
        total = (logs.sum(0) + last)[basis.origin]
        return basis, jnp.where(basis.alive, total, -jnp.inf)

    def sweep(carry: tuple) -> tuple:
        basis, old, _, count = carry
        basis, new = traverse(basis, forward, False)
        basis, _ = traverse(basis, backward, True)
        moved = jnp.max(jnp.where(new == old, 0, jnp.abs(new - old)))
        return basis, new, moved, count + 1

    start = (basis, jnp.zeros(m, vector.dtype), jnp.asarray(jnp.inf, vector.dtype), 0)
    _, logs, _, _ = jax.lax.while_loop(
        lambda carry: (carry[2] > 1e-4) & (carry[3] < max_sweeps), sweep, sweep(start)
    )
    return jnp.sort(logs)[::-1]


def condition_number(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    num_directions: int | None = None,
    num_steps: int | None = None,
    log: bool = False,
    tangents: PyTree = None,
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """Ratio of the first to the m-th singular value of the long-term Jacobian.

    It grows like ``exp((lambda_1 - lambda_m) T)`` (Engelken 2023): it says over how many orders of
    magnitude the error signals of the m slowest directions are spread.

    Args:
        num_directions: m; default N, the condition number of the whole Jacobian.
        log: return the natural logarithm, which does not overflow.
        step, state, inputs, num_steps, tangents, key: as for ``log_singular_values``.

    Raises:
        ValueError, TypeError: as ``log_singular_values``; and, without ``log``, a ratio too large for the
            dtype (as for a direction that is mapped to zero).
    """
    logs = log_singular_values(
        step, state, inputs, num_directions=num_directions, num_steps=num_steps, tangents=tangents,
        key=key,
    )  # fmt: skip
    ratio = logs[0] - logs[-1]
    if log:
        return ratio
    number = jnp.exp(ratio)
    if is_concrete(number) and not bool(jnp.isfinite(number)):
        raise ValueError(
            f"condition_number: exp({float(ratio):.1f}) does not fit {number.dtype}; use log=True."
        )
    return number


def gradient_norms(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    loss: Callable[[PyTree], Float[Array, ""]] | None = None,
    num_steps: int | None = None,
    log: bool = False,
    tangents: PyTree = None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, " times"]:
    """Norm of the gradient of a loss of the final state with respect to the state at every earlier time.

    Backpropagation through time that renormalises the error signal at each step, so that it neither
    overflows nor underflows before the end.

    Args:
        step, state, inputs, num_steps, tangents: as for ``lyapunov_spectrum``.
        loss: function of the final state. Without it a random unit vector from ``key`` stands for the
            gradient at the end.
        log: return natural logarithms.
        key: random key, needed without ``loss``.

    Returns:
        Shape ``(T + 1,)``: entry ``t`` belongs to the state before step ``t``, the last to the final state.

    Raises:
        ValueError, TypeError: arguments that do not fit, a gradient that is NaN; and, without ``log``, a norm
            too large or too small for the dtype.
    """
    step, state, inputs, steps = check_run(step, state, inputs, num_steps, tangents)
    if loss is None:
        check_key("key", key)
    logs = _log_gradient_norms(step, state, inputs, steps, loss, key)
    if is_concrete(logs) and bool(jnp.isnan(logs).any()):
        last = int(jnp.flatnonzero(jnp.isnan(logs))[-1])
        raise ValueError(f"step: the gradient is NaN at time {last} and before it.")
    if log:
        return logs
    norms = jnp.exp(logs)
    if is_concrete(norms):
        outside = np.isfinite(logs) & ~((norms > 0) & (norms < np.inf))
        if outside.any():
            worst = float(logs[int(np.argmax(outside))])
            raise ValueError(
                f"gradient_norms: exp({worst:.1f}) does not fit {norms.dtype}; use log=True."
            )
    return norms


@eqx.filter_jit
def _log_gradient_norms(
    step: Step,
    state: PyTree,
    inputs: PyTree,
    steps: int,
    loss: Callable | None,
    key: PRNGKeyArray | None,
) -> Array:
    final, states = jax.lax.scan(lambda s, u: (step(s, u), s), state, inputs, length=steps)
    vector, unravel = flatten(final)
    if loss is None:
        assert key is not None
        cotangent = jax.random.normal(key, vector.shape, vector.dtype)
        cotangent = cotangent / norm(cotangent)
    else:
        cotangent = jax.grad(lambda flat: loss(whole(unravel(flat))))(vector)

    def normalise(vector: Array) -> tuple[Array, Array]:
        return with_norm(vector, 1), log_norm(vector)

    def back(carry: tuple, at: tuple) -> tuple[tuple, Array]:
        unit, total = carry
        unit, growth = normalise(pull(step, at[0], unit, at[1]))
        return (unit, total + growth), total + growth

    start = normalise(cotangent)
    _, logs = jax.lax.scan(back, start, (states, inputs), length=steps, reverse=True)
    return jnp.append(logs, start[1])
