"""Finite-time Lyapunov exponents of consecutive windows."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer
from .._warn import refuse_old_names
from ._check_run import count_steps
from ._propagate import RenormaliseEvery, check_renormalise_every, whole_number
from ._segments import StoreEvery
from ._steps import Step
from .spectrum import lyapunov_spectrum


@refuse_old_names
def local_exponents(
    step: Step,
    state: PyTree,
    inputs: PyTree = None,
    *,
    window: int = 1,
    num_exponents: int | None = None,
    num_steps: int | None = None,
    state_warmup: int = 0,
    warmup: int = 0,
    renormalise_every: RenormaliseEvery = 1,
    store_every: StoreEvery = "auto",
    time_step: float | None = None,
    basis: Float[Array, "n k"] | None = None,
    tangents: PyTree = None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "windows k"]:
    """Finite-time Lyapunov exponents of consecutive windows of ``window`` steps.

    Shape ``(windows, k)``; the last window is shorter if the steps do not divide. ``window`` must be a
    multiple of ``renormalise_every``. All other arguments, units and errors are those of
    ``lyapunov_spectrum``.
    """
    check_integer("window", window, 1)
    every = whole_number(check_renormalise_every("renormalise_every", renormalise_every))
    if window % every:
        raise ValueError(
            f"window: expected a multiple of renormalise_every ({every}), got {window}."
        )
    spectrum = lyapunov_spectrum(
        step,
        state,
        inputs,
        num_exponents=num_exponents,
        num_steps=num_steps,
        state_warmup=state_warmup,
        warmup=warmup,
        renormalise_every=every,
        store_every=store_every,
        num_windows=count_steps(inputs, num_steps),
        time_step=time_step,
        basis=basis,
        tangents=tangents,
        key=key,
    )
    return _merge(spectrum.finite_time, spectrum.window_steps, window // every)


@eqx.filter_jit
def _merge(
    local: Float[Array, "intervals k"], steps: tuple[int, ...], per_window: int
) -> Float[Array, "windows k"]:
    """Weighted means over every ``per_window`` intervals."""
    weights = jnp.asarray(steps, local.dtype)[:, None]
    window = np.arange(len(steps)) // per_window
    count = int(window[-1]) + 1
    return jax.ops.segment_sum(local * weights, window, count) / jax.ops.segment_sum(
        weights, window, count
    )
