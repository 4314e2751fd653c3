"""The tanh network of rate units."""

import dataclasses
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import (
    check_choice,
    check_finite,
    check_fraction,
    check_integer,
    check_key,
    check_positive,
    check_single,
)
from ..initialisers import Gaussian, Initialiser, apply_dale, check_dale
from ._base import Cell, drawn, product
from .spec import RecurrentSpec


class TanhCell(Cell):
    """A tanh network, in one of two forms that differ in what the state is.

    ``"pre-activation"`` (Engelken 2023): the state ``x`` is the input to the nonlinearity,
    ``x' = W tanh(x) + U s + b``; its Jacobian is ``W diag(1 - tanh(x)^2)``, and ``output`` is ``x``.

    ``"post-activation"`` (the usual RNN): the state ``h`` is a rate, ``h' = tanh(W h + U s + b)``; its
    Jacobian is ``diag(1 - h'^2) W``, and ``output`` is ``h``.

    Both have the same Lyapunov exponents, because one is the other seen half a step later.

    With a ``leak`` a below 1 the network is leaky: ``x' = (1 - a) x + a (W tanh(x) + U s + b)``, or
    ``h' = (1 - a) h + a tanh(W h + U s + b)``. ``a`` is the time step over the time constant of a unit
    (Jaeger et al. 2007); without recurrence all exponents are ``ln(1 - a)``.

    Args:
        input_size: number of inputs.
        hidden_size: number of units N; the state has shape ``(N,)``.
        form: ``"pre-activation"`` or ``"post-activation"``.
        recurrent: initialiser of ``W``; default ``Gaussian(gain=1)``.
        input_gain: the input weights ``U`` are drawn from N(0, (input_gain / input_size)^2).
        bias_range: biases are drawn uniformly from [0, bias_range].
        leak: a, how much of the old state a step replaces, in (0, 1]; 1 for a network that is not leaky.
        dale: fraction of excitatory units; with it the sign of each column of ``W`` is fixed, whatever
            training does. ``None`` leaves signs free.
        key: random key.
    """

    recurrent_weight: Float[Array, "hidden hidden"]
    input_weight: Float[Array, "hidden input"]
    bias: Float[Array, " hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)
    form: str = eqx.field(static=True)
    leak: float = eqx.field(static=True)
    dale: float | None = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        form: Literal["pre-activation", "post-activation"] = "pre-activation",
        recurrent: Initialiser | None = None,
        input_gain: float = 1.0,
        bias_range: float = 0.1,
        leak: float = 1.0,
        dale: float | None = None,
        key: PRNGKeyArray,
    ):
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = check_integer("hidden_size", hidden_size, 1)
        check_choice("form", form, ("pre-activation", "post-activation"))
        check_finite("input_gain", input_gain)
        check_positive("bias_range", bias_range, zero=True)
        _check_leak(leak)
        check_single(input_gain=input_gain, bias_range=bias_range)
        self.dale = None if dale is None else check_dale(dale)
        check_key("key", key)
        recurrent_key, input_key, bias_key = jax.random.split(key, 3)
        recurrent = Gaussian() if recurrent is None else recurrent
        self.recurrent_weight = drawn("recurrent", recurrent, recurrent_key, hidden_size)
        self.input_weight = (
            input_gain / input_size * jax.random.normal(input_key, (hidden_size, input_size))
        )
        self.bias = jax.random.uniform(bias_key, (hidden_size,), maxval=bias_range)
        self.form = form
        self.leak = float(leak)

    def __call__(
        self, state: Float[Array, " hidden"], input: Float[Array, " input"]
    ) -> Float[Array, " hidden"]:
        """The next state, shape ``(hidden_size,)``."""
        input = self._check({"state": state}, input)
        weight = self.recurrent_weight
        if self.dale is not None:
            weight = apply_dale(weight, self.dale)
        drive = product(self.input_weight, input) + self.bias
        if self.form == "pre-activation":
            new = product(weight, jnp.tanh(state)) + drive
        else:
            new = jnp.tanh(product(weight, state) + drive)
        if self.leak == 1:
            return new
        # Each form is exact at one end: 1 - leak in double precision, or a step that is small.
        if self.leak > 0.5:
            return (1 - self.leak) * state + self.leak * new
        return state + self.leak * (new - state)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Float[Array, " hidden"]:
        """Zeros, or standard normal numbers (their tanh in the post-activation form) from ``key``."""
        if key is None:
            return jnp.zeros(self.hidden_size, self.bias.dtype)
        state = jax.random.normal(key, (self.hidden_size,), self.bias.dtype)
        return state if self.form == "pre-activation" else jnp.tanh(state)


def _check_leak(leak: float) -> None:
    check_positive("leak", leak)
    check_fraction("leak", leak)
    check_single(leak=leak)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TanhSpec(RecurrentSpec, name="tanh"):
    """A network of tanh units (``fl.TanhCell``)."""

    leak: float = 1.0
    """Share of the state that a step replaces. In (0, 1]; 1 for a network that is not leaky."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_leak(self.leak)

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> TanhCell:
        """One cell with fresh weights."""
        return TanhCell(input_size, self.hidden_size, leak=self.leak, key=key, **self._matrices())
