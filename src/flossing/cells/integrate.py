"""Neurons that a spike resets before the next step integrates, and readouts of the same form."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_key, real_array
from ..escape_noise import EscapeNoise
from ..initialisers import Initialiser
from ..surrogates import Surrogate
from ._base import PerUnit, as_bits, check_sequence, drawn, product, signed_per_unit, start_of
from ._integrate import Integration, Integrators
from ._spikes import LIFState, ResetGradient, SpikingNeurons
from .readout import ReadoutState


class IntegrateFireCell(Integrators, SpikingNeurons):
    """Integrate-and-fire neurons whose spikes reset the membrane before the next step integrates.

    With the spikes ``out = step(v - threshold)`` of the state before the step::

        current = U input + V out + b
        I' = alpha I + (1 - alpha) w current      without a synapse: I' = current
        r = reset_potential where out, else v
        v' = beta r + (1 - beta) (v_leak + R I')   without a leak: v' = r + dt R I'

    ``alpha`` and ``beta`` are ``exp(-dt / tau)``, or ``1 - dt / tau`` with Euler steps. The state keeps the
    membrane as it was when it crossed threshold, so that spikes are a function of the state. It has one
    variable per neuron, or two with a synapse. Currents act in the step in which they come, and spikes of
    the layer itself one step later.

    This is the form of the neurons LIF, CubaLIF and IF of NIR (``fl.from_nir``). In ``fl.LIFCell`` a spike
    also removes the current of the step after it, and currents of synapses are not scaled by
    ``1 - alpha``.

    Args:
        input_size: number of input channels.
        hidden_size: number of neurons N.
        time_step: dt, in the unit of the time constants.
        integration: ``"exact"`` for exponential decays under a current that is constant within a step,
            ``"euler"`` for steps of the forward Euler method; these must not be longer than a time constant.
        membrane_time_constant: a number or one per neuron, shape ``(hidden_size,)``; ``None`` for neurons
            without leak.
        synapse_time_constant: likewise; ``None`` for currents that last a step.
        resistance: R, a number or one per neuron.
        synapse_gain: w, a number or one per neuron, for neurons with a synapse; default 1.
        leak_potential: v_leak, a number or one per neuron, for neurons with a leak; default 0.
        threshold: a neuron fires where its membrane is above; a number or one per neuron.
        reset_potential: where a spike sets the membrane, a number or one per neuron.
        surrogate: spike nonlinearity; default ``SuperSpike(sharpness=1)``.
        reset_gradient: how derivatives see the reset, as for ``fl.LIFCell``.
        recurrent: initialiser of ``V``, such as ``fl.initialisers.Gaussian()``; ``None`` for no recurrence.
        input_gain: input weights are drawn from N(0, input_gain^2 / input_size).
        bias: whether there is a constant current ``b``, which is zero at first.
        key: random key.

    No gradient reaches time constants, resistances, gains and potentials.
    """

    recurrent_weight: Float[Array, "hidden hidden"] | None
    threshold: PerUnit
    reset_potential: PerUnit
    surrogate: Surrogate
    escape: EscapeNoise | None
    reset_gradient: str = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        time_step: float = 1.0,
        integration: Integration = "exact",
        membrane_time_constant: PerUnit | None = 10.0,
        synapse_time_constant: PerUnit | None = None,
        resistance: PerUnit = 1.0,
        synapse_gain: PerUnit | None = None,
        leak_potential: PerUnit | None = None,
        threshold: PerUnit = 1.0,
        reset_potential: PerUnit = 0.0,
        surrogate: Surrogate | None = None,
        reset_gradient: ResetGradient = "detached",
        recurrent: Initialiser | None = None,
        input_gain: float = 1.0,
        bias: bool = False,
        key: PRNGKeyArray,
    ):
        check_key("key", key)
        recurrent_key, input_key = jax.random.split(key)
        super().__init__(
            input_size,
            hidden_size,
            time_step=time_step,
            integration=integration,
            membrane_time_constant=membrane_time_constant,
            synapse_time_constant=synapse_time_constant,
            resistance=resistance,
            synapse_gain=synapse_gain,
            leak_potential=leak_potential,
            input_gain=input_gain,
            bias=bias,
            key=input_key,
        )
        self.threshold = signed_per_unit("threshold", threshold, self.hidden_size)
        self.reset_potential = signed_per_unit("reset_potential", reset_potential, self.hidden_size)
        self._set_spikes(surrogate=surrogate, escape=None, reset_gradient=reset_gradient)
        self.recurrent_weight = (
            None
            if recurrent is None
            else drawn("recurrent", recurrent, recurrent_key, self.hidden_size)
        )

    def _advance(
        self, state: LIFState, out: Array, current: Array, uniform: Array | None
    ) -> LIFState:
        if self.recurrent_weight is not None:
            current = current + product(self.recurrent_weight, out)
        start = self._after_spikes(state.membrane, out)
        membrane, synapse = self._integrate(start, state.synapse, current)
        noise = None if uniform is None else as_bits(uniform, self.dtype)
        return LIFState(membrane, synapse, None, noise)

    def _after_spikes(self, membrane: Array, out: Array) -> Array:
        if self.reset_gradient != "differentiated":
            out = jax.lax.stop_gradient(out)
        reset = (1 - out) * membrane + out * self._constant(self.reset_potential, membrane)
        if self.reset_gradient == "ignored":  # the value of the one, the derivative of the other
            reset = jax.lax.stop_gradient(reset) + (membrane - jax.lax.stop_gradient(membrane))
        return reset

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> LIFState:
        """At the leak potential (or 0); with ``key`` membranes start uniformly between that and threshold.

        A stochastic layer starts without spikes.
        """
        membrane, synapse = self._rest()
        if key is not None:
            share = jax.random.uniform(key, membrane.shape, membrane.dtype)
            membrane = membrane + share * (self._constant(self.threshold, membrane) - membrane)
        noise = None if self.escape is None else as_bits(jnp.ones_like(membrane), self.dtype)
        return LIFState(membrane, synapse, None, noise)


class IntegratorCell(Integrators):
    """Leaky integrators without spikes, whose output is the membrane: a readout of spiking layers.

    The equations are those of ``fl.IntegrateFireCell`` without spikes, and the arguments have the meaning
    and the defaults that they have there. This is the form of LI, CubaLI and I of NIR (``fl.from_nir``).
    ``fl.LeakyReadout`` scales its synapses in the way of ``fl.LIFCell``.
    """

    def __call__(self, state: ReadoutState, input: Float[Array, " input"]) -> ReadoutState:
        """The next state."""
        input = self._check(self._variables(state), input).astype(self.dtype)
        return ReadoutState(*self._integrate(*state, self.feedforward(input)))

    def over_time(
        self, inputs: Float[Array, "time *trial input"], state: ReadoutState | None = None
    ) -> Float[Array, "time *trial hidden"]:
        """Membranes at all steps, with the currents of all steps at once; arguments as for ``LIFCell``."""
        inputs = real_array("inputs", inputs, self.dtype).astype(self.dtype)
        start = start_of(self, check_sequence(inputs, self.input_size), state)

        def step(state: ReadoutState, current: Array) -> tuple[ReadoutState, Array]:
            state = ReadoutState(*self._integrate(*state, current))
            return state, state.membrane

        return jax.lax.scan(step, start, self.feedforward(inputs))[1]

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> ReadoutState:
        """At the leak potential (or 0); with ``key`` membranes are standard normal numbers beside it."""
        membrane, synapse = self._rest()
        if key is not None:
            membrane = membrane + jax.random.normal(key, membrane.shape, membrane.dtype)
        return ReadoutState(membrane, synapse)

    def output(self, state: ReadoutState) -> Float[Array, "*trial hidden"]:
        """The membrane."""
        return state.membrane
