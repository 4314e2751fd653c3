"""The dynamics that all layers of LIF neurons share, whatever connects them."""

import abc
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import check_choice, check_positive
from ..escape_noise import EscapeNoise, Noisy, parts
from ..surrogates import SuperSpike, Surrogate
from ._base import Cell, check_sequence, states_of

Neurons = float | Float[Array, " hidden"]


class LIFState(NamedTuple):
    """State of a LIF layer, each of shape ``(hidden_size,)`` after the axes of the trials, if any.

    The last two are ``None`` where not needed.

    Units are those of the threshold: with the default threshold 1 they are dimensionless.
    """

    membrane: Float[Array, "*trial hidden"]
    synapse: Float[Array, "*trial hidden"]
    adaptation: Float[Array, "*trial hidden"] | None = None
    noise: Int[Array, "*trial hidden"] | None = None
    """The uniform numbers that decide on the spikes of this state, as bits: no tangent directions."""


class LIFNeurons(Cell):
    """Membranes, synapses, thresholds, resets and spikes; connections are left to the subclass.

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
    def feedforward(self, inputs: Float[Array, "*lead input"]) -> Float[Array, "*lead hidden"]:
        """The current that inputs cause, for one step or for all of them at once."""

    @abc.abstractmethod
    def feedback(
        self, spikes: Float[Array, "*trial hidden"]
    ) -> Float[Array, "*trial hidden"] | None:
        """The current that the layer's own spikes cause, or ``None``."""

    @property
    @abc.abstractmethod
    def dtype(self) -> Any:
        """Of weights and states."""

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
        adaptation_strength: Neurons = 0.5,
    ) -> None:
        check_positive("time_step", time_step)
        self.time_step = float(time_step)
        check_choice("reset", reset, ("to_zero", "subtract", "none"))
        check_choice("reset_gradient", reset_gradient, ("detached", "differentiated", "ignored"))
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
        if escape is not None and not isinstance(escape, EscapeNoise):
            raise TypeError(f"escape: expected an escape noise or None, got {escape!r}.")
        self.surrogate = SuperSpike(1.0) if surrogate is None else surrogate
        self.escape = escape
        self.reset = reset
        self.reset_gradient = reset_gradient

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

    @property
    def noise_size(self) -> int:
        """How many uniform numbers a step needs."""
        return 0 if self.escape is None else self.hidden_size

    def _decay(self, time_constant: Neurons) -> Array:
        exact = jnp.exp(-self.time_step / jax.lax.stop_gradient(jnp.asarray(time_constant)))
        return exact.astype(self.dtype)

    def __call__(self, state: LIFState, input: Float[Array, " input"] | Noisy) -> LIFState:
        """The next state."""
        values, uniform = parts(input, self.noise_size)
        fields: dict[str, Any] = {"state.membrane": state.membrane, "state.synapse": state.synapse}
        if self.adaptation_time_constant is not None:
            fields["state.adaptation"] = state.adaptation
        values = self._check(fields, values).astype(self.dtype)
        return self._advance(state, self.output(state), self.feedforward(values), uniform)

    def over_time(
        self, inputs: Float[Array, "time *trial input"] | Noisy, state: LIFState | None = None
    ) -> Float[Array, "time *trial hidden"]:
        """Spikes of all steps; the same as stepping, with the input currents of all steps at once.

        Args:
            inputs: of one trial, or of many side by side; time comes first.
            state: where to start, of shape ``(*trial, hidden_size)``; default ``initial_state()``.
        """
        values, uniform = parts(inputs, self.noise_size)
        trials = check_sequence(values, self.input_size)
        start = states_of(trials, self.initial_state()) if state is None else state

        values = values.astype(self.dtype)

        def step(state: LIFState, now: tuple) -> tuple[LIFState, Array]:
            out = self.output(state)
            return self._advance(state, out, *now), out

        # Each turn gives the spikes of the state it starts from: they are computed, and differentiated,
        # once. So inputs come a turn early, and the last turn has no use for its own.
        state = self._advance(
            start,
            self.output(start),
            self.feedforward(values[0]),
            None if uniform is None else uniform[0],
        )
        early = jax.tree.map(lambda x: jnp.roll(x, -1, 0), (values, uniform))
        return jax.lax.scan(step, state, (self.feedforward(early[0]), early[1]))[1]

    def _advance(
        self, state: LIFState, out: Array, current: Array, uniform: Array | None
    ) -> LIFState:
        """The next state from the spikes of this one and the current that comes from below."""
        own = self.feedback(out)
        if own is not None:
            current = current + own
        synapse = self._decay(self.synapse_time_constant) * state.synapse + current
        beta = self._decay(self.membrane_time_constant)
        membrane = beta * state.membrane + (1 - beta) * synapse
        membrane = self._after_reset(membrane, out, state)
        noise = None if uniform is None else _bits(uniform.astype(self.dtype))
        if self.adaptation_time_constant is None:
            return LIFState(membrane, synapse, None, noise)
        assert state.adaptation is not None
        rho = self._decay(self.adaptation_time_constant)
        return LIFState(membrane, synapse, rho * state.adaptation + (1 - rho) * out, noise)

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
        """At rest (zeros); with ``key`` membranes start uniformly between 0 and threshold.

        A stochastic layer starts without spikes.
        """
        zeros = jnp.zeros(self.hidden_size, self.dtype)
        membrane = zeros
        if key is not None:
            threshold = jax.lax.stop_gradient(jnp.asarray(self.threshold, zeros.dtype))
            membrane = threshold * jax.random.uniform(key, zeros.shape, zeros.dtype)
        adaptation = None if self.adaptation_time_constant is None else zeros
        noise = None if self.escape is None else _bits(jnp.ones_like(zeros))
        return LIFState(membrane, zeros, adaptation, noise)

    def output(self, state: LIFState) -> Float[Array, "*trial hidden"]:
        """The spikes of a state, 0 or 1 per neuron."""
        distance = state.membrane - self._threshold(state)
        if self.escape is None:
            return self.surrogate(distance)
        if state.noise is None:
            raise ValueError("state.noise: expected the bits of uniform numbers, got None.")
        return self.escape(distance, _uniform(state.noise, distance.dtype))


def _bits(uniform: Array) -> Array:
    kind = {4: jnp.int32, 8: jnp.int64, 2: jnp.int16}[uniform.dtype.itemsize]
    return jax.lax.bitcast_convert_type(uniform, kind)


def _uniform(bits: Array, dtype: Any) -> Array:
    return jax.lax.bitcast_convert_type(bits, dtype)
