"""The flossing loss: how far the leading Lyapunov exponents are from where they should be."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._checks import check_choice, check_finite, check_integer, check_key, has_values, is_concrete
from .._readable import Summary, in_a_line, readable
from .._warn import refuse_old_names
from ..lyapunov._check_run import as_state, check_run, first_of, one_tangent
from ..lyapunov._compute import Plan, compute_spectrum
from ..lyapunov._propagate import RenormaliseEvery, whole_number
from ..lyapunov._segments import StoreEvery
from ..lyapunov._steps import DetachedStates, PartialState, Step, dimension, push
from ..lyapunov.result import check_result, warn_of_lost
from ..surrogates import second_derivative_needed

Penalty = Literal["two-sided", "above", "below"]


@readable
class FlossingInfo(NamedTuple):
    """What a flossing loss was computed from."""

    exponents: Float[Array, " k"]
    """Averaged over the starts; minus infinity for lost directions."""
    num_lost: Int[Array, ""]
    """How many directions were lost, along any of the starts."""

    def _summary(self) -> Summary | None:
        return in_a_line(self) if has_values(*self) else None


@refuse_old_names
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
    state_warmup: int = 0,
    warmup: int = 0,
    detach_warmup: bool = False,
    detach_states: bool = False,
    renormalise_every: RenormaliseEvery = 1,
    store_every: StoreEvery = "auto",
    time_step: float | None = None,
    tangents: PyTree = None,
    key: PRNGKeyArray,
    has_aux: bool = False,
) -> Float[Array, ""] | tuple[Float[Array, ""], FlossingInfo]:
    """Mean squared distance of Lyapunov exponents from their targets (Engelken 2023).

    ``mean over i of (lambda_i - target_i)^2``, differentiable in whatever ``step`` holds or closes over.
    Minimising it is gradient flossing; with a spiking step it is surrogate gradient flossing.

    Directions that were lost (exponent minus infinity) have no gradient. They are left out of the mean,
    which is then over those that remain; where all that count are lost, the loss is infinite. Their number
    is reported: with ``has_aux`` beside the loss, else by a ``LostDirectionsWarning``, under ``jax.jit`` too.

    Args:
        step, state, inputs, num_steps, state_warmup, renormalise_every, tangents: as for
            ``lyapunov_spectrum``.
        warmup, detach_warmup: as for ``lyapunov_spectrum``. The warm-up belongs to the method: without it the
            loss sees how a random basis turns into the slow directions. Where many exponents lie close
            together the basis turns slowly; then a long warm-up without derivatives flattens them
            better.
        detach_states: as for ``lyapunov_spectrum``; steadier for binary networks.
        store_every: as for ``lyapunov_spectrum``; ``"auto"`` counts all starts.
        num_exponents: k, how many leading exponents are computed; default all.
        targets: one number or k of them, in nats per step, or per unit of time with ``time_step``.
        which: indices (from 0) of the exponents that count; default all k.
        penalty: ``"two-sided"``; ``"above"`` counts only exponents above their target; ``"below"`` only
            those below.
        num_starts: with it, ``state`` and ``inputs`` have a leading axis of that length and the
            exponents are averaged over these trajectories before they are compared with the targets,
            which reduces the noise (and the bias of its square) of a short window.
        time_step: length of a step in units of time, in which exponents and targets then are.
        key: random key of the tangent bases; use a fresh one in every call.
        has_aux: also return a ``FlossingInfo``, as ``jax.value_and_grad`` takes it, and do not warn of lost
            directions.

    Returns:
        A scalar, or ``(scalar, FlossingInfo)``.

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
        first = first_of((state, inputs))
    else:
        first = (state, inputs)
    step, one_state, one_inputs, steps = check_run(step, *first, num_steps, tangents)
    _warn_without_second_derivative(step, one_state, one_inputs)
    k = dimension(one_state) if num_exponents is None else num_exponents
    plan = Plan.of(
        one_state, k, steps, state_warmup, warmup, detach_warmup, renormalise_every, store_every,
        num_windows=1, time_step=time_step, copies=num_starts or 1,
    )  # fmt: skip
    goals, weights = _goals(targets, which, k)
    if detach_states:
        step = DetachedStates(step)
    starts = (state, inputs) if num_starts not in (None, 1) else (one_state, one_inputs)
    (loss, info), lost, results = _loss(
        step, *starts, goals, key, tangents, weights, penalty, plan, num_starts
    )
    if results is not None and is_concrete(results):
        check_result(*results, state_warmup + warmup, whole_number(renormalise_every))
    if not has_aux:
        _say_lost(lost)
    return (loss, info) if has_aux else loss


