"""Lyapunov spectra of any recurrent step, differentiable in whatever the step closes over.

Algorithm: Benettin et al. 1980; Shimada & Nagashima 1979. For recurrent networks: Engelken, Wolf &
Abbott 2023. As an objective: Engelken 2023.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key, is_concrete
from .._warn import refuse_old_names
from ._check_run import check_run
from ._compute import Plan, compute_spectrum
from ._propagate import RenormaliseEvery, whole_number
from ._segments import StoreEvery
from ._steps import DetachedStates, Step, dimension
from .result import LyapunovSpectrum, check_result, warn_of_lost


@refuse_old_names
def lyapunov_spectrum(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    num_exponents: int | None = None,
    num_steps: int | None = None,
    state_warmup: int = 0,
    warmup: int = 0,
    detach_warmup: bool = False,
    detach_states: bool = False,
    renormalise_every: RenormaliseEvery = 1,
    store_every: StoreEvery = "auto",
    num_windows: int = 10,
    time_step: float | None = None,
    basis: Float[Array, "n k"] | None = None,
    tangents: PyTree = None,
    key: PRNGKeyArray | None = None,
) -> LyapunovSpectrum:
    """The leading ``num_exponents`` Lyapunov exponents along one trajectory.

    Tangent vectors are pushed by forward mode and orthonormalised: ``Q_t R_t = D_t Q_{t-1}`` with ``D_t``
    the Jacobian of the step, ``lambda_i`` the mean of ``log R_ii`` over the counted steps. The dense
    Jacobian is never formed. Differentiable, also repeatedly (once where directions are lost), in
    everything ``step`` closes over or holds as a pytree, and in ``state`` and ``inputs``. Gradients of
    long-time exponents of a chaotic system grow like ``exp(lambda_1 T)``: keep windows short there.

    Args:
        step: ``step(state, input) -> state``.
        state: any pytree; its floating-point arrays are the N state variables. A complex number counts as
            two. Tangents of half-precision states are float32 between steps.
        inputs: pytree of arrays with time as leading axis, or ``None`` for an autonomous system, whose
            step is called with ``input=None``.
        num_exponents: k, at most N; default all N.
        num_steps: number of steps in total, warm-up included; needed without inputs.
        state_warmup: first steps, in which only the state moves.
        warmup: the steps after those, in which state and tangents move and nothing is counted: the start
            basis turns into the leading directions.
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
        tangents: which leaves of the state carry perturbations, as a filter of ``equinox.partition``: a
            pytree of the state's form, or of its upper levels, with True, False or functions of a
            leaf. Default: all floating-point arrays. The others move as ever, and have no exponents;
            leave out clocks, running means and traces that do not act back.
        key: random key of the start basis; needed unless ``basis`` is given.

    Returns:
        A ``LyapunovSpectrum``.

    Raises:
        ValueError, TypeError: arguments that do not fit, a state that is or becomes NaN (when not traced).

    Warns with ``LostDirectionsWarning`` when directions are lost, and with ``StepWarning`` of a batch
    taken for one system, of leaves that are no part of the dynamics, of a step without forward mode and of
    one that is compiled again and again.
    """
    step, state, inputs, steps = check_run(step, state, inputs, num_steps, tangents)
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
    check_integer("num_windows", num_windows, 1)
    plan = Plan.of(
        state, k, steps, state_warmup, warmup, detach_warmup, renormalise_every, store_every,
        num_windows, time_step,
    )  # fmt: skip
    if detach_states:
        step = DetachedStates(step)
    spectrum, log_growth = compute_spectrum(step, state, inputs, basis, key, plan)
    if is_concrete((spectrum, log_growth)):
        start, every = state_warmup + warmup, whole_number(renormalise_every)
        check_result(spectrum, log_growth, start, every)
        warn_of_lost(spectrum.lost)
    return spectrum
