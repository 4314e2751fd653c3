"""A leaky readout: membranes without spikes."""

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import (
    check_finite,
    check_integer,
    check_key,
    check_positive,
    check_single,
    real_array,
)
from ._base import Cell, PerUnit, check_sequence, decay, per_unit, product, start_of


class ReadoutState(NamedTuple):
    """Membranes and synapses of a readout, of shape ``(hidden_size,)`` after the axes of trials.

    The synapse is ``None`` where a readout has none.
    """

    membrane: Float[Array, "*trial hidden"]
    synapse: Float[Array, "*trial hidden"] | None


class LeakyReadout(Cell):
    """Linear leaky integrators, the readout of a spiking network.

    With ``alpha = exp(-dt / tau_syn)`` and ``beta = exp(-dt / tau_mem)``::

        synapse' = alpha synapse + W input
        membrane' = beta membrane + (1 - beta) synapse'

    ``output`` is the membrane.

    Args:
        input_size: number of inputs.
        hidden_size: number of readout units, such as classes.
        time_step: dt in ms.
        membrane_time_constant: tau_mem in ms, a number or one per unit, shape ``(hidden_size,)``; the
            duration of a trial makes it an integrator.
        synapse_time_constant: tau_syn in ms, likewise.
        gain: weights are drawn from N(0, gain^2 / input_size).
        key: random key.
    """

    weight: Float[Array, "hidden input"]
    membrane_time_constant: PerUnit
    synapse_time_constant: PerUnit
    time_step: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        time_step: float = 1.0,
        membrane_time_constant: PerUnit = 100.0,
        synapse_time_constant: PerUnit = 5.0,
        gain: float = 1.0,
        key: PRNGKeyArray,
    ):
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = check_integer("hidden_size", hidden_size, 1)
        check_positive("time_step", time_step)
        check_finite("gain", gain)
        check_single(time_step=time_step, gain=gain)
        check_key("key", key)
        self.time_step = float(time_step)
        n = self.hidden_size
        self.membrane_time_constant = per_unit("membrane_time_constant", membrane_time_constant, n)
        self.synapse_time_constant = per_unit("synapse_time_constant", synapse_time_constant, n)
        shape = (hidden_size, input_size)
        self.weight = gain / math.sqrt(input_size) * jax.random.normal(key, shape)

    def __call__(self, state: ReadoutState, input: Float[Array, " input"]) -> ReadoutState:
        """The next state."""
        fields = {"state.membrane": state.membrane, "state.synapse": state.synapse}
        input = self._check(fields, input)
        return self._advance(state, product(self.weight, input))

    def over_time(
        self, inputs: Float[Array, "time *trial input"], state: ReadoutState | None = None
    ) -> Float[Array, "time *trial hidden"]:
        """Membranes at all steps, with the currents of all steps at once; arguments as for ``LIFCell``."""
        inputs = real_array("inputs", inputs, self.weight.dtype)
        trials = check_sequence(inputs, self.input_size)
        inputs = inputs.astype(self.weight.dtype)

        def step(state: ReadoutState, current: Array) -> tuple[ReadoutState, Array]:
            state = self._advance(state, current)
            return state, state.membrane

        start = start_of(self, trials, state)
        return jax.lax.scan(step, start, inputs @ self.weight.T)[1]

    def _advance(self, state: ReadoutState, current: Array) -> ReadoutState:
        dtype = self.weight.dtype
        alpha, _ = decay(self.time_step, self.synapse_time_constant, dtype)
        beta, rest = decay(self.time_step, self.membrane_time_constant, dtype)
        assert state.synapse is not None
        synapse = alpha * state.synapse + current
        return ReadoutState(beta * state.membrane + rest * synapse, synapse)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> ReadoutState:
        """Zeros; with ``key`` membranes are standard normal numbers."""
        zeros = jnp.zeros(self.hidden_size, self.weight.dtype)
        membrane = zeros if key is None else jax.random.normal(key, zeros.shape, zeros.dtype)
        return ReadoutState(membrane, zeros)

    def output(self, state: ReadoutState) -> Float[Array, "*trial hidden"]:
        """The membrane."""
        return state.membrane
