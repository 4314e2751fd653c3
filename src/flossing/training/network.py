"""A recurrent step with a linear readout and a start state: what is trained."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_finite, check_integer, check_positive
from .._warn import refuse_old_names
from ..cells import Cell, check_cell
from ..escape_noise import Noisy


class Network(eqx.Module):
    """A cell, a linear readout of its output, and the state it starts in.

    Args:
        cell: any cell of the library, or of your own subclass of ``fl.Cell``.
        output_size: number of outputs; ``None`` for the outputs of the cell itself, without a readout, as for
            a stack whose last layer is a ``fl.LeakyReadout``.
        readout_gain: readout weights are drawn from N(0, readout_gain^2).
        readout_bias: start value of the readout's offset.
        state_warmup: the start state is random and relaxed for so many steps without input.
        key: random key.

    Raises:
        TypeError: ``cell`` is none; the message says what it lacks.

    The defaults are those of Engelken 2023.
    """

    cell: Cell
    readout_weight: Float[Array, "output hidden"] | None
    readout_bias: Float[Array, " output"] | None
    initial_state: PyTree

    @refuse_old_names
    def __init__(
        self,
        cell: Cell,
        output_size: int | None,
        *,
        readout_gain: float = 1.0,
        readout_bias: float = 0.001,
        state_warmup: int = 100,
        key: PRNGKeyArray,
    ):
        check_cell("cell", cell)
        if output_size is not None:
            check_integer("output_size", output_size, 1)
        check_positive("readout_gain", readout_gain, zero=True)
        check_finite("readout_bias", readout_bias)
        check_integer("state_warmup", state_warmup, 0)
        weight_key, state_key = jax.random.split(key)
        self.cell = cell
        if output_size is None:
            self.readout_weight = self.readout_bias = None
        else:
            shape = (output_size, cell.hidden_size)
            self.readout_weight = readout_gain * jax.random.normal(weight_key, shape)
            self.readout_bias = jnp.full(output_size, readout_bias, self.readout_weight.dtype)
        silence = _with_noise(cell, jnp.zeros((state_warmup, cell.input_size)), state_key)
        start = cell.initial_state(key=state_key)
        _check_order(cell, start)
        self.initial_state = jax.lax.scan(lambda s, u: (cell(s, u), None), start, silence)[0]

    def __call__(
        self,
        inputs: Float[Array, "time input"],
        state: PyTree = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "time output"]:
        """Outputs of one trial, before any nonlinearity, shape ``(time, output_size)``.

        Args:
            inputs: of the trial.
            state: where it starts; default ``initial_state``.
            key: random key of the noise, which a stochastic cell needs.
        """
        start = self.initial_state if state is None else state
        activity = self.cell.over_time(_with_noise(self.cell, inputs, key), start)
        if self.readout_weight is None or self.readout_bias is None:
            return activity
        outputs = activity @ self.readout_weight.T
        return outputs + jnp.broadcast_to(self.readout_bias, outputs.shape)


def _with_noise(cell: Cell, inputs: Any, key: PRNGKeyArray | None) -> Any:
    """Inputs with the noise that a stochastic cell needs, if they have none yet."""
    if not cell.noise_size or isinstance(inputs, Noisy):
        return inputs
    if key is None:
        raise ValueError("key: a stochastic cell needs one for its noise.")
    shape = (len(inputs), cell.noise_size)
    return Noisy(inputs, jax.random.uniform(key, shape, jnp.result_type(float)))


def _check_order(cell: Cell, state: PyTree) -> None:
    """Raises ``TypeError`` for a step that works with its input first, and not with its state first."""
    input = jnp.zeros(cell.input_size)
    try:
        jax.eval_shape(cell, state, input)
    except Exception:
        try:
            jax.eval_shape(cell, input, state)
        except Exception:
            return  # neither works: the step says itself what is wrong
        raise TypeError(
            f"cell: {type(cell).__name__} takes (input, state); the order here is (state, input)."
        ) from None
