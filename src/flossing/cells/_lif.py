"""The dynamics that all layers of LIF neurons share, whatever connects them."""

import abc
from typing import Any, Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_choice, check_positive, check_single
from ..escape_noise import EscapeNoise
from ..surrogates import Surrogate
from ._base import PerUnit as Neurons, as_bits, decay, per_unit
from ._spikes import (
    LIFState as LIFState,
    ResetGradient as ResetGradient,
    SpikingNeurons,
)

Reset = Literal["to_zero", "subtract", "none"]


class LIFNeurons(SpikingNeurons):
    """Membranes, synapses, adaptation and resets; connections are left to the subclass.

    A subclass has ``feedforward(inputs)``, linear in its last axis, and ``feedback(spikes)``, the current
    that the layer's own spikes cause, or ``None`` without recurrence.
    """

    membrane_time_constant: Neurons
    synapse_time_constant: Neurons
    adaptation_time_constant: Neurons | None
    adaptation_strength: Neurons
    threshold: Neurons
    surrogate: Surrogate
    escape: EscapeNoise | None
    time_step: float = eqx.field(static=True)
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    reset: str = eqx.field(static=True)
    reset_gradient: str = eqx.field(static=True)

    @abc.abstractmethod
    def feedback(
        self, spikes: Float[Array, "*trial hidden"]
    ) -> Float[Array, "*trial hidden"] | None:
        """The current that the layer's own spikes cause, or ``None``."""

    def _set_neurons(
        self,
        *,
        time_step: float,
        membrane_time_constant: Neurons,
        synapse_time_constant: Neurons,
        threshold: Neurons,
        surrogate: Surrogate | None,
        escape: EscapeNoise | None,
        reset: str,
        reset_gradient: str,
        adaptation_time_constant: Neurons | None = None,
        adaptation_strength: Neurons | None = None,
    ) -> None:
        check_positive("time_step", time_step)
        check_single(time_step=time_step)
        self.time_step = float(time_step)
        check_choice("reset", reset, get_args(Reset))
        n = self.hidden_size
        self.membrane_time_constant = per_unit("membrane_time_constant", membrane_time_constant, n)
        self.synapse_time_constant = per_unit("synapse_time_constant", synapse_time_constant, n)
        self.threshold = per_unit("threshold", threshold, n)
        strength = 0.5 if adaptation_strength is None else adaptation_strength
        self.adaptation_strength = per_unit("adaptation_strength", strength, n, zero=True)
        if adaptation_strength is not None and adaptation_time_constant is None:
            raise ValueError(
                "adaptation_strength: works with adaptation_time_constant only; give that, too, or leave it "
                "out."
            )
        self.adaptation_time_constant = (
            None
            if adaptation_time_constant is None
            else per_unit("adaptation_time_constant", adaptation_time_constant, n)
        )
        self._set_spikes(surrogate=surrogate, escape=escape, reset_gradient=reset_gradient)
        self.reset = reset

    def _variables(self, state: LIFState) -> dict[str, Any]:
        fields: dict[str, Any] = {"state.membrane": state.membrane, "state.synapse": state.synapse}
        if self.adaptation_time_constant is not None:
            fields["state.adaptation"] = state.adaptation
        return fields

    def _advance(
        self, state: LIFState, out: Array, current: Array, uniform: Array | None
    ) -> LIFState:
        """The next state from the spikes of this one and the current that comes from below."""
        own = self.feedback(out)
        if own is not None:
            current = current + own
        assert state.synapse is not None
        alpha, _ = decay(self.time_step, self.synapse_time_constant, self.dtype)
        synapse = alpha * state.synapse + current
        beta, rest = decay(self.time_step, self.membrane_time_constant, self.dtype)
        membrane = beta * state.membrane + rest * synapse
        membrane = self._after_reset(membrane, out, state)
        noise = None if uniform is None else as_bits(uniform, self.dtype)
        if self.adaptation_time_constant is None:
            return LIFState(membrane, synapse, None, noise)
        assert state.adaptation is not None
        rho, rest = decay(self.time_step, self.adaptation_time_constant, self.dtype)
        return LIFState(membrane, synapse, rho * state.adaptation + rest * out, noise)

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
        threshold = super()._threshold(state)
        if self.adaptation_time_constant is None:
            return threshold
        assert state.adaptation is not None
        strength = jax.lax.stop_gradient(jnp.asarray(self.adaptation_strength, threshold.dtype))
        return threshold + strength * state.adaptation

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> LIFState:
        """At rest (zeros); with ``key`` membranes start uniformly between 0 and threshold.

        A stochastic layer starts without spikes.
        """
        zeros = jnp.zeros(self.hidden_size, self.dtype)
        membrane = zeros
        if key is not None:
            threshold = jax.lax.stop_gradient(jnp.asarray(self.threshold, zeros.dtype))
            membrane = threshold * jax.random.uniform(key, zeros.shape, zeros.dtype)
        adaptation = None if self.adaptation_time_constant is None else zeros
        noise = None if self.escape is None else as_bits(jnp.ones_like(zeros), self.dtype)
        return LIFState(membrane, zeros, adaptation, noise)
