"""The networks that the flossing benchmarks take gradients of, with the same numbers for all sides."""

import functools
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import flossing as fl
from flossing.optimisers import Adam
from flossing.training import Trainer, begin, floss_block


@dataclass(frozen=True)
class Case:
    """One network and the ratio that is claimed for it."""

    cell: str
    hidden_size: int
    num_exponents: int
    num_steps: int
    required: float
    every: int | Literal["auto"] = 1
    """Our renormalisation; PyTorch's side renormalises at every step."""
    flossed: bool = False
    """Whether the k exponents have been flossed to zero before; else the network is fresh."""

    def __str__(self) -> str:
        size = f"{self.cell} ({self.hidden_size}, {self.num_exponents}, {self.num_steps})"
        size = f"{size} flossed" if self.flossed else size
        return size if self.every == 1 else f"{size}, {self.every}"


_SIZES = [
    ("tanh", 64, 16, 512, 8.0),
    ("tanh", 80, 75, 300, 2.0),
    ("tanh", 512, 128, 60, 1.3),
    ("LIF", 64, 50, 500, 3.0),
]
_FLOSSED = [
    ("tanh", 80, 75, 300, 2.0),
    ("tanh", 512, 128, 60, 1.3),
    ("tanh", 1024, 64, 60, 1.3),
]
CASES = [
    *(Case(*size, "auto") for size in _SIZES),
    Case("tanh", 1024, 64, 60, 1.3, "auto"),
    *(Case(*size, "auto", flossed=True) for size in _FLOSSED),
    *(Case(*size) for size in _SIZES),
]


@dataclass(frozen=True)
class Problem:
    """What both sides get."""

    cell: fl.TanhCell | fl.LIFCell
    state: Any
    inputs: jax.Array
    basis: jax.Array
    every: int | Literal["auto"]


def make_problem(case: Case, dtype: Any = np.float32) -> Problem:
    """A network of the paper's kind; the same numbers in each dtype, with a basis orthonormal in it.

    tanh: gain 1, one input of random bits. LIF: 100 inputs of 100 Hz in steps of 1 ms, centred weights, and
    an input gain with which neurons fire at about 16 Hz.
    """
    cell_key, input_key, state_key = jax.random.split(jax.random.key(1), 3)
    with jax.enable_x64(False):
        if case.cell == "tanh":
            cell = fl.TanhCell(1, case.hidden_size, key=cell_key)
            inputs = jax.random.bernoulli(input_key, 0.5, (case.num_steps, 1))
        else:
            cell = fl.LIFCell(100, case.hidden_size, centred=True, input_gain=3.0, key=cell_key)
            inputs = jax.random.bernoulli(input_key, 0.1, (case.num_steps, 100))
        state = cell.initial_state(key=state_key)
        if case.flossed:
            cell = _flossed_as(case.hidden_size, case.num_exponents)
    size = ravel_pytree(state)[0].size
    basis = np.linalg.qr(np.random.default_rng(1).normal(size=(size, case.num_exponents)))[0]
    arrays, rest = eqx.partition((cell, state), eqx.is_inexact_array)
    arrays, inputs, basis = jax.tree.map(
        lambda x: jnp.asarray(np.asarray(x, dtype)), (arrays, inputs, basis)
    )
    return Problem(*eqx.combine(arrays, rest), inputs, basis, case.every)


@functools.cache
def _flossed_as(hidden_size: int, num_exponents: int, steps: int = 200) -> fl.TanhCell:
    """The fresh network after so many flossing steps, with the defaults of training and smaller rates."""
    schedule = fl.Before(
        num_exponents=num_exponents,
        learning_rate=5e-3 * 80 / max(80, hidden_size),
        steps_before=steps,
        window=60,
    )
    trainer = Trainer(fl.tasks.Copy(1), Adam(), schedule)
    keys = jax.random.split(jax.random.key(1), 3)
    network = fl.Network(fl.TanhCell(1, hidden_size, key=keys[0]), 1, key=keys[1])
    stacked = jax.tree.map(lambda x: x[None] if eqx.is_array(x) else x, network)
    state, _ = floss_block(begin(stacked, trainer), keys[2:], steps, steps, trainer)
    return jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, state.networks.cell)


def weights(problem: Problem) -> list[str]:
    """Names of the arrays that gradients are taken in."""
    bias = ["bias"] if isinstance(problem.cell, fl.TanhCell) else []
    return ["recurrent_weight", "input_weight", *bias]


@eqx.filter_jit
@eqx.filter_value_and_grad
def our_value_and_grad(
    cell: Any, state: Any, inputs: jax.Array, basis: jax.Array, every: int | str
) -> jax.Array:
    """``fl.flossing_loss`` with targets of zero, from a given basis."""
    spectrum = fl.lyapunov_spectrum(
        cell, state, inputs, num_windows=1, basis=basis, renormalise_every=every
    )
    return jnp.mean(jnp.square(spectrum.exponents))


def arguments_of(problem: Problem) -> tuple[Any, ...]:
    """What our side is called with."""
    return problem.cell, problem.state, problem.inputs, problem.basis, problem.every


@eqx.filter_jit
@eqx.filter_value_and_grad
def floor_value_and_grad(
    cell: Any, state: Any, inputs: jax.Array, basis: jax.Array, scale: jax.Array
) -> jax.Array:
    """Tangents pushed through all steps without QR; ``scale`` keeps them in the range of the numbers."""

    def push(carry: tuple, input: jax.Array) -> tuple[tuple, None]:
        state, tangents = carry
        vector, unravel = ravel_pytree(state)

        def flat_step(vector: jax.Array) -> tuple[jax.Array, Any]:
            new = cell(unravel(vector), input)
            return ravel_pytree(new)[0], new

        def one(tangent: jax.Array) -> tuple[Any, jax.Array]:
            _, out, new = jax.jvp(flat_step, (vector,), (tangent,), has_aux=True)
            return new, out

        state, tangents = jax.vmap(one, out_axes=(None, 0))(tangents)
        return (state, tangents * scale), None

    (_, tangents), _ = jax.lax.scan(push, (state, basis.T), inputs)
    return jnp.mean(jnp.square(tangents))
