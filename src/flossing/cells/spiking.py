"""Leaky integrate-and-fire neurons with current-based synapses."""

import math
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import (
    check_choice,
    check_finite,
    check_integer,
    check_key,
    check_positive,
    check_shape,
)
from ..initialisers import Gaussian, Initialiser, apply_dale, dale_signs
from ..surrogates import SuperSpike, Surrogate
from ._base import Cell, product

Neurons = float | Float[Array, " hidden"]


class LIFState(NamedTuple):
    """State of a LIF network, each of shape ``(hidden_size,)``; ``adaptation`` is ``None`` without it.

    Units are those of the threshold: with the default threshold 1 they are dimensionless.
    """

    membrane: Float[Array, " hidden"]
    synapse: Float[Array, " hidden"]
    adaptation: Float[Array, " hidden"] | None = None


class LIFCell(Cell):
    """A recurrent network of leaky integrate-and-fire neurons, one step of ``time_step`` milliseconds.

    With ``beta = exp(-dt / tau_mem)``, ``alpha = exp(-dt / tau_syn)`` and the spikes
    ``out = step(membrane - threshold)`` of the state before the step::

        synapse' = alpha synapse + U input + V out
        membrane' = (beta membrane + (1 - beta) synapse') (1 - out)      reset="to_zero"
        membrane' = beta membrane + (1 - beta) synapse' - threshold out  reset="subtract"
        membrane' = beta membrane + (1 - beta) synapse'                  reset="none"

    The state has two variables per neuron, so 2N tangent directions (3N with adaptation).

    Args:
        input_size: number of input channels.
        hidden_size: number of neurons N.
        time_step: dt in ms.
        membrane_time_constant: tau_mem in ms, a number or one per neuron, shape ``(hidden_size,)``.
        synapse_time_constant: tau_syn in ms, likewise.
        threshold: firing threshold, in units of the membrane variable.
        surrogate: spike nonlinearity; default ``SuperSpike(sharpness=1)``.
        reset: ``"to_zero"``, ``"subtract"`` or ``"none"`` (no reset takes place).
        reset_gradient: how derivatives see the reset. ``"detached"``: the spike in the reset term is a
            constant, so an exact reset to zero removes the membrane direction of a neuron that spikes.
            ``"differentiated"``: the surrogate derivative acts in the reset too. ``"ignored"``:
            derivatives are those of the step without any reset (the value still resets).
        adaptation_time_constant: tau_adapt in ms; ``None`` for no adaptation. The threshold becomes
            ``threshold + adaptation_strength * adaptation``, and ``adaptation`` decays with tau_adapt
            and moves to 1 by ``1 - exp(-dt / tau_adapt)`` per spike (Bellec et al. 2018).
        adaptation_strength: in units of the threshold, non-negative.
        recurrent: initialiser of ``V``; default ``Gaussian(gain=1)``.
        input_gain: input weights are drawn from N(0, input_gain^2 / input_size).
        centred: subtract from each row of both weight matrices its mean.
        dale: fraction of excitatory neurons, or ``None`` for free signs.
        key: random key.

    Time constants, threshold and adaptation strength are constants: no gradient reaches them.

    The current-based model and its defaults are those of Engelken & Abbott 2024.
    """

    recurrent_weight: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden input"]
    membrane_time_constant: Neurons
    synapse_time_constant: Neurons
    adaptation_time_constant: Neurons | None
    adaptation_strength: Neurons
    threshold: Neurons
    surrogate: Surrogate
    time_step: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    reset: str = eqx.field(static=True)
    reset_gradient: str = eqx.field(static=True)
    dale: float | None = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        time_step: float = 1.0,
        membrane_time_constant: Neurons = 10.0,
        synapse_time_constant: Neurons = 5.0,
        threshold: Neurons = 1.0,
        surrogate: Surrogate | None = None,
        reset: Literal["to_zero", "subtract", "none"] = "to_zero",
        reset_gradient: Literal["detached", "differentiated", "ignored"] = "detached",
        adaptation_time_constant: Neurons | None = None,
        adaptation_strength: Neurons = 0.5,
        recurrent: Initialiser | None = None,
        input_gain: float = 1.0,
        centred: bool = False,
        dale: float | None = None,
        key: PRNGKeyArray,
    ):
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = check_integer("hidden_size", hidden_size, 1)
        check_positive("time_step", time_step)
        self.time_step = float(time_step)
        check_choice("reset", reset, ("to_zero", "subtract", "none"))
        check_choice("reset_gradient", reset_gradient, ("detached", "differentiated", "ignored"))
        check_finite("input_gain", input_gain)
        if dale is not None:
            dale_signs(hidden_size, dale)
            if centred:
                raise ValueError("centred: rows with a mean of zero contradict fixed signs (dale).")
        self.membrane_time_constant = self._neurons(
            "membrane_time_constant", membrane_time_constant
        )
        self.synapse_time_constant = self._neurons("synapse_time_constant", synapse_time_constant)
        self.threshold = self._neurons("threshold", threshold)
        self.adaptation_strength = self._neurons(
            "adaptation_strength", adaptation_strength, zero=True
        )
        self.adaptation_time_constant = (
            None
            if adaptation_time_constant is None
            else self._neurons("adaptation_time_constant", adaptation_time_constant)
        )
        check_key("key", key)
        recurrent_key, input_key = jax.random.split(key)
        weight = (recurrent or Gaussian())(recurrent_key, hidden_size)
        check_shape("recurrent", weight, (hidden_size, hidden_size))
        inputs = input_gain * jax.random.normal(input_key, (hidden_size, input_size))
        inputs = inputs / math.sqrt(input_size)
        if centred:
            weight = weight - weight.mean(1, keepdims=True)
            inputs = inputs - inputs.mean(1, keepdims=True)
        self.recurrent_weight = weight
        self.input_weight = inputs
        self.surrogate = SuperSpike(1.0) if surrogate is None else surrogate
        self.reset = reset
        self.reset_gradient = reset_gradient
        self.dale = dale

    def _neurons(self, name: str, value: Neurons, zero: bool = False) -> Neurons:
        check_positive(name, value, zero=zero)
        if jnp.ndim(value) == 0:
            return value
        if jnp.shape(value) != (self.hidden_size,):
            raise ValueError(
                f"{name}: expected one number or shape ({self.hidden_size},), "
                f"got shape {jnp.shape(value)}."
            )
        return jnp.asarray(value)

    def _decay(self, time_constant: Neurons) -> Array:
        exact = jnp.exp(-self.time_step / jax.lax.stop_gradient(jnp.asarray(time_constant)))
        return exact.astype(self.recurrent_weight.dtype)

    def __call__(self, state: LIFState, input: Float[Array, " input"]) -> LIFState:
        """The next state."""
        fields: dict[str, Any] = {"state.membrane": state.membrane, "state.synapse": state.synapse}
        if self.adaptation_time_constant is not None:
            fields["state.adaptation"] = state.adaptation
        input = self._check(fields, input).astype(self.recurrent_weight.dtype)
        weight = self.recurrent_weight
        if self.dale is not None:
            weight = apply_dale(weight, self.dale)
        out = self.output(state)

        synapse = self._decay(self.synapse_time_constant) * state.synapse
        synapse = synapse + product(self.input_weight, input) + product(weight, out)
        beta = self._decay(self.membrane_time_constant)
        membrane = beta * state.membrane + (1 - beta) * synapse
        membrane = self._after_reset(membrane, out, state)
        if self.adaptation_time_constant is None:
            return LIFState(membrane, synapse)
        assert state.adaptation is not None
        rho = self._decay(self.adaptation_time_constant)
        return LIFState(membrane, synapse, rho * state.adaptation + (1 - rho) * out)

    def _after_reset(self, membrane: Array, out: Array, state: LIFState) -> Array:
        if self.reset == "none":
            return membrane
        if self.reset_gradient != "differentiated":
            out = jax.lax.stop_gradient(out)
        change = -out * (membrane if self.reset == "to_zero" else self._threshold(state))
        if self.reset_gradient == "ignored":
            change = jax.lax.stop_gradient(change)
        return membrane + change

    def _threshold(self, state: LIFState) -> Array:
        threshold = jax.lax.stop_gradient(jnp.asarray(self.threshold, state.membrane.dtype))
        if self.adaptation_time_constant is None:
            return threshold
        assert state.adaptation is not None
        strength = jax.lax.stop_gradient(
            jnp.asarray(self.adaptation_strength, state.membrane.dtype)
        )
        return threshold + strength * state.adaptation

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> LIFState:
        """At rest (zeros); with ``key`` membranes start uniformly between 0 and threshold."""
        zeros = jnp.zeros(self.hidden_size, self.recurrent_weight.dtype)
        membrane = zeros
        if key is not None:
            threshold = jax.lax.stop_gradient(jnp.asarray(self.threshold, zeros.dtype))
            membrane = threshold * jax.random.uniform(key, zeros.shape, zeros.dtype)
        adaptation = None if self.adaptation_time_constant is None else zeros
        return LIFState(membrane, zeros, adaptation)

    def output(self, state: LIFState) -> Float[Array, " hidden"]:
        """The spikes of a state, 0 or 1 per neuron."""
        return self.surrogate(state.membrane - self._threshold(state))
