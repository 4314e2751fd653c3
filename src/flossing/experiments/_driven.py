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

from .._norms import clipped, tree_norm
from ..floss import FlossingInfo, flossing_loss
from ..lyapunov import long_term_jacobian, lyapunov_spectrum
from ..lyapunov._steps import run
from ..training import all_finite
from ..training.devices import over_realisations
from ..training.optimisers import apply_if, without_row_means
from ..training.updates import flossed_leaves

Inputs = Callable[[PRNGKeyArray, int], PyTree]
"""``inputs(key, num_steps)``: random input, time as leading axis."""


WARMUP = 100
"""Steps before spectra in which only the state moves, and again in which tangents do."""


@dataclasses.dataclass(frozen=True)
class Poisson:
    """Independent channels, each with a spike in a step of 1 ms with the same probability."""

    channels: int
    probability: float = 0.1

    def __call__(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time channels"]:
        """Spikes, 0 or 1."""
        return jax.random.bernoulli(key, self.probability, (num_steps, self.channels)).astype(float)


@dataclasses.dataclass(frozen=True)
class Bits:
    """One random bit per step."""

    def __call__(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time 1"]:
        """Bits, 0 or 1."""
        return jax.random.bernoulli(key, 0.5, (num_steps, 1)).astype(float)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How cells are flossed, and by how much each step may change them."""

    num_exponents: int
    phases: tuple[tuple[int, float], ...]
    """Numbers of steps and learning rates of Adam, one after the other."""
    window: int = 120
    warmup: int = 30
    detach_warmup: bool = False
    """Gradients go through the counted steps only."""
    state_warmup: int = 50
    starts: int = 1
    target: float = 0.0
    clip_norm: float = 0.1
    """Of the whole gradient: one exploding window would slow Adam down for hundreds of steps."""
    most_norm: float = float("inf")
    """A step with a larger gradient is left out: it comes from an exploding window and points anywhere."""
    parameters: tuple[str, ...] = ()
    centred: bool = False
    """Steps leave the means of the rows of matrices as they are."""

    @property
    def steps(self) -> int:
        """Flossing steps of all phases."""
        return sum(count for count, _ in self.phases)


def floss(
    cells: PyTree,
    keys: Key[Array, " networks"],
    inputs: Inputs,
    plan: Plan,
    look: Callable[[int, PyTree], Any] = lambda step, cells: None,
    every: int = 25,
) -> tuple[PyTree, np.ndarray]:
    """Cells (stacked along a leading axis) after flossing, with fresh input and bases in every step.

    ``look(step, cells)`` is called before the first step and after every ``every`` steps. A step whose
    gradient is not finite, or too large, is left out.

    Returns:
        The cells, and their exponents in the flossing windows, shape (steps, networks, k).
    """
    rates = np.concatenate([np.full(count, rate, np.float32) for count, rate in plan.phases])
    arrays = eqx.filter(cells, flossed_leaves(cells, plan.parameters))
    adam = jax.vmap(optax.scale_by_adam().init)(arrays)
    found = []
    look(0, cells)
    for start in range(0, plan.steps, every):
        count = min(every, plan.steps - start)
        padded = np.zeros(every, np.float32)
        padded[:count] = rates[start : start + count]
        cells, adam, exponents = _block(
            cells, adam, keys, jnp.asarray(start), jnp.asarray(padded), inputs, plan
        )
        found.append(np.asarray(exponents)[:count])
        look(start + count, cells)
    return cells, np.concatenate(found)


@eqx.filter_jit
def _block(
    cells: PyTree, adam: PyTree, keys: Array, start: Array, rates: Array, inputs: Inputs, plan: Plan
) -> tuple[PyTree, PyTree, Array]:
    """Steps with a learning rate of zero (at the end) change nothing."""

    def one(cell: PyTree, adam: PyTree, key: Array) -> tuple[PyTree, PyTree, Array]:
        arrays, rest = eqx.partition(cell, flossed_leaves(cell, plan.parameters))

        def body(carry: tuple, at: tuple) -> tuple[tuple, Array]:
            number, rate = at
            return jax.lax.cond(
                rate > 0,
                lambda: _update(carry, rest, jax.random.fold_in(key, number), rate, inputs, plan),
                lambda: (carry, jnp.zeros(plan.num_exponents)),
            )

        numbers = start + jnp.arange(len(rates))
        (arrays, adam), exponents = jax.lax.scan(body, (arrays, adam), (numbers, rates))
        return eqx.combine(arrays, rest), adam, exponents

    cells, adam, exponents = over_realisations(one, cells, adam, keys)
    return cells, adam, jnp.swapaxes(exponents, 0, 1)


def _update(
    carry: tuple, rest: PyTree, key: Array, rate: Array, inputs: Inputs, plan: Plan
) -> tuple[tuple, Array]:
    arrays, adam = carry
    input_key, state_key, basis_key = jax.random.split(key, 3)
    split = jax.random.split
    given = jax.vmap(lambda k: inputs(k, plan.state_warmup + plan.window))(
        split(input_key, plan.starts)
    )
    states = jax.vmap(lambda k: eqx.combine(arrays, rest).initial_state(key=k))(
        split(state_key, plan.starts)
    )

    def loss_of(arrays: PyTree) -> tuple[Array, FlossingInfo]:
        return flossing_loss(  # pyright: ignore[reportReturnType]
            eqx.combine(arrays, rest),
            states,
            given,
            num_exponents=plan.num_exponents,
            targets=plan.target,
            num_starts=plan.starts,
            state_warmup=plan.state_warmup,
            warmup=plan.warmup,
            detach_warmup=plan.detach_warmup,
            renormalise_every="auto" if jax.default_backend() == "cpu" else 1,
            key=basis_key,
            has_aux=True,
        )

    gradient, info = jax.grad(loss_of, has_aux=True)(arrays)
    norm = tree_norm(gradient)
    good = all_finite(gradient) & (norm <= plan.most_norm)
    gradient = clipped(gradient, plan.clip_norm)
    direction, new_adam = optax.scale_by_adam().update(gradient, adam)
    if plan.centred:
        direction = jax.tree.map(without_row_means, direction)
    new = jax.tree.map(lambda p, d: p - rate * d, arrays, direction)
    return apply_if(good, (new, new_adam), (arrays, adam)), info.exponents


def _unseen(key: Array) -> Array:
    """Keys of input, start state and basis that flossing does not use."""
    return jax.random.split(jax.random.fold_in(key, 2**31 - 1), 3)


@eqx.filter_jit
def _spectra(
    cells: PyTree, keys: Array, inputs: Inputs, k: int, steps: int, state_warmup: int, warmup: int
) -> Array:
    def one(cell: PyTree, key: Array) -> Array:
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

    return over_realisations(one, cells, keys)


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
    found = _spectra(cells, keys, inputs, num_exponents, num_steps, state_warmup, warmup)
    return np.asarray(found)


@eqx.filter_jit
def _jacobians(cells: PyTree, keys: Array, inputs: Inputs, steps: int, state_warmup: int) -> Array:
    def one(cell: PyTree, key: Array) -> Array:
        input_key, state_key, _ = _unseen(key)
        given = inputs(input_key, state_warmup + steps)
        state = run(cell, cell.initial_state(key=state_key), given[:state_warmup], state_warmup)
        return long_term_jacobian(cell, state, given[state_warmup:])

    return over_realisations(one, cells, keys)


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
    def one(cell: PyTree, key: Array) -> Array:
        input_key, state_key, _ = _unseen(key)

        def step(state: PyTree, input: PyTree) -> tuple[PyTree, Array]:
            state = cell(state, input)
            return state, cell.output(state)

        start = cell.initial_state(key=state_key)
        return jax.lax.scan(step, start, inputs(input_key, num_steps))[1]

    return over_realisations(one, cells, keys)


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
