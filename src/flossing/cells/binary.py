"""The network of binary units, with a surrogate derivative."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_finite, check_integer, check_key, check_positive, check_single
from ..initialisers import Gaussian, Initialiser, LineInputs, apply_dale, check_dale
from ..surrogates import SuperSpike, Surrogate, check_surrogate
from ._base import Cell, drawn, product


class BinaryCell(Cell):
    """Binary units: ``h' = W step(h) + U s + b``, with the surrogate as the derivative of the step.

    With ``centred`` it is ``h' = W (step(h) - 1/2) + U (s - 1/2) + b``: the same networks, with biases
    shifted by half the row sums of ``W`` and ``U``, but a weight no longer moves the mean input of its unit.

    The state ``h`` has shape ``(hidden_size,)``. A readout sees ``step(h)``, minus 1/2 if centred, or with
    ``membrane_readout`` the state ``h`` itself, as in the rate networks of Engelken 2023. With
    ``W ~ N(0, 2 / N)`` and ``SuperSpike(sharpness=1)`` this has the leading surrogate exponent
    of the binary networks of Engelken & Abbott 2024; with ``centred``, ``Gaussian(gain=1.25)`` and
    ``input_gain=1.2`` it has their whole spectrum, as far as published.

    Args:
        input_size: number of inputs.
        hidden_size: number of units N.
        surrogate: spike nonlinearity; default ``SuperSpike(sharpness=1)``.
        recurrent: initialiser of ``W``; default ``Gaussian(gain=sqrt(2))``.
        input_gain: the input weights ``U`` are drawn from N(0, (input_gain / input_size)^2).
        inputs: initialiser of ``U`` instead of this.
        bias_range: biases are drawn uniformly from [0, bias_range].
        dale: fraction of excitatory units, or ``None`` for free signs.
        centred: subtract 1/2 from activity and inputs; inputs should be bits.
        centred_inputs: with ``centred``, whether inputs are; else they are taken as they are.
        membrane_readout: ``output`` is the state, not the activity.
        key: random key.
    """

    recurrent_weight: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden input"]
    bias: Float[Array, " hidden"]
    surrogate: Surrogate
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    dale: float | None = eqx.field(static=True)
    centred: bool = eqx.field(static=True)
    centred_inputs: bool = eqx.field(static=True)
    membrane_readout: bool = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        surrogate: Surrogate | None = None,
        recurrent: Initialiser | None = None,
        input_gain: float = 1.0,
        inputs: LineInputs | None = None,
        bias_range: float = 0.1,
        dale: float | None = None,
        centred: bool = False,
        centred_inputs: bool = True,
        membrane_readout: bool = False,
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
        if inputs is None:
            normal = jax.random.normal(input_key, (hidden_size, input_size))
            self.input_weight = input_gain / input_size * normal
        else:
            self.input_weight = drawn("inputs", inputs, input_key, hidden_size, input_size)
        self.bias = jax.random.uniform(bias_key, (hidden_size,), maxval=bias_range)
        self.surrogate = SuperSpike(1.0) if surrogate is None else surrogate
        check_surrogate("surrogate", self.surrogate)
        self.centred = bool(centred)
        self.centred_inputs = bool(centred_inputs)
        self.membrane_readout = bool(membrane_readout)

    def __call__(
        self, state: Float[Array, " hidden"], input: Float[Array, " input"]
    ) -> Float[Array, " hidden"]:
        """The next state, shape ``(hidden_size,)``."""
        input = self._check({"state": state}, input)
        weight = self.recurrent_weight
        if self.dale is not None:
            weight = apply_dale(weight, self.dale)
        if self.centred and self.centred_inputs:
            input = input - 0.5
        return product(weight, self.activity(state)) + product(self.input_weight, input) + self.bias

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Float[Array, " hidden"]:
        """Zeros, or standard normal numbers from ``key``."""
        if key is None:
            return jnp.zeros(self.hidden_size, self.bias.dtype)
        return jax.random.normal(key, (self.hidden_size,), self.bias.dtype)

    def activity(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """The binary activity, 0 or 1; -1/2 or 1/2 if centred."""
        activity = self.surrogate(state)
        return activity - 0.5 if self.centred else activity

    def output(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """What a readout or the next layer sees: the activity, or the state with ``membrane_readout``."""
        return state if self.membrane_readout else self.activity(state)
