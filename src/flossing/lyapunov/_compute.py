"""The program behind a spectrum, for arguments that are checked."""

import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._checks import check_integer, check_positive
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
from ._steps import Step, detached, dimension, flatten, precision, run, take, whole
from .result import LyapunovSpectrum


class Plan(NamedTuple):
    """What a spectrum is computed from, beside step, state, inputs and basis; see ``lyapunov_spectrum``."""

    num_exponents: int
    num_steps: int
    state_warmup: int
    warmup: int
    detach_warmup: bool
    renormalise_every: RenormaliseEvery
    store_every: int
    num_windows: int
    time_step: float | None

    @classmethod
    def of(
        cls,
        state: PyTree,
        num_exponents: int,
        num_steps: int,
        state_warmup: int,
        warmup: int,
        detach_warmup: bool,
        renormalise_every: RenormaliseEvery,
        store_every: StoreEvery,
        num_windows: int,
        time_step: float | None,
        copies: int = 1,
    ) -> "Plan":
        """Checks all of it; ``copies`` is the number of trajectories that the memory has to hold."""
        n = dimension(state)
        check_integer("num_exponents", num_exponents, 1)
        if num_exponents > n:
            raise ValueError(
                f"num_exponents: got {num_exponents}, but the state has only {n} dimensions."
            )
        check_integer("state_warmup", state_warmup, 0)
        check_integer("warmup", warmup, 0)
        check_renormalise_every("renormalise_every", renormalise_every)
        check_store_every("store_every", store_every)
        if num_steps - state_warmup - warmup < 1:
            raise ValueError(
                f"state_warmup, warmup: {state_warmup} + {warmup} steps leave none of {num_steps} to count."
            )
        if time_step is not None:
            check_positive("time_step", time_step)
            time_step = float(time_step)
        between = steps_between_stores(
            store_every, num_steps, n, num_exponents, precision(state), copies
        )
        return cls(
            num_exponents, num_steps, state_warmup, warmup, detach_warmup, renormalise_every, between,
            num_windows, time_step,
        )  # fmt: skip


@eqx.filter_jit
def compute_spectrum(
    step: Step,
    state: PyTree,
    inputs: PyTree,
    basis: Array | None,
    key: PRNGKeyArray | None,
    plan: Plan,
) -> tuple[LyapunovSpectrum, Array]:
    """The spectrum of checked arguments, and the logarithmic growth of each interval."""
    k, steps, state_warmup, warmup, detach_warmup, every, store_every, num_windows, time_step = plan
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
    state = run(early, state, take(early_inputs, 0, state_warmup), state_warmup, store_every)
    start = state_warmup + warmup
    counted = steps - start
    # One loop over both, where there can be: the program is half as long.
    together = not detach_warmup and warmup % whole_number(every) == 0
    if warmup and not together:
        state, tangents, _, _ = propagate(
            early, state, tangents, take(early_inputs, state_warmup, start), warmup,
            every, store_every=store_every,
        )  # fmt: skip
        tangents = tangents._replace(origin=jnp.arange(k))
    if detach_warmup:
        state, tangents = detached((state, tangents))
    first = len(interval_lengths(warmup, every)) if together else 0
    lengths = interval_lengths(counted, every)
    parts = min(num_windows, len(lengths))
    edges = [round(i * len(lengths) / parts) for i in range(parts + 1)]
    begin = state_warmup if together else start
    state, tangents, logs, _ = propagate(
        step, state, tangents, take(inputs, begin, steps), steps - begin, every,
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
        variance = jnp.sum(spans / counted * jnp.square(local - mean[None]), 0) / (parts - 1)
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
        final_state=whole(state),
        final_basis=tangents.vectors.T,
        state_dimension=n,
        time_step=time_step,
    ), logs.log_growth
