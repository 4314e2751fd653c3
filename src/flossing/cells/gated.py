"""Gated cells with their full state, so that an LSTM of N units has 2N tangent directions."""

import dataclasses
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_finite, check_integer, check_key, check_single
from ..initialisers import Gaussian, Initialiser
from ._base import Cell, drawn, product
from .spec import RecurrentSpec


class GatedCell(Cell):
    """What GRU and LSTM share: weights and biases of their gates, one gate after the other."""

    recurrent_weight: Float[Array, "gates_hidden hidden"]
    input_weight: Float[Array, "gates_hidden input"]
    bias: Float[Array, " gates_hidden"]
    input_size: int = eqx.field(static=True)
    hidden_size: int = eqx.field(static=True)

    open_signs: ClassVar[tuple[int, ...]]
    """Signs of the biases with which gates are open, in their order; 0 for the candidate."""

    def _build(
        self,
        gates: int,
        input_size: int,
        hidden_size: int,
        recurrent: Initialiser | None,
        input_gain: float,
        key: PRNGKeyArray,
    ) -> None:
        self.input_size = check_integer("input_size", input_size, 1)
        self.hidden_size = check_integer("hidden_size", hidden_size, 1)
        check_finite("input_gain", input_gain)
        check_single(input_gain=input_gain)
        check_key("key", key)
        input_key, *recurrent_keys = jax.random.split(key, 1 + gates)
        recurrent = Gaussian() if recurrent is None else recurrent
        matrices = [drawn("recurrent", recurrent, k, hidden_size) for k in recurrent_keys]
        self.recurrent_weight = jnp.concatenate(matrices)
        self.input_weight = (
            input_gain
            / input_size
            * jax.random.normal(input_key, (gates * hidden_size, input_size))
        )


def _check_gates(name: str, bias: float, chrono: float | None, openness: float) -> None:
    """Raises unless one of the three at most says how the gate that remembers starts."""
    check_single(**{name: bias, "openness": openness})
    if openness != 0:
        for other, given in ((name, bias != 0), ("chrono", chrono is not None)):
            if given:
                raise ValueError(f"{other}: openness = {openness} takes its place; leave one out.")
    if chrono is None:
        return
    if bias != 0:
        raise ValueError(f"{name}: chrono = {chrono} takes its place; leave one of them out.")
    check_single(chrono=chrono)
    if chrono < 2:
        raise ValueError(f"chrono: expected at least 2 steps, got {chrono}.")


