"""Lyapunov spectra of any recurrent step, differentiable in whatever the step closes over.

Algorithm: Benettin et al. 1980; Shimada & Nagashima 1979. For recurrent networks: Engelken, Wolf &
Abbott 2023. As an objective: Engelken 2023.
"""

import itertools
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key, check_positive, is_concrete
from ._basis import Basis
from ._orthonormalise import orthonormalise
from ._propagate import (
    RenormaliseEvery,
    check_renormalise_every,
    interval_lengths,
    propagate,
    whole_number,
)
from ._segments import StoreEvery, check_store_every, steps_between_stores
from ._steps import (
    DetachedStates,
    Step,
    check_run,
    detached,
    dimension,
    flatten,
    precision,
    run,
    take,
)
from .measures import entropy_rate, kaplan_yorke_dimension


class LostDirectionsWarning(UserWarning):
    """Some tangent directions were mapped to zero: their exponents are minus infinity."""


class LyapunovSpectrum(eqx.Module):
    """Lyapunov exponents, largest first as the algorithm finds them, and how well they are known.

    Exponents are in nats per step, or per unit of time when a ``time_step`` was given (see ``unit``).
    """

    exponents: Float[Array, " k"]
    """Mean over the counted steps; minus infinity for a lost direction."""
    standard_errors: Float[Array, " k"]
    """From the spread of the windows, taken as independent; infinite with one window. No gradient."""
    finite_time: Float[Array, "windows k"]
    """Local exponents of each window; their mean weighted by ``window_steps`` is ``exponents``."""
    window_steps: tuple[int, ...] = eqx.field(static=True)
    lost: Bool[Array, " k"]
    """Which directions were lost, for example to an exact reset."""
    final_state: PyTree
    final_basis: Float[Array, "n k"]
    """Orthonormal tangent basis at the end; zero columns for lost directions."""
    state_dimension: int = eqx.field(static=True)
    time_step: float | None = eqx.field(static=True)

    @property
    def num_steps(self) -> int:
        """Number of counted steps."""
        return sum(self.window_steps)

    @property
    def unit(self) -> str:
        """``"nats per step"`` or ``"nats per unit time"``."""
        return "nats per step" if self.time_step is None else "nats per unit time"

    @property
    def kaplan_yorke_dimension(self) -> Float[Array, ""]:
        """See ``fl.kaplan_yorke_dimension``."""
        return kaplan_yorke_dimension(self.exponents, self.state_dimension)

    @property
    def entropy_rate(self) -> Float[Array, ""]:
        """See ``fl.entropy_rate``; in ``unit``."""
        return entropy_rate(self.exponents, self.state_dimension)


