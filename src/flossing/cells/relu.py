"""The network of rectified linear units."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_finite, check_integer, check_key, check_positive, check_single
from ..initialisers import Identity, Initialiser
from ._base import Cell, drawn, product
from .spec import RecurrentSpec


class ReLUCell(Cell):
    """A network of rectified linear units: ``h' = max(0, W h + U s + b)``.

    With the defaults of ``W`` and ``b``, the identity and 0, it is the IRNN of Le, Jaitly & Hinton (2015):
    units that are active add up their input and forget nothing, so their exponents are exactly 0. Its
    authors draw input weights with a standard deviation of 0.001. The Jacobian is ``diag(h' > 0) W``; a
    unit that is silent loses its direction, and the exponent of a lost direction is minus infinity.

    Args:
        input_size: number of inputs.
        hidden_size: number of units N; the state has shape ``(N,)``.
        recurrent: initialiser of ``W``; default ``Identity()``.
        input_gain: the input weights ``U`` are drawn from N(0, (input_gain / input_size)^2).
        bias_range: biases are drawn uniformly from [0, bias_range].
        key: random key.
    """

    recurrent_weight: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden input"]
    bias: Float[Array, " hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent: Initialiser | None = None,
        input_gain: float = 1.0,
        bias_range: float = 0.0,
        key: PRNGKeyArray,
    ):
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = check_integer("hidden_size", hidden_size, 1)
        check_finite("input_gain", input_gain)
        check_positive("bias_range", bias_range, zero=True)
        check_single(input_gain=input_gain, bias_range=bias_range)
        check_key("key", key)
        recurrent_key, input_key, bias_key = jax.random.split(key, 3)
        recurrent = Identity() if recurrent is None else recurrent
        self.recurrent_weight = drawn("recurrent", recurrent, recurrent_key, hidden_size)
        self.input_weight = (
            input_gain / input_size * jax.random.normal(input_key, (hidden_size, input_size))
        )
        self.bias = jax.random.uniform(bias_key, (hidden_size,), maxval=bias_range)

    def __call__(
        self, state: Float[Array, " hidden"], input: Float[Array, " input"]
    ) -> Float[Array, " hidden"]:
        """The next state, shape ``(hidden_size,)``."""
        input = self._check({"state": state}, input)
        drive = product(self.input_weight, input) + self.bias
        return jax.nn.relu(product(self.recurrent_weight, state) + drive)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Float[Array, " hidden"]:
        """Zeros, or the absolute values of standard normal numbers from ``key``: all units active."""
        if key is None:
            return jnp.zeros(self.hidden_size, self.bias.dtype)
        return jnp.abs(jax.random.normal(key, (self.hidden_size,), self.bias.dtype))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReLUSpec(RecurrentSpec, name="relu"):
    """A network of rectified linear units (``fl.ReLUCell``); with ``recurrent="identity"`` an IRNN."""

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> ReLUCell:
        """One cell with fresh weights."""
        return ReLUCell(input_size, self.hidden_size, key=key, **self._matrices())
