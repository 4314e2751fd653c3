"""Cells, many at a time, driven by random input: measuring and flossing them without a task."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key, PRNGKeyArray, PyTree

from ...floss import Flosser
from ...lyapunov import long_term_jacobian, lyapunov_spectrum
from ...lyapunov._steps import run
from ...optimisers import clip_by_global_norm
from ...tasks import frozen_poisson
from ...training.devices import over_realisations

Inputs = Callable[[PRNGKeyArray, int], PyTree]
"""``inputs(key, num_steps)``: random input, time as leading axis."""


WARMUP = 100
"""Steps before spectra in which only the state moves, and again in which tangents do."""


@dataclasses.dataclass(frozen=True)
class Poisson:
    """Independent channels that spike at the same rate, in steps of 1 ms."""

    channels: int
    rate: float = 100.0
    """In Hz."""

    def __call__(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time channels"]:
        """Spikes, 0 or 1."""
        return frozen_poisson(key, num_steps=num_steps, inputs=self.channels, rate=self.rate)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """How the recurrent weights of cells are flossed."""

    num_exponents: int
    phases: tuple[tuple[int, float], ...]
    """Numbers of steps and learning rates of Adam, one after the other."""
    window: int = 120
    warmup: int = 30
    detach_warmup: bool = False
    """Gradients go through the counted steps only."""
    state_warmup: int = 50
    num_starts: int = 1
    clip_norm: float = 0.1
    """Of the whole gradient: one exploding window would slow Adam down for hundreds of steps."""
    keep_row_means: bool = False
    """Steps leave the means of the rows as they are."""

    @property
    def steps(self) -> int:
        """Flossing steps of all phases."""
        return sum(count for count, _ in self.phases)

    @property
    def flosser(self) -> Flosser:
        """What takes the steps."""
        counts, rates = zip(*self.phases, strict=True)
        constant = [optax.constant_schedule(rate) for rate in rates]
        rate = optax.join_schedules(constant, np.cumsum(counts)[:-1].tolist())
        return Flosser(
            self.num_exponents,
            window=self.window,
            warmup=self.warmup,
            detach_warmup=self.detach_warmup,
            state_warmup=self.state_warmup,
            num_starts=self.num_starts,
            optimiser=optax.chain(clip_by_global_norm(self.clip_norm), optax.adam(rate)),
            where=recurrent_weights,
            keep_row_means=self.keep_row_means,
        )


def recurrent_weights(cell: Any) -> list[Array]:
    """Those of a cell, or of every layer of a stack."""
    return [layer.recurrent_weight for layer in getattr(cell, "layers", [cell])]


def floss(
    cells: PyTree,
    keys: Key[Array, " networks"],
    inputs: Inputs,
    plan: Plan,
    look: Callable[[int, PyTree], Any] = lambda step, cells: None,
    every: int = 25,
) -> tuple[PyTree, np.ndarray]:
    """Cells (stacked along a leading axis) after flossing, with fresh input and bases in every step.

    ``look(step, cells)`` is called before the first step and after every ``every`` steps.

    Returns:
        The cells, and their exponents in the flossing windows, shape (steps, networks, k).
    """
    states = eqx.filter_vmap(plan.flosser.init)(cells)
    in_windows = []
    look(0, cells)
    for start in range(0, plan.steps, every):
        numbers = jnp.arange(start, min(start + every, plan.steps))
        cells, states, exponents = _block(cells, states, keys, numbers, inputs, plan)
        in_windows.append(np.asarray(exponents).swapaxes(0, 1))
        look(start + len(numbers), cells)
    return cells, np.concatenate(in_windows)


@eqx.filter_jit
def _block(
    cells: PyTree, states: PyTree, keys: Array, numbers: Array, inputs: Inputs, plan: Plan
) -> tuple[PyTree, PyTree, Array]:
    """The flossing steps of these numbers."""
    flosser = plan.flosser

    def floss_network(cell: PyTree, state: PyTree, key: Array) -> tuple[PyTree, PyTree, Array]:
        arrays, rest = eqx.partition(cell, eqx.is_array)

        def step(carry: tuple, number: Array) -> tuple[tuple, Array]:
            cell = eqx.combine(carry[0], rest)
            draws = jax.random.split(jax.random.fold_in(key, number), 3)
            input_keys, state_keys = (jax.random.split(k, plan.num_starts) for k in draws[:2])
            states = jax.vmap(lambda k: cell.initial_state(key=k))(state_keys)
            given = jax.vmap(lambda k: inputs(k, flosser.num_steps))(input_keys)
            cell, state, info = flosser.update(cell, carry[1], states, given, key=draws[2])
            return (eqx.filter(cell, eqx.is_array), state), info.exponents

        (arrays, state), exponents = jax.lax.scan(step, (arrays, state), numbers)
        return eqx.combine(arrays, rest), state, exponents

    return over_realisations(floss_network, cells, states, keys)


def _unseen(key: Array) -> Array:
    """Keys of input, start state and basis that flossing does not use."""
    return jax.random.split(jax.random.fold_in(key, 2**31 - 1), 3)


@eqx.filter_jit
def _spectra(
    cells: PyTree, keys: Array, inputs: Inputs, k: int, steps: int, state_warmup: int, warmup: int
) -> Array:
    def of_network(cell: PyTree, key: Array) -> Array:
        input_key, state_key, basis_key = _unseen(key)
        return lyapunov_spectrum(
            cell,
            cell.initial_state(key=state_key),
            inputs(input_key, state_warmup + warmup + steps),
            num_exponents=k,
            state_warmup=state_warmup,
            warmup=warmup,
            key=basis_key,
        ).exponents

    return over_realisations(of_network, cells, keys)


def spectra(
    cells: PyTree,
    keys: Key[Array, " networks"],
    inputs: Inputs,
    num_exponents: int,
    num_steps: int,
    state_warmup: int = WARMUP,
    warmup: int = WARMUP,
) -> np.ndarray:
    """Exponents on input that flossing never saw, shape (networks, k), nats per step; lost: -inf."""
    return np.asarray(_spectra(cells, keys, inputs, num_exponents, num_steps, state_warmup, warmup))


@eqx.filter_jit
def _jacobians(cells: PyTree, keys: Array, inputs: Inputs, steps: int, state_warmup: int) -> Array:
    def of_network(cell: PyTree, key: Array) -> Array:
        input_key, state_key, _ = _unseen(key)
        given = inputs(input_key, state_warmup + steps)
        state = run(cell, cell.initial_state(key=state_key), given[:state_warmup], state_warmup)
        return long_term_jacobian(cell, state, given[state_warmup:])

    return over_realisations(of_network, cells, keys)


def jacobians(
    cells: PyTree,
    keys: Key[Array, " networks"],
    inputs: Inputs,
    num_steps: int,
    state_warmup: int = WARMUP,
) -> np.ndarray:
    """Long-term Jacobians on the trajectories of ``spectra`` without a basis warm-up, (networks, n, n)."""
    return np.asarray(_jacobians(cells, keys, inputs, num_steps, state_warmup))


def in_double(cells: PyTree) -> PyTree:
    """Cells in double precision; for use within ``jax.enable_x64(True)``."""
    return jax.tree.map(lambda x: x.astype(float) if eqx.is_inexact_array(x) else x, cells)


@eqx.filter_jit
def _activity(cells: PyTree, keys: Array, inputs: Inputs, num_steps: int) -> Array:
    def of_network(cell: PyTree, key: Array) -> Array:
        input_key, state_key, _ = _unseen(key)

        def step(state: PyTree, input: PyTree) -> tuple[PyTree, Array]:
            state = cell(state, input)
            return state, cell.output(state)

        start = cell.initial_state(key=state_key)
        return jax.lax.scan(step, start, inputs(input_key, num_steps))[1]

    return over_realisations(of_network, cells, keys)


def activity(
    cells: PyTree, keys: Key[Array, " networks"], inputs: Inputs, num_steps: int
) -> np.ndarray:
    """Outputs of every unit, shape (networks, time, units), from the start that ``spectra`` has too.

    Input is the same as that of ``spectra`` only if ``num_steps`` is the same, warm-ups included.
    """
    return np.asarray(_activity(cells, keys, inputs, num_steps))


def firing_rates(
    cells: PyTree,
    keys: Key[Array, " networks"],
    inputs: Inputs,
    num_steps: int = 800,
    warmup: int = 100,
) -> np.ndarray:
    """Mean firing rate of each network in Hz, for steps of 1 ms."""
    return 1000 * activity(cells, keys, inputs, num_steps + warmup)[:, warmup:].mean((1, 2))