def lyapunov_spectrum(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    num_exponents: int | None = None,
    num_steps: int | None = None,
    warmup: int = 0,
    basis_warmup: int = 0,
    detach_warmup: bool = False,
    detach_states: bool = False,
    renormalise_every: RenormaliseEvery = 1,
    store_every: StoreEvery = "auto",
    num_windows: int = 10,
    time_step: float | None = None,
    basis: Float[Array, "n k"] | None = None,
    key: PRNGKeyArray | None = None,
) -> LyapunovSpectrum:
    """The leading ``num_exponents`` Lyapunov exponents along one trajectory.

    Tangent vectors are pushed by forward mode and orthonormalised: ``Q_t R_t = D_t Q_{t-1}`` with ``D_t``
    the Jacobian of the step, ``lambda_i`` the mean of ``log R_ii`` over the counted steps. The dense
    Jacobian is never formed. Differentiable, also repeatedly, in everything ``step`` closes over or
    holds as a pytree, and in ``state`` and ``inputs``. Gradients of long-time exponents of a chaotic
    system grow like ``exp(lambda_1 T)``: keep windows short there.

    Args:
        step: ``step(state, input) -> state``.
        state: any pytree; its floating-point arrays are the N state variables.
        inputs: pytree of arrays with time as leading axis, or ``None`` for an autonomous system, whose
            step is called with ``input=None``.
        num_exponents: k, at most N; default all N.
        num_steps: number of steps in total, warm-up included; needed without inputs.
        warmup: first steps, in which only the state moves.
        basis_warmup: the steps after those, in which tangents are pushed but not counted.
        detach_warmup: derivatives take the state and the tangents after both warm-ups as given, so that only
            counted steps are differentiated: a long warm-up then costs little, and cannot make gradients
            explode. What is left out is how the directions themselves turn.
        detach_states: derivatives go back through each state for one step only: they see what parameters do
            to the Jacobians and, in the step before, to the states at which these are taken. How changes of
            the states add up over time is left out. The exponents are the same. For networks of spikes,
            whose states have no true derivative: what is left out is a chain of surrogate derivatives.
        renormalise_every: steps between orthonormalisations. The exponents do not depend on it while
            the tangents stay independent to working precision. ``"auto"`` chooses it along the way, from
            how fast they lose their independence; the wider the spectrum, the more often. It is faster on
            a CPU, and takes longer to compile.
        store_every: steps between the states and tangents that are stored for the backward pass of a
            gradient. What lies between is computed once more. 1 stores all steps, about ``k (N + k)``
            numbers each. ``"auto"`` does so if they take up to 1 GiB; beyond, it stores every
            ``sqrt(T / 2)`` steps, which needs a multiple of ``sqrt(T)`` instead of ``T`` times that; what
            grows like ``T`` are a few times ``k`` numbers per step. Results are the same.
        num_windows: windows of equal length (as far as possible) for the standard errors.
        time_step: length of a step in time units; exponents are then per unit time.
        basis: start tangents, shape (N, k), orthonormalised before use; default random from ``key``. A
            zero column is a lost direction, as in ``final_basis``.
        key: random key of the start basis; needed unless ``basis`` is given.

    Returns:
        A ``LyapunovSpectrum``.

    Raises:
        ValueError, TypeError: arguments that do not fit, a state that is or becomes NaN (when not traced).
    """
    state, inputs, steps = check_run(step, state, inputs, num_steps)
    n = dimension(state)
    if basis is not None:
        basis = jnp.asarray(basis)
        k = basis.shape[-1] if num_exponents is None else num_exponents
        if basis.shape != (n, k):
            raise ValueError(f"basis: expected shape {(n, k)}, got {basis.shape}.")
        if is_concrete(basis) and not np.isfinite(np.asarray(basis)).all():
            raise ValueError("basis: has NaN or infinite entries.")
    else:
        check_key("key", key)
        k = n if num_exponents is None else num_exponents
    check_integer("num_exponents", k, 1)
    if k > n:
        raise ValueError(f"num_exponents: got {k}, but the state has only {n} dimensions.")
    check_integer("warmup", warmup, 0)
    check_integer("basis_warmup", basis_warmup, 0)
    check_renormalise_every("renormalise_every", renormalise_every)
    check_store_every("store_every", store_every)
    check_integer("num_windows", num_windows, 1)
    counted = steps - warmup - basis_warmup
    if counted < 1:
        raise ValueError(
            f"warmup, basis_warmup: {warmup} + {basis_warmup} steps leave none of {steps} to count."
        )
    if time_step is not None:
        check_positive("time_step", time_step)
        time_step = float(time_step)

    spectrum, log_growth = _spectrum(
        DetachedStates(step) if detach_states else step,
        state, inputs, basis, key, k, steps, warmup, basis_warmup, detach_warmup,
        renormalise_every, num_windows, time_step,
        steps_between_stores(store_every, steps, n, k, precision(state)),
    )  # fmt: skip
    if is_concrete((spectrum, log_growth)):
        every = whole_number(renormalise_every)
        _report(spectrum, log_growth, warmup + basis_warmup, every)
    return spectrum