def _gate_bias(
    bias: float, chrono: float | None, openness: float, size: int, key: PRNGKeyArray
) -> Float[Array, " size"]:
    """Start values of the gate that remembers, from settings that are checked."""
    if chrono is None:
        return jnp.full(size, -float(openness) if openness != 0 else float(bias))
    times = jax.random.uniform(jax.random.fold_in(key, 0xC0), (size,), minval=1, maxval=chrono - 1)
    return jnp.log(jnp.maximum(times, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _GatedSpec(RecurrentSpec):
    chrono: float | None = None
    """Longest time to remember, in steps, for the chrono initialisation of the gates (Tallec & Ollivier
    2018); None for gates that start with the same bias in all units."""
    openness: float | None = None
    """Start biases at which a step replaces the state: minus this for the gate that remembers, this for all
    others. At 3 a step replaces 95 % of the state; None for biases of 0."""


class GRUCell(GatedCell):
    """A gated recurrent unit (Cho et al. 2014, with the reset gate after the matrix product).

    With ``r``, ``z`` the reset and update gates::

        r = sigmoid(W_r h + U_r s + b_r),  z = sigmoid(W_z h + U_z s + b_z)
        n = tanh(r * (W_n h + c) + U_n s + b_n),  h' = (1 - z) * n + z * h

    The state has shape ``(hidden_size,)``. ``recurrent_weight`` stacks ``W_r, W_z, W_n``.

    Args:
        input_size: number of inputs.
        hidden_size: number of units N.
        recurrent: initialiser of each gate's recurrent matrix; default ``Gaussian(gain=1)``.
        input_gain: input weights are drawn from N(0, (input_gain / input_size)^2).
        update_bias: start value of ``b_z``; larger values remember longer.
        chrono: longest time T to remember, in steps: each ``b_z`` starts at ``ln u`` with ``u`` uniform in
            [1, T - 1], so that the units' memories last between 1 and T steps (chrono initialisation,
            Tallec & Ollivier 2018). It takes the place of ``update_bias``.
        openness: start value of ``b_r`` and ``-b_z``. At 3 each step replaces 95 % of the state and the unit
            starts nearly as that of a tanh network, whose exponents its weights can control.
        key: random key.
    """

    recurrent_bias: Float[Array, " hidden"]

    open_signs = (1, -1, 0)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent: Initialiser | None = None,
        input_gain: float = 1.0,
        update_bias: float = 0.0,
        chrono: float | None = None,
        openness: float = 0.0,
        key: PRNGKeyArray,
    ):
        self._build(3, input_size, hidden_size, recurrent, input_gain, key)
        _check_gates("update_bias", update_bias, chrono, openness)
        update = _gate_bias(update_bias, chrono, openness, hidden_size, key)
        zeros = jnp.zeros(hidden_size)
        self.bias = jnp.concatenate([zeros + openness, update, zeros])
        self.recurrent_bias = jnp.zeros(hidden_size)

    def __call__(
        self, state: Float[Array, " hidden"], input: Float[Array, " input"]
    ) -> Float[Array, " hidden"]:
        """The next state, shape ``(hidden_size,)``."""
        input = self._check({"state": state}, input)
        from_state = jnp.split(product(self.recurrent_weight, state), 3)
        from_input = jnp.split(product(self.input_weight, input) + self.bias, 3)
        reset = jax.nn.sigmoid(from_state[0] + from_input[0])
        update = jax.nn.sigmoid(from_state[1] + from_input[1])
        candidate = jnp.tanh(reset * (from_state[2] + self.recurrent_bias) + from_input[2])
        return candidate + update * (state - candidate)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Float[Array, " hidden"]:
        """Zeros, or uniform numbers in (-1, 1) from ``key``."""
        if key is None:
            return jnp.zeros(self.hidden_size, self.bias.dtype)
        return jax.random.uniform(key, (self.hidden_size,), self.bias.dtype, -1, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class GRUSpec(_GatedSpec, name="gru"):
    """A gated recurrent unit (``fl.GRUCell``)."""

    update_bias: float | None = None
    """Start value of the update gate's bias; larger values remember longer. Default 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_gates("update_bias", self.update_bias or 0.0, self.chrono, self.openness or 0.0)

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> GRUCell:
        """One cell with fresh weights."""
        return GRUCell(
            input_size,
            self.hidden_size,
            update_bias=self.update_bias or 0.0,
            chrono=self.chrono,
            openness=self.openness or 0.0,
            key=key,
            **self._matrices(),
        )


class LSTMState(NamedTuple):
    """State of an LSTM: both arrays have shape ``(hidden_size,)``."""

    hidden: Float[Array, " hidden"]
    cell: Float[Array, " hidden"]


class LSTMCell(GatedCell):
    """A long short-term memory cell (Hochreiter & Schmidhuber 1997; forget gate of Gers et al. 2000).

    With ``i, f, o`` the input, forget and output gates and ``g`` the candidate::

        c' = f * c + i * g,  h' = o * tanh(c')

    The state is ``LSTMState(hidden, cell)``: 2N tangent directions for N units. ``recurrent_weight``
    stacks the matrices of ``i, f, g, o``.

    Args:
        input_size: number of inputs.
        hidden_size: number of units N.
        recurrent: initialiser of each gate's recurrent matrix; default ``Gaussian(gain=1)``.
        input_gain: input weights are drawn from N(0, (input_gain / input_size)^2).
        forget_bias: start value of the forget gate's bias (1 in Jozefowicz et al. 2015).
        chrono: longest time T to remember, in steps: the forget gate's biases start at ``ln u`` with ``u``
            uniform in [1, T - 1], and the input gate's at ``-ln u`` (chrono initialisation, Tallec &
            Ollivier 2018). It takes the place of ``forget_bias``.
        openness: start value of the biases of input and output gate and of minus that of the forget gate.
            At 3 each step replaces 95 % of the cell and the unit starts nearly as that of a tanh network.
        key: random key.
    """

    open_signs = (1, -1, 0, 1)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        recurrent: Initialiser | None = None,
        input_gain: float = 1.0,
        forget_bias: float = 0.0,
        chrono: float | None = None,
        openness: float = 0.0,
        key: PRNGKeyArray,
    ):
        self._build(4, input_size, hidden_size, recurrent, input_gain, key)
        _check_gates("forget_bias", forget_bias, chrono, openness)
        forget = _gate_bias(forget_bias, chrono, openness, hidden_size, key)
        zeros = jnp.zeros(hidden_size)
        enter = zeros + openness if chrono is None else -forget
        self.bias = jnp.concatenate([enter, forget, zeros, zeros + openness])

    def __call__(self, state: LSTMState, input: Float[Array, " input"]) -> LSTMState:
        """The next state."""
        hidden, cell = state
        input = self._check({"state.hidden": hidden, "state.cell": cell}, input)
        gates = (
            product(self.recurrent_weight, hidden) + product(self.input_weight, input) + self.bias
        )
        enter, forget, candidate, leave = jnp.split(gates, 4)
        cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jnp.tanh(candidate)
        return LSTMState(jax.nn.sigmoid(leave) * jnp.tanh(cell), cell)

    @property
    def most_flossed(self) -> int:
        """One exponent for each unit: outputs follow cells, and flossed beyond that, cells stop listening."""
        return self.hidden_size

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> LSTMState:
        """Zeros, or uniform numbers in (-1, 1) from ``key``."""
        if key is None:
            zeros = jnp.zeros(self.hidden_size, self.bias.dtype)
            return LSTMState(zeros, zeros)
        return LSTMState(*jax.random.uniform(key, (2, self.hidden_size), self.bias.dtype, -1, 1))

    def output(self, state: LSTMState) -> Float[Array, " hidden"]:
        """The hidden part of the state."""
        return state.hidden


@dataclasses.dataclass(frozen=True, kw_only=True)
class LSTMSpec(_GatedSpec, name="lstm"):
    """A long short-term memory (``fl.LSTMCell``)."""

    forget_bias: float | None = None
    """Start value of the forget gate's bias; larger values remember longer. Default 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_gates("forget_bias", self.forget_bias or 0.0, self.chrono, self.openness or 0.0)

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> LSTMCell:
        """One cell with fresh weights."""
        return LSTMCell(
            input_size,
            self.hidden_size,
            forget_bias=self.forget_bias or 0.0,
            chrono=self.chrono,
            openness=self.openness or 0.0,
            key=key,
            **self._matrices(),
        )
