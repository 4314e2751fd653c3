"""Flossing along the directions in which errors of a task travel: exponents of the adjoint from the readout.

A spectrum counts all directions alike. The error of a task enters through the readout, in as few directions
as there are outputs, and is pulled back by transposed Jacobians. Here these directions alone are flossed.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ...floss.flosser import flossing_optimiser
from ...lyapunov._orthonormalise import orthonormalise
from ...lyapunov._steps import flatten, pull, run, take
from ...optimisers import all_finite, apply_if
from ...tasks import Task
from ...training import Network


class Window(NamedTuple):
    """Where errors are followed."""

    directions: int
    steps: int
    state_warmup: int = 50


def error_exponents(
    network: Network, inputs: PyTree, window: Window, *, key: PRNGKeyArray
) -> Float[Array, " directions"]:
    """Growth of errors on their way back through the window, in nats per step, the largest first.

    Errors start as random combinations of the rows of the readout, which is what an output's error makes of
    the last state, and are kept orthonormal; so the first exponent is that of an error itself.

    Args:
        network: with a readout.
        inputs: at least ``state_warmup + steps`` steps.
        window: how many directions, over how many steps.
        key: random key of the combinations.
    """
    cell, count = network.cell, window.state_warmup
    before = take(inputs, 0, count)
    during = take(inputs, count, count + window.steps)
    start = run(cell, network.initial_state, before, count)

    def forward(state: PyTree, input: Array) -> tuple[PyTree, PyTree]:
        return cell(state, input), state

    last, states = jax.lax.scan(forward, start, during)
    assert network.readout_weight is not None
    shape = (window.directions, network.readout_weight.shape[0])
    outputs = jax.random.normal(key, shape) @ network.readout_weight
    of_output = jax.vjp(cell.output, last)[1]
    errors = jax.vmap(lambda error: flatten(of_output(error)[0]).vector)(outputs)
    if window.directions > shape[1]:  # fewer outputs than directions: random ones for the rest
        more = jax.random.normal(jax.random.fold_in(key, 1), errors.shape)
        errors = errors.at[shape[1] :].set(more[shape[1] :])

    def backward(errors: Array, at: tuple[PyTree, Array]) -> tuple[Array, Array]:
        pulled = jax.vmap(lambda error: pull(cell, at[0], error, at[1]))(errors)
        factors = orthonormalise(pulled)
        return factors.vectors, factors.log_growth

    _, growth = jax.lax.scan(
        backward, orthonormalise(errors).vectors, (states, during), reverse=True
    )
    return growth.mean(0)


def floss_errors(
    network: Network, task: Task, window: Window, steps: int, *, key: PRNGKeyArray
) -> tuple[Network, Float[Array, "step directions"]]:
    """The network after flossing steps that bring these exponents to zero, and the exponents on the way."""
    optimiser = flossing_optimiser(steps=steps)
    cell, rest = eqx.partition(network.cell, eqx.is_inexact_array)

    def of(arrays: PyTree) -> Any:
        return eqx.tree_at(lambda n: n.cell, network, eqx.combine(arrays, rest))

    def step(carry: tuple, key: Array) -> tuple[tuple, Array]:
        arrays, state = carry
        input_key, basis_key = jax.random.split(key)
        inputs = task.sample_inputs(input_key, window.state_warmup + window.steps)

        def loss(arrays: PyTree) -> tuple[Array, Array]:
            exponents = error_exponents(of(arrays), inputs, window, key=basis_key)
            return jnp.square(exponents).mean(), exponents

        gradient, exponents = jax.grad(loss, has_aux=True)(arrays)
        change, new = optimiser.update(gradient, state, arrays)
        good = all_finite((exponents, gradient))
        arrays = apply_if(good, optax.apply_updates(arrays, change), arrays)
        return (arrays, apply_if(good, new, state)), exponents

    keys = jax.random.split(key, steps)
    (cell, _), exponents = jax.lax.scan(step, (cell, optimiser.init(cell)), keys)
    return of(cell), exponents