@eqx.filter_jit
def _spectrum(
    step: Step,
    state: PyTree,
    inputs: PyTree,
    basis: Array | None,
    key: PRNGKeyArray | None,
    k: int,
    steps: int,
    warmup: int,
    basis_warmup: int,
    detach_warmup: bool,
    renormalise_every: RenormaliseEvery,
    num_windows: int,
    time_step: float | None,
    store_every: int,
) -> tuple[LyapunovSpectrum, Array]:
    vector = flatten(state).vector
    n = vector.size
    if basis is None:
        assert key is not None
        tangents = Basis.random(key, n, k, vector.dtype)
    else:
        given = orthonormalise(orthonormalise(basis.T.astype(vector.dtype)).vectors)
        tangents = Basis(given.vectors, given.alive, jnp.arange(k))
    before = detached((step, state, inputs)) if detach_warmup else (step, state, inputs)
    early, state, early_inputs = before
    state = run(early, state, take(early_inputs, 0, warmup), warmup, store_every)
    start = warmup + basis_warmup
    counted = steps - start
    # One loop over both, where there can be: the program is half as long.
    together = not detach_warmup and basis_warmup % whole_number(renormalise_every) == 0
    if basis_warmup and not together:
        state, tangents, _, _ = propagate(
            early, state, tangents, take(early_inputs, warmup, start), basis_warmup,
            renormalise_every, store_every=store_every,
        )  # fmt: skip
        tangents = tangents._replace(origin=jnp.arange(k))
    if detach_warmup:
        state, tangents = detached((state, tangents))
    first = len(interval_lengths(basis_warmup, renormalise_every)) if together else 0
    lengths = interval_lengths(counted, renormalise_every)
    parts = min(num_windows, len(lengths))
    edges = [round(i * len(lengths) / parts) for i in range(parts + 1)]
    begin = warmup if together else start
    state, tangents, logs, _ = propagate(
        step, state, tangents, take(inputs, begin, steps), steps - begin, renormalise_every,
        edges=[first + edge for edge in edges], store_every=store_every,
    )  # fmt: skip
    logs = jax.tree.map(lambda rows: rows[first:], logs)
    window_steps = tuple(sum(lengths[a:b]) for a, b in itertools.pairwise(edges))
    window = np.repeat(np.arange(parts), np.diff(edges))
    unit = 1.0 if time_step is None else time_step

    order = tangents.origin
    sums = jax.ops.segment_sum(logs.log_growth, window, parts)[:, order]
    lost = jax.ops.segment_max(logs.lost.astype(int), window, parts)[:, order] > 0
    spans = jnp.asarray(window_steps, vector.dtype)[:, None]
    mean = sums.sum(0) / (counted * unit)
    local = sums / (spans * unit)
    if parts > 1:
        variance = jnp.sum(spans / counted * jnp.square(local - mean), 0) / (parts - 1)
        errors = jnp.sqrt(jax.lax.stop_gradient(variance))
    else:
        errors = jnp.full_like(mean, jnp.inf)
    gone = ~tangents.alive
    return LyapunovSpectrum(
        exponents=jnp.where(gone, -jnp.inf, mean),
        standard_errors=jnp.where(gone, 0, errors),
        finite_time=jnp.where(lost, -jnp.inf, local),
        window_steps=window_steps,
        lost=gone,
        final_state=state,
        final_basis=tangents.vectors.T,
        state_dimension=n,
        time_step=time_step,
    ), logs.log_growth


def _report(spectrum: LyapunovSpectrum, log_growth: Array, start: int, every: int) -> None:
    """Raises or warns about what traced code could not."""
    bad = np.argwhere(~np.isfinite(np.asarray(log_growth)))
    finite_state = all(
        bool(jnp.isfinite(x).all())
        for x in jax.tree.leaves(eqx.filter(spectrum.final_state, eqx.is_inexact_array))
    )
    if bad.size or not finite_state:
        end = min(int(bad[0][0] + 1) * every, spectrum.num_steps) if bad.size else 0
        when = f"by step {start + end}" if bad.size else "at the end"
        raise ValueError(
            f"step: the state or its tangents became NaN or infinite {when}; "
            "look at the step, its parameters and its inputs there."
        )
    lost = np.flatnonzero(spectrum.lost)
    if lost.size:
        warnings.warn(
            f"{lost.size} of {spectrum.lost.size} tangent directions were lost (mapped to zero, or too "
            f"small for {spectrum.exponents.dtype} next to the others): exponents number "
            f"{_ranges(lost + 1)} are minus infinity. At most {spectrum.lost.size - lost.size} exponents "
            "are finite here; use that many, renormalise more often, or use another reset.",
            LostDirectionsWarning,
            stacklevel=3,
        )


def _ranges(numbers: np.ndarray) -> str:
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first + 1 == numbers.size:
        return str(first) if first == last else f"{first} to {last}"
    return ", ".join(map(str, numbers.tolist()))
