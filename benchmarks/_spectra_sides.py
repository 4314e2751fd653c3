"""How each library is asked for a spectrum: from the same start, with the unit vectors as first tangents.

A side gets a system, the number of exponents, of steps, and of steps between renormalisations, and returns
a function without arguments that returns the exponents when they are there, or ``None`` where the library
does not offer that.
"""

import os
from collections.abc import Callable
from importlib import util
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("TQDM_DISABLE", "1")  # clvlib shows a progress bar

import jax
import jax.numpy as jnp
import numpy as np
from _spectra_systems import System

import flossing as fl

Run = Callable[[], np.ndarray]


def ours(system: System, k: int, steps: int, every: Any) -> Run:
    """``fl.lyapunov_spectrum``, compiled as a whole; ``every`` may be "auto"."""

    @jax.jit
    def compiled(start: Any, basis: Any) -> Any:
        return fl.lyapunov_spectrum(
            lambda state, input: system.step(state),
            start,
            num_steps=steps,
            basis=basis,
            renormalise_every=every,
            time_step=system.time_step,
        ).exponents

    start, basis = jnp.asarray(system.start), jnp.eye(system.size)[:, :k]
    return lambda: np.asarray(compiled(start, basis))


def lyapax(system: System, k: int, steps: int, every: int) -> Run:
    """Compiled as a whole; a checkpoint gives it the start basis."""
    import lyapax
    from lyapax.core import LyapunovCheckpoint

    @jax.jit
    def compiled(start: Any, basis: Any) -> Any:
        begin = LyapunovCheckpoint(start, basis, jnp.zeros(k), jnp.zeros(()), None)
        return lyapax.lyapunov_spectrum(
            system.step, start, system.unit, steps, k=k, renorm_every=every, resume=begin
        ).exponents

    start, basis = jnp.asarray(system.start), jnp.eye(system.size)[:, :k]
    return lambda: np.asarray(compiled(start, basis))


def chaotax(system: System, k: int, steps: int, every: int) -> Run | None:
    """Compiled as a whole. It renormalises at every step.

    As released it cannot be compiled: it computes the size of the state with ``jnp`` and reshapes by it.
    NumPy does that here.
    """
    if every != 1:
        return None
    import chaotax
    from chaotax import _lyapunov

    _lyapunov.jnp = SimpleNamespace(**{**vars(jnp), "prod": np.prod, "array": np.array})
    compiled = jax.jit(
        chaotax.lyapunov_spectrum(
            system.step,
            rollout_steps=steps,
            warmup_steps=0,
            discard_steps=0,
            dt=system.unit,
            num_exponents=k,
        )
    )
    start, basis = jnp.asarray(system.start), jnp.eye(k, system.size)
    return lambda: np.asarray(compiled(start, basis))


def clvlib(system: System, k: int, steps: int, every: int) -> Run | None:
    """NumPy; Runge-Kutta of state and tangents, or the map. (With an interval, it reads its history of
    bases at the wrong place when it starts from a state, so not then.)
    """
    if every != 1:
        return None
    import clvlib.numpy as library

    times = np.arange(steps + 1) * system.unit
    return lambda: _clvlib(library, system, k, system.start, times, every)


def clvlib_torch(system: System, k: int, steps: int, every: int) -> Run:
    """PyTorch, otherwise as with NumPy."""
    import clvlib.pytorch as library
    import torch

    start = torch.tensor(system.start)
    times = torch.arange(steps + 1, dtype=start.dtype) * system.unit
    return lambda: _clvlib(library, system, k, start, times, every).numpy()


def _clvlib(library: Any, system: System, k: int, start: Any, times: Any, every: int) -> Any:
    return library.lyap_exp_from_ic(
        lambda t, x: system.rhs(x),
        lambda t, x: system.jacobian(x),
        start,
        times,
        k_step=every,
        stepper="discrete" if system.time_step is None else "rk4",
        n_lyap=k,
    )[0]


def lyapynov(system: System, k: int, steps: int, every: int) -> Run | None:
    """A discrete system with the Jacobian of the Runge-Kutta map. It renormalises at every step."""
    if every != 1:
        return None
    import lyapynov as library

    step, jacobian = system.rhs, system.jacobian
    if system.time_step is not None:
        step, jacobian = _map(system)

    def run() -> np.ndarray:
        discrete = library.DiscreteDS(
            system.start, 0.0, lambda x, t: step(x), lambda x, t: jacobian(x), system.unit
        )
        return library.LCE(discrete, k, 0, steps, False)

    return run


def lyapynov_continuous(system: System, k: int, steps: int, every: int) -> Run | None:
    """Its own way with flows: the Jacobian of the start of a step for all of the step."""
    if every != 1 or system.time_step is None:
        return None
    import lyapynov as library

    def run() -> np.ndarray:
        flow = library.ContinuousDS(
            system.start,
            0.0,
            lambda x, t: system.rhs(x),
            lambda x, t: system.jacobian(x),
            system.time_step,
        )
        return library.LCE(flow, k, 0, steps, False)

    return run


def _map(system: System) -> tuple[Callable, Callable]:
    """The Runge-Kutta map in NumPy and its Jacobian."""
    dt, rhs, of = system.time_step, system.rhs, system.jacobian
    eye = np.eye(system.size)

    def stages(x: np.ndarray) -> tuple:
        a = rhs(x)
        b = rhs(x + 0.5 * dt * a)
        c = rhs(x + 0.5 * dt * b)
        return a, b, c

    def step(x: np.ndarray) -> np.ndarray:
        a, b, c = stages(x)
        return x + dt / 6 * (a + 2 * b + 2 * c + rhs(x + dt * c))

    def jacobian(x: np.ndarray) -> np.ndarray:
        a, b, c = stages(x)
        da = of(x)
        db = of(x + 0.5 * dt * a) @ (eye + 0.5 * dt * da)
        dc = of(x + 0.5 * dt * b) @ (eye + 0.5 * dt * db)
        dd = of(x + dt * c) @ (eye + dt * dc)
        return eye + dt / 6 * (da + 2 * db + 2 * dc + dd)

    return step, jacobian


class Side:
    """A library, the module it needs, and whether its digits are to be the same as ours."""

    def __init__(self, build: Callable, module: str, *, needs: tuple = (), same: bool = True):
        self.build, self.same = build, same
        self.missing = [m for m in (module, *needs) if util.find_spec(m) is None]


def sides() -> dict[str, Side]:
    """The other libraries."""
    return {
        "lyapax": Side(lyapax, "lyapax"),
        "chaotax": Side(chaotax, "chaotax"),
        "clvlib (NumPy)": Side(clvlib, "clvlib"),
        "clvlib (PyTorch)": Side(clvlib_torch, "clvlib", needs=("torch",)),
        "Lyapynov": Side(lyapynov, "lyapynov"),
        "Lyapynov (flow)": Side(lyapynov_continuous, "lyapynov", same=False),
    }