@eqx.filter_jit
def _loss(
    step: Step,
    state: PyTree,
    inputs: PyTree,
    goals: Array,
    key: PRNGKeyArray,
    tangents: PyTree,
    weights: tuple[int, ...],
    penalty: Penalty,
    plan: Plan,
    num_starts: int | None,
) -> tuple[tuple[Array, FlossingInfo], Array, Any]:
    """The loss with its information, which directions were lost, and what ``check_result`` looks at."""
    if num_starts is None or num_starts == 1:
        results = compute_spectrum(step, state, inputs, None, key, plan)
        exponents, lost = results[0].exponents, results[0].lost
    else:
        results = None
        exponents, lost = _mean_over_starts(step, state, inputs, tangents, key, plan, num_starts)
    counted = jnp.where(lost, 0, jnp.asarray(weights, exponents.dtype))
    error = jnp.where(lost, 0, exponents) - goals.astype(exponents.dtype)
    if penalty == "above":
        error = jnp.maximum(error, 0)
    elif penalty == "below":
        error = jnp.minimum(error, 0)
    loss = jnp.sum(counted * jnp.square(error)) / jnp.maximum(jnp.sum(counted), 1)
    loss = jnp.where(jnp.sum(counted) > 0, loss, jnp.inf)
    return (loss, FlossingInfo(exponents, jnp.sum(lost))), lost, results


def _mean_over_starts(
    step: Step,
    states: PyTree,
    inputs: PyTree,
    tangents: PyTree,
    key: PRNGKeyArray,
    plan: Plan,
    num_starts: int,
) -> tuple[Array, Array]:
    """Exponents averaged over trajectories, and which directions were lost along any of them."""

    def of_one(state: PyTree, inputs: PyTree, key: Array) -> tuple[Array, Array]:
        if tangents is not None:
            state = PartialState(*eqx.partition(state, tangents))
        spectrum, _ = compute_spectrum(step, state, inputs, None, key, plan)
        return spectrum.exponents, spectrum.lost

    each = states, inputs, jax.random.split(key, num_starts)
    if jax.default_backend() == "cpu":
        exponents, lost = jax.lax.map(lambda arguments: of_one(*arguments), each)
    else:
        exponents, lost = jax.vmap(of_one)(*each)
    return exponents.mean(0), lost.any(0)


def _say_lost(lost: Bool[Array, " k"]) -> None:
    """Warns of lost directions, now or when a traced program finds them."""
    if is_concrete(lost):
        warn_of_lost(lost)
    else:
        jax.lax.cond(lost.any(), lambda: jax.debug.callback(warn_of_lost, lost), lambda: None)


def _goals(targets: Any, which: Sequence[int] | None, k: int) -> tuple[Array, tuple[int, ...]]:
    """Targets, one or k of them, and 1 for each exponent that counts, 0 for the others."""
    check_finite("targets", targets)
    targets = jnp.asarray(targets)
    if targets.shape not in ((), (k,)):
        raise ValueError(
            f"targets: expected one number or {k} of them (num_exponents), got shape {targets.shape}."
        )
    if which is None:
        return targets, (1,) * k
    indices = [check_integer("which", index, 0, k - 1) for index in which]
    if not indices or len(set(indices)) != len(indices):
        raise ValueError(f"which: expected different indices below {k}, got {list(which)}.")
    return targets, tuple(int(i in indices) for i in range(k))


def _warn_without_second_derivative(step: Step, state: PyTree, inputs: PyTree) -> None:
    with second_derivative_needed():
        eqx.filter_eval_shape(push, step, state, one_tangent(state), first_of(inputs))
