"""The dynamics that all layers of LIF neurons share, whatever connects them."""

import abc
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import check_choice, check_positive, check_single
from ..escape_noise import EscapeNoise, Noisy, parts
from ..surrogates import SuperSpike, Surrogate, check_surrogate
from ._base import (
    Cell,
    PerUnit as Neurons,
    as_bits,
    check_escape,
    check_sequence,
    decay,
    from_bits,
    per_unit,
    start_of,
)

Reset = Literal["to_zero", "subtract", "none"]
ResetGradient = Literal["detached", "differentiated", "ignored"]


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

    keep_row_means: ClassVar[bool] = True

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
        adaptation_strength: Neurons | None = None,
    ) -> None:
        check_positive("time_step", time_step)
        check_single(time_step=time_step)
        self.time_step = float(time_step)
        check_choice("reset", reset, get_args(Reset))
        check_choice("reset_gradient", reset_gradient, get_args(ResetGradient))
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
        check_escape(escape)
        self.surrogate = SuperSpike(1.0) if surrogate is None else surrogate
        check_surrogate("surrogate", self.surrogate)
        self.escape = escape
        self.reset = reset
        self.reset_gradient = reset_gradient

    @property
    def noise_size(self) -> int:
        """How many uniform numbers a step needs."""
        return 0 if self.escape is None else self.hidden_size

    def __call__(self, state: LIFState, input: Float[Array, " input"] | Noisy) -> LIFState:
        """The next state."""
        values, uniform = parts(input, self.noise_size, dtype=self.dtype)
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
        values, uniform = parts(inputs, self.noise_size, "inputs", self.dtype)
        trials = check_sequence(values, self.input_size)
        start = start_of(self, trials, state)
        if not values.shape[0]:
            return jnp.zeros((0, *trials, self.hidden_size), start.membrane.dtype)
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
        # A membrane of integers is no reason to cut the threshold to one.
        dtype = jnp.result_type(state.membrane, self.dtype)
        threshold = jax.lax.stop_gradient(jnp.asarray(self.threshold, dtype))
        if self.adaptation_time_constant is None:
            return threshold
        assert state.adaptation is not None
        strength = jax.lax.stop_gradient(jnp.asarray(self.adaptation_strength, dtype))
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

    def output(self, state: LIFState) -> Float[Array, "*trial hidden"]:
        """The spikes of a state, 0 or 1 per neuron."""
        distance = state.membrane - self._threshold(state)
        if self.escape is None:
            return self.surrogate(distance)
        if state.noise is None:
            raise ValueError("state.noise: expected the bits of uniform numbers, got None.")
        return self.escape(distance, from_bits(state.noise, self.dtype))
