"""Layers of neurons that spike: threshold, surrogate or escape noise, and many steps at once."""

import abc
from typing import Any, ClassVar, Literal, NamedTuple, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._checks import check_choice
from ..escape_noise import EscapeNoise, Noisy, parts
from ..surrogates import SuperSpike, Surrogate, check_surrogate
from ._base import Cell, PerUnit as Neurons, check_escape, check_sequence, from_bits, start_of

ResetGradient = Literal["detached", "differentiated", "ignored"]


class LIFState(NamedTuple):
    """State of a layer of spiking neurons, each of shape ``(hidden_size,)`` after the axes of the trials, if
    any.

    All but the first are ``None`` where not needed.

    Units are those of the threshold: with the default threshold 1 they are dimensionless.
    """

    membrane: Float[Array, "*trial hidden"]
    synapse: Float[Array, "*trial hidden"] | None
    adaptation: Float[Array, "*trial hidden"] | None = None
    noise: Int[Array, "*trial hidden"] | None = None
    """The uniform numbers that decide on the spikes of this state, as bits: no tangent directions."""


class SpikingNeurons(Cell):
    """Thresholds and spikes; what moves the membranes is left to the subclass.

    A subclass has ``feedforward(inputs)``, linear in its last axis up to a constant, and ``_advance``, the
    next state from the spikes of this one and the current from below.
    """

    keep_row_means: ClassVar[bool] = True

    threshold: eqx.AbstractVar[Neurons]
    surrogate: eqx.AbstractVar[Surrogate]
    escape: eqx.AbstractVar[EscapeNoise | None]
    reset_gradient: eqx.AbstractVar[str]

    @abc.abstractmethod
    def feedforward(self, inputs: Float[Array, "*lead input"]) -> Float[Array, "*lead hidden"]:
        """The current that inputs cause, for one step or for all of them at once."""

    @property
    @abc.abstractmethod
    def dtype(self) -> Any:
        """Of weights and states."""

    @abc.abstractmethod
    def _advance(
        self, state: LIFState, out: Array, current: Array, uniform: Array | None
    ) -> LIFState:
        """The next state from the spikes of this one and the current that comes from below."""

    @abc.abstractmethod
    def _variables(self, state: LIFState) -> dict[str, Any]:
        """The arrays that a state of this layer must have, by their names in errors."""

    def _set_spikes(
        self, *, surrogate: Surrogate | None, escape: EscapeNoise | None, reset_gradient: str
    ) -> None:
        check_choice("reset_gradient", reset_gradient, get_args(ResetGradient))
        check_escape(escape)
        self.surrogate = SuperSpike(1.0) if surrogate is None else surrogate
        check_surrogate("surrogate", self.surrogate)
        self.escape = escape
        self.reset_gradient = reset_gradient

    @property
    def noise_size(self) -> int:
        """How many uniform numbers a step needs."""
        return 0 if self.escape is None else self.hidden_size

    def __call__(self, state: LIFState, input: Float[Array, " input"] | Noisy) -> LIFState:
        """The next state."""
        values, uniform = parts(input, self.noise_size, dtype=self.dtype)
        values = self._check(self._variables(state), values).astype(self.dtype)
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
        # once. So inputs come a turn early, and the last turn has no use for its own. With three inputs: u0
        # makes the state s1 before the loop; the turns take (s1, u1), (s2, u2), (s3, u0), and give the
        # spikes of s1, s2 and s3. What the last turn makes of u0 is not used.
        state = self._advance(
            start,
            self.output(start),
            self.feedforward(values[0]),
            None if uniform is None else uniform[0],
        )
        early = jax.tree.map(lambda x: jnp.roll(x, -1, 0), (values, uniform))
        return jax.lax.scan(step, state, (self.feedforward(early[0]), early[1]))[1]

    def _threshold(self, state: LIFState) -> Array:
        # A membrane of integers is no reason to cut the threshold to one.
        dtype = jnp.result_type(state.membrane, self.dtype)
        threshold = jax.lax.stop_gradient(jnp.asarray(self.threshold, dtype))
        return jnp.broadcast_to(threshold, state.membrane.shape)

    def output(self, state: LIFState) -> Float[Array, "*trial hidden"]:
        """The spikes of a state, 0 or 1 per neuron."""
        distance = state.membrane - self._threshold(state)
        if self.escape is None:
            return self.surrogate(distance)
        if state.noise is None:
            raise ValueError("state.noise: expected the bits of uniform numbers, got None.")
        return self.escape(distance, from_bits(state.noise, self.dtype))
