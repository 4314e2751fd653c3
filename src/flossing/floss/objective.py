"""The flossing loss: how far the leading Lyapunov exponents are from where they should be."""

from collections.abc import Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_choice, check_finite, check_integer, check_key
from ..lyapunov._propagate import RenormaliseEvery
from ..lyapunov._segments import StoreEvery, check_store_every, steps_between_stores
from ..lyapunov._steps import Step, as_state, check_run, dimension, flatten, precision, push
from ..lyapunov.spectrum import lyapunov_spectrum
from ..surrogates import second_derivative_needed

Penalty = Literal["two-sided", "above", "below"]


def flossing_loss(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    num_exponents: int | None = None,
    targets: float | Float[Array, " k"] | Sequence[float] = 0.0,
    which: Sequence[int] | None = None,
    penalty: Penalty = "two-sided",
    num_starts: int | None = None,
    num_steps: int | None = None,
    warmup: int = 0,
    basis_warmup: int = 0,
    detach_warmup: bool = False,
    detach_states: bool = False,
    renormalise_every: RenormaliseEvery = 1,
    store_every: StoreEvery = "auto",
    key: PRNGKeyArray,
    return_exponents: bool = False,
) -> Float[Array, ""] | tuple[Float[Array, ""], Float[Array, " k"]]:
    """Mean squared distance of Lyapunov exponents from their targets (Engelken 2023).

    ``mean over i of (lambda_i - target_i)^2``, differentiable in whatever ``step`` holds or closes over.
    Minimising it is gradient flossing; with a spiking step it is surrogate gradient flossing. Directions
    that were lost (exponent minus infinity) are left out of the mean, so gradients stay finite.

    Args:
        step, state, inputs, num_steps, warmup, renormalise_every: as for ``lyapunov_spectrum``.
        basis_warmup, detach_warmup: as for ``lyapunov_spectrum``. The basis warm-up belongs to the method:
            without it the loss sees how a random basis turns into the slow directions. Where many
            exponents lie close together the basis turns slowly; then a long warm-up without derivatives
            flattens them better.
        detach_states: as for ``lyapunov_spectrum``; steadier for binary networks.
        store_every: as for ``lyapunov_spectrum``; ``"auto"`` counts all starts.
        num_exponents: k, how many leading exponents are computed; default all.
        targets: one number or k of them, nats per step.
        which: indices (from 0) of the exponents that count; default all k.
        penalty: ``"two-sided"``; ``"above"`` counts only exponents above their target; ``"below"`` only
            those below.
        num_starts: with it, ``state`` and ``inputs`` have a leading axis of that length and the
            exponents are averaged over these trajectories before they are compared with the targets,
            which reduces the noise (and the bias of its square) of a short window.
        key: random key of the tangent bases; use a fresh one in every call.
        return_exponents: also return the exponents.

    Returns:
        A scalar, or ``(scalar, exponents of shape (k,))``; lost ones are minus infinity.

    Raises:
        ValueError, TypeError: arguments that do not fit. A surrogate without a useful second derivative
        warns with ``NoSecondDerivativeWarning``.
    """
    check_choice("penalty", penalty, ("two-sided", "above", "below"))
    check_key("key", key)
    if num_starts is not None:
        num_starts = check_integer("num_starts", num_starts, 1)
        state = as_state(state)
        inputs = jax.tree.map(jnp.asarray, inputs)
        for name, tree in [("state", state), ("inputs", inputs)]:
            for leaf in jax.tree.leaves(tree):
                if jnp.ndim(leaf) == 0 or leaf.shape[0] != num_starts:
                    raise ValueError(
                        f"{name}: expected a leading axis of num_starts = {num_starts} trajectories, "
                        f"got shape {jnp.shape(leaf)}."
                    )
        one = jax.tree.map(lambda x: x[0], (state, inputs))
    else:
        one = (state, inputs)
    check_store_every("store_every", store_every)
    one_state, one_inputs, steps = check_run(step, *one, num_steps)
    _warn_without_second_derivative(step, one_state, one_inputs)
    k = dimension(one_state) if num_exponents is None else num_exponents
    goals, weights = _goals(targets, which, k)
    between = steps_between_stores(
        store_every, steps, dimension(one_state), k, precision(one_state), num_starts or 1
    )

    def spectrum(state: PyTree, inputs: PyTree, key: PRNGKeyArray) -> tuple[Array, Array]:
        result = lyapunov_spectrum(
            step,
            state,
            inputs,
            num_exponents=k,
            num_steps=num_steps,
            warmup=warmup,
            basis_warmup=basis_warmup,
            detach_warmup=detach_warmup,
            detach_states=detach_states,
            renormalise_every=renormalise_every,
            store_every=between,
            num_windows=1,
            key=key,
        )
        return result.exponents, result.lost

    if num_starts is None or num_starts == 1:
        exponents, lost = spectrum(*one, key)
    else:
        each = state, inputs, jax.random.split(key, num_starts)
        if jax.default_backend() == "cpu":
            all_exponents, all_lost = jax.lax.map(lambda one: spectrum(*one), each)
        else:
            all_exponents, all_lost = jax.vmap(spectrum)(*each)
        exponents, lost = all_exponents.mean(0), all_lost.any(0)

    weights = jnp.where(lost, 0, jnp.asarray(weights, exponents.dtype))
    error = jnp.where(lost, 0, exponents) - jnp.asarray(goals, exponents.dtype)
    if penalty == "above":
        error = jnp.maximum(error, 0)
    elif penalty == "below":
        error = jnp.minimum(error, 0)
    loss = jnp.sum(weights * jnp.square(error)) / jnp.maximum(jnp.sum(weights), 1)
    return (loss, exponents) if return_exponents else loss


def _goals(targets: Any, which: Sequence[int] | None, k: int) -> tuple[Array, np.ndarray]:
    check_finite("targets", targets)
    targets = jnp.asarray(targets)
    if targets.shape not in ((), (k,)):
        raise ValueError(
            f"targets: expected one number or {k} of them (num_exponents), got shape {targets.shape}."
        )
    weights = np.ones(k)
    if which is not None:
        indices = [check_integer("which", index, 0, k - 1) for index in which]
        if not indices or len(set(indices)) != len(indices):
            raise ValueError(f"which: expected different indices below {k}, got {list(which)}.")
        weights = np.zeros(k)
        weights[indices] = 1
    return jnp.broadcast_to(targets, (k,)), weights


def _warn_without_second_derivative(step: Step, state: PyTree, inputs: PyTree) -> None:
    first = jax.tree.map(lambda x: x[0], inputs)
    tangents = flatten(state).vector[None]
    with second_derivative_needed():
        eqx.filter_eval_shape(push, step, state, tangents, first)
