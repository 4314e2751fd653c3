"""The network of binary units, with a surrogate derivative."""

import dataclasses
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._checks import check_finite, check_integer, check_key, check_positive, check_single
from ..escape_noise import EscapeNoise, Noisy, parts
from ..initialisers import Gaussian, Initialiser, apply_dale, check_dale
from ..surrogates import SuperSpike, Surrogate, check_surrogate
from ._base import Cell, as_bits, check_escape, drawn, from_bits, product
from .spec import SpikingSpec


class NoisyBinaryState(NamedTuple):
    """State of stochastic binary units: both arrays have shape ``(hidden_size,)``."""

    membrane: Float[Array, " hidden"]
    noise: Int[Array, " hidden"]
    """The uniform numbers that decide on the activity of this state, as bits: no tangent directions."""


State = Float[Array, " hidden"] | NoisyBinaryState


class BinaryCell(Cell):
    """Binary units: ``h' = W step(h) + U s + b``, with the surrogate as the derivative of the step.

    With ``centred`` it is ``h' = W (step(h) - 1/2) + U (s - 1/2) + b``: the same networks, with biases
    shifted by half the row sums of ``W`` and ``U``, but a weight no longer moves the mean input of its unit.

    The state ``h`` has shape ``(hidden_size,)``, and a readout sees ``step(h)``, minus 1/2 if centred. With
    ``W ~ N(0, 2 / N)`` and ``SuperSpike(sharpness=1)`` this has the leading surrogate exponent
    of the binary networks of Engelken & Abbott 2024; with ``centred``, ``Gaussian(gain=1.25)`` and
    ``input_gain=1.2`` it has their whole spectrum, as far as published.

    Args:
        input_size: number of inputs.
        hidden_size: number of units N.
        surrogate: spike nonlinearity; default ``SuperSpike(sharpness=1)``.
        recurrent: initialiser of ``W``; default ``Gaussian(gain=sqrt(2))``.
        input_gain: the input weights ``U`` are drawn from N(0, (input_gain / input_size)^2).
        bias_range: biases are drawn uniformly from [0, bias_range].
        dale: fraction of excitatory units, or ``None`` for free signs.
        centred: subtract 1/2 from activity and inputs; inputs should be bits.
        escape: ``None`` for deterministic units; an escape noise makes them stochastic: they are active with
            its probability, derivatives are those of the noise and ``surrogate`` is not used. Inputs then
            come with uniform numbers (``fl.escape_noise.with_noise``), and the state is a
            ``NoisyBinaryState``, which keeps those that decide on its activity.
        key: random key.
    """

    recurrent_weight: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden input"]
    bias: Float[Array, " hidden"]
    surrogate: Surrogate
    escape: EscapeNoise | None
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    dale: float | None = eqx.field(static=True)
    centred: bool = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        surrogate: Surrogate | None = None,
        recurrent: Initialiser | None = None,
        input_gain: float = 1.0,
        bias_range: float = 0.1,
        dale: float | None = None,
        centred: bool = False,
        escape: EscapeNoise | None = None,
        key: PRNGKeyArray,
    ):
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = check_integer("hidden_size", hidden_size, 1)
        check_finite("input_gain", input_gain)
        check_positive("bias_range", bias_range, zero=True)
        check_single(input_gain=input_gain, bias_range=bias_range)
        self.dale = None if dale is None else check_dale(dale)
        check_key("key", key)
        recurrent_key, input_key, bias_key = jax.random.split(key, 3)
        recurrent = Gaussian(2**0.5) if recurrent is None else recurrent
        self.recurrent_weight = drawn("recurrent", recurrent, recurrent_key, hidden_size)
        normal = jax.random.normal(input_key, (hidden_size, input_size))
        self.input_weight = input_gain / input_size * normal
        self.bias = jax.random.uniform(bias_key, (hidden_size,), maxval=bias_range)
        self.surrogate = SuperSpike(1.0) if surrogate is None else surrogate
        check_surrogate("surrogate", self.surrogate)
        check_escape(escape)
        self.escape = escape
        self.centred = bool(centred)

    @property
    def noise_size(self) -> int:
        """How many uniform numbers a step needs."""
        return 0 if self.escape is None else self.hidden_size

    def __call__(self, state: State, input: Float[Array, " input"] | Noisy) -> State:
        """The next state."""
        values, uniform = parts(input, self.noise_size)
        values = self._check({"state": self._membrane(state)}, values)
        weight = self.recurrent_weight
        if self.dale is not None:
            weight = apply_dale(weight, self.dale)
        new = product(weight, self.activity(state)) + self.feedforward(values) + self.bias
        return new if uniform is None else NoisyBinaryState(new, as_bits(uniform, new.dtype))

    def feedforward(self, input: Float[Array, " input"]) -> Float[Array, " hidden"]:
        """What inputs add to the next state: ``U s``, or ``U (s - 1/2)`` if centred."""
        return product(self.input_weight, input - 0.5 if self.centred else input)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> State:
        """Zeros, or standard normal numbers from ``key``; stochastic units start without activity."""
        state = jnp.zeros(self.hidden_size, self.bias.dtype)
        if key is not None:
            state = jax.random.normal(key, state.shape, state.dtype)
        if self.escape is None:
            return state
        return NoisyBinaryState(state, as_bits(jnp.ones_like(state), state.dtype))

    def activity(self, state: State) -> Float[Array, " hidden"]:
        """The binary activity, 0 or 1; -1/2 or 1/2 if centred."""
        membrane = self._membrane(state)
        if self.escape is not None and isinstance(state, NoisyBinaryState):
            activity = self.escape(membrane, from_bits(state.noise, membrane.dtype))
        else:
            activity = self.surrogate(membrane)
        return activity - 0.5 if self.centred else activity

    def _membrane(self, state: State) -> Float[Array, " hidden"]:
        """The numbers that are compared with the threshold."""
        if isinstance(state, NoisyBinaryState) != (self.escape is not None):
            wanted = (
                "an array" if self.escape is None else "a NoisyBinaryState, as initial_state() is"
            )
            raise TypeError(f"state: expected {wanted}, got {type(state).__name__}.")
        return state.membrane if isinstance(state, NoisyBinaryState) else state

    def output(self, state: State) -> Float[Array, " hidden"]:
        """What a readout or the next layer sees: the activity."""
        return self.activity(state)


@dataclasses.dataclass(frozen=True, kw_only=True)
class BinarySpec(SpikingSpec, name="binary"):
    """A network of binary units with a surrogate derivative (``fl.BinaryCell``)."""

    gain: float = 2**0.5
    """Gain g of the recurrent matrix; the default, sqrt(2), is that of Engelken & Abbott 2024."""
    centred: bool = False
    """Whether activity and inputs, which should be bits, count as -1/2 and 1/2 rather than 0 and 1."""

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> BinaryCell:
        """One cell with fresh weights."""
        return BinaryCell(
            input_size, self.hidden_size, centred=self.centred, key=key, **self._units()
        )
