"""Leaky integrate-and-fire neurons with current-based synapses."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_finite, check_integer, check_key, check_single
from ..escape_noise import EscapeNoise
from ..initialisers import Gaussian, Initialiser, apply_dale, check_dale
from ..surrogates import Surrogate
from ._base import drawn, product
from ._lif import LIFNeurons, LIFState as LIFState, Neurons


class LIFCell(LIFNeurons):
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
        escape: ``None`` for deterministic spikes; an escape noise makes the layer stochastic: neurons fire
            with its probability, derivatives are those of the noise and ``surrogate`` is not used. Inputs
            then come with uniform numbers (``fl.escape_noise.with_noise``).
        recurrent: initialiser of ``V``; default ``Gaussian(gain=1)``.
        feedforward_only: without recurrent weights (``V`` is ``None``).
        input_gain: input weights are drawn from N(0, input_gain^2 / input_size).
        centred: subtract from each row of both weight matrices its mean.
        dale: fraction of excitatory neurons, or ``None`` for free signs.
        key: random key.

    Time constants, threshold and adaptation strength are constants: no gradient reaches them.

    The current-based model and its defaults are those of Engelken & Abbott 2024.
    """

    recurrent_weight: Float[Array, "hidden hidden"] | None
    input_weight: Float[Array, "hidden input"]
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
        escape: EscapeNoise | None = None,
        recurrent: Initialiser | None = None,
        feedforward_only: bool = False,
        input_gain: float = 1.0,
        centred: bool = False,
        dale: float | None = None,
        key: PRNGKeyArray,
    ):
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = check_integer("hidden_size", hidden_size, 1)
        self._set_neurons(
            time_step=time_step,
            membrane_time_constant=membrane_time_constant,
            synapse_time_constant=synapse_time_constant,
            threshold=threshold,
            surrogate=surrogate,
            escape=escape,
            reset=reset,
            reset_gradient=reset_gradient,
            adaptation_time_constant=adaptation_time_constant,
            adaptation_strength=adaptation_strength,
        )
        check_finite("input_gain", input_gain)
        check_single(input_gain=input_gain)
        self.dale = None if dale is None else check_dale(dale)
        if dale is not None and centred:
            raise ValueError("centred: rows with a mean of zero contradict fixed signs (dale).")
        if feedforward_only and recurrent is not None:
            raise ValueError("recurrent: got an initialiser for a layer that is feedforward_only.")
        check_key("key", key)
        recurrent_key, input_key = jax.random.split(key)
        inputs = input_gain * jax.random.normal(input_key, (hidden_size, input_size))
        inputs = inputs / math.sqrt(input_size)
        weight = None
        if not feedforward_only:
            recurrent = Gaussian() if recurrent is None else recurrent
            weight = drawn("recurrent", recurrent, recurrent_key, hidden_size)
        if centred:
            inputs = inputs - inputs.mean(1, keepdims=True)
            weight = None if weight is None else weight - weight.mean(1, keepdims=True)
        self.recurrent_weight = weight
        self.input_weight = inputs

    @property
    def dtype(self) -> Any:
        """Of weights and states."""
        return self.input_weight.dtype

    def feedforward(self, inputs: Float[Array, "*lead input"]) -> Float[Array, "*lead hidden"]:
        """``U input``, for one step or for all of them at once."""
        if inputs.ndim == 1:
            return product(self.input_weight, inputs)
        return inputs @ self.input_weight.T

    def feedback(
        self, spikes: Float[Array, "*trial hidden"]
    ) -> Float[Array, "*trial hidden"] | None:
        """``V spikes``."""
        weight = self.recurrent_weight
        if weight is None:
            return None
        if self.dale is not None:
            weight = apply_dale(weight, self.dale)
        return product(weight, spikes)
