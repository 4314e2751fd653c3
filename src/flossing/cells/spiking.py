"""Leaky integrate-and-fire neurons with current-based synapses."""

import dataclasses
import math
from typing import Any, get_args

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import (
    check_choice,
    check_finite,
    check_integer,
    check_key,
    check_positive,
    check_single,
    is_concrete,
)
from ..escape_noise import EscapeNoise
from ..initialisers import Gaussian, Initialiser, apply_dale, check_dale
from ..surrogates import Surrogate
from ._base import drawn, product
from ._lif import LIFNeurons, LIFState as LIFState, Neurons, Reset, ResetGradient
from .spec import SpikingSpec


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
        adaptation_strength: in units of the threshold, non-negative; default 0.5 where thresholds adapt.
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
        reset: Reset = "to_zero",
        reset_gradient: ResetGradient = "detached",
        adaptation_time_constant: Neurons | None = None,
        adaptation_strength: Neurons | None = None,
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


def check_rate(name: str, rate: float) -> None:
    """Raises unless it is one number of at least 0.5 (Hz): what is less was meant per ms."""
    check_positive(name, rate)
    check_single(**{name: rate})
    if is_concrete(rate) and rate < 0.5:
        raise ValueError(
            f"{name}: expected a rate in Hz, at least 0.5, got {rate}; for {rate} spikes per ms write "
            f"{1000 * rate:g}."
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LIFSpec(SpikingSpec, name="lif"):
    """A recurrent network of leaky integrate-and-fire neurons (``fl.LIFCell``)."""

    input_gain: float = 1.0
    """Scale of the input weights, which are drawn from N(0, input_gain^2 / input_size)."""
    reset: Reset = "to_zero"
    """What a spike does to the membrane: sets it to zero, subtracts the threshold, or nothing."""
    reset_gradient: ResetGradient = "detached"
    """How derivatives see the reset: the spike in it is a constant; it is differentiated; no reset at all."""
    membrane_time_constant: float = 10.0
    """Time constant of the membranes, in ms."""
    synapse_time_constant: float = 5.0
    """Time constant of the synapses, in ms."""
    adaptation_time_constant: float | None = None
    """Time constant with which thresholds adapt, in ms; None for thresholds that do not."""
    adaptation_strength: float | None = None
    """How far thresholds rise at most, in thresholds; default 0.5 where they adapt."""
    time_step: float = 1.0
    """Duration of a step, in ms."""
    fluctuations: float | None = None
    """Standard deviation of the membranes at the start, in thresholds, by fluctuation-driven weights
    (Rossbroich et al. 2022). They take the place of recurrent, gain and input_gain; None for weights of
    these."""
    input_rate: float | None = None
    """Rate of each input in Hz that fluctuation-driven weights are made for, at least 0.5; default 100."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("reset", self.reset, get_args(Reset))
        check_choice("reset_gradient", self.reset_gradient, get_args(ResetGradient))
        for name in ("membrane_time_constant", "synapse_time_constant", "time_step"):
            _check_constant(name, getattr(self, name))
        for name in ("adaptation_time_constant", "adaptation_strength", "fluctuations"):
            if getattr(self, name) is not None:
                _check_constant(name, getattr(self, name), zero=name == "adaptation_strength")
        if self.input_rate is not None:
            check_rate("input_rate", self.input_rate)
        self._check_partners()

    def _check_partners(self) -> None:
        """Raises for settings that would do nothing beside the others."""
        for name, needed in (
            ("adaptation_strength", "adaptation_time_constant"),
            ("input_rate", "fluctuations"),
        ):
            if getattr(self, name) is not None and getattr(self, needed) is None:
                raise ValueError(
                    f"{name}: works with {needed} only; give that, too, or leave it out."
                )
        for name in ("recurrent", "gain", "input_gain"):
            if self.fluctuations is not None and getattr(self, name) != getattr(LIFSpec, name):
                raise ValueError(f"{name}: fluctuations takes its place; leave one of them out.")

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> LIFCell:
        """One cell with fresh weights."""
        from .fluctuations import fluctuation_driven  # which knows this cell, and others

        cell = LIFCell(
            input_size,
            self.hidden_size,
            reset=self.reset,
            reset_gradient=self.reset_gradient,
            membrane_time_constant=self.membrane_time_constant,
            synapse_time_constant=self.synapse_time_constant,
            adaptation_time_constant=self.adaptation_time_constant,
            adaptation_strength=self.adaptation_strength,
            time_step=self.time_step,
            key=key,
            **self._units(),
        )
        if self.fluctuations is None:
            return cell
        rate = 100.0 if self.input_rate is None else self.input_rate
        draw_key = jax.random.fold_in(key, 1)
        return fluctuation_driven(cell, rate=rate, target=self.fluctuations, key=draw_key)


def _check_constant(name: str, value: float, *, zero: bool = False) -> None:
    check_positive(name, value, zero=zero)
    check_single(**{name: value})
