"""The tanh network of rate units."""

import dataclasses
import functools
from typing import Any, Literal, NamedTuple

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
from .._noisy import parts
from ..initialisers import Gaussian, Initialiser, apply_dale, check_dale
from ._base import Cell, check_sequence, drawn, precision, product, start_of
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
        return _step(self.form, self.leak, self._weights(), state, input)[0]

    def over_time(
        self, inputs: Any, state: Array | None = None
    ) -> Float[Array, "time *trial hidden"]:
        """States of all steps, shape ``(time, *trial, hidden_size)``; the same as stepping.

        Args:
            inputs: of one trial, or of many side by side; time comes first.
            state: where to start, shape ``(*trial, hidden_size)``; default ``initial_state()``.
        """
        kind = type(self)
        if (kind.__call__, kind.output) != (TanhCell.__call__, TanhCell.output):
            return super().over_time(inputs, state)  # a subclass whose step is another
        inputs, _ = parts(inputs, 0, "inputs")
        start = start_of(self, check_sequence(inputs, self.input_size), state)
        inputs = inputs.astype(precision(start))
        weights = jax.tree.map(lambda w: w.astype(jnp.result_type(w, start)), self._weights())
        return _states(self.form, self.leak, weights, start, inputs)

    def _weights(self) -> "_Weights":
        recurrent = self.recurrent_weight
        if self.dale is not None:
            recurrent = apply_dale(recurrent, self.dale)
        return _Weights(recurrent, self.input_weight, self.bias)

    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Float[Array, " hidden"]:
        """Zeros, or standard normal numbers (their tanh in the post-activation form) from ``key``."""
        if key is None:
            return jnp.zeros(self.hidden_size, self.bias.dtype)
        state = jax.random.normal(key, (self.hidden_size,), self.bias.dtype)
        return state if self.form == "pre-activation" else jnp.tanh(state)


class _Weights(NamedTuple):
    recurrent: Float[Array, "hidden hidden"]
    input: Float[Array, "hidden input"]
    bias: Float[Array, " hidden"]


def _step(
    form: str, leak: float, weights: _Weights, state: Array, input: Array
) -> tuple[Array, Array, Array]:
    """The next state, the rates that ``W`` is multiplied by, and the slope of the nonlinearity."""
    drive = _plus(product(weights.input, input), weights.bias)
    if form == "pre-activation":
        rate = active = jnp.tanh(state)
        new = product(weights.recurrent, rate) + drive
    else:
        rate = state
        new = active = jnp.tanh(product(weights.recurrent, rate) + drive)
    return _leaky(leak, state, new), rate, (1 + active) * (1 - active)


def _plus(values: Array, bias: Array) -> Array:
    return values + jnp.broadcast_to(bias, values.shape)


def _leaky(leak: float, state: Array, new: Array) -> Array:
    if leak == 1:
        return new
    # Each form is exact at one end: 1 - leak in double precision, or a step that is small.
    return (1 - leak) * state + leak * new if leak > 0.5 else state + leak * (new - state)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _states(form: str, leak: float, weights: _Weights, start: Array, inputs: Array) -> Array:
    """States of all steps, with a derivative that works on the weights once for all of them."""
    return _seen(form, leak, weights, start, inputs)[0]


def _seen(
    form: str, leak: float, weights: _Weights, start: Array, inputs: Array
) -> tuple[Array, Array, Array]:
    """What ``_step`` returns, of all steps."""

    def step(state: Array, input: Array) -> tuple[Array, tuple[Array, Array, Array]]:
        seen = _step(form, leak, weights, state, input)
        return seen[0], seen

    return jax.lax.scan(step, start, inputs)[1]


def _tangents(form: str, leak: float, at: tuple, tangents: tuple) -> tuple[Array, Array]:
    # Left to itself, JAX adds errors times rates to the gradient of W at every step of the backward pass: a
    # product of few trials, and N^2 numbers read and written. Here, what changes of W, U and b do to a step
    # is computed before the loop, for all steps at once; its transpose is one product over all trials and
    # steps, after the loop of the backward pass. It is what stands in brackets, with slopes D and rates r:
    #     dx' = W D dx + (dW r + dU s + U ds + db)      dh' = D (W dh + (dW r + dU s + U ds + db))
    # An update of 80 units with 16 trials of 300 steps takes two thirds of the time.
    (weights, start, inputs), (changes, first, input_changes) = at, tangents
    states, rates, slopes = _seen(form, leak, *at)
    factors = (changes.recurrent, rates), (changes.input, inputs), (weights.input, input_changes)
    pushes = jnp.zeros_like(states)
    for matrix, vectors in factors:
        if not (_is_zero(matrix) or _is_zero(vectors)):
            pushes = pushes + product(matrix, vectors)
    if not _is_zero(changes.bias):
        pushes = _plus(pushes, changes.bias)
    if _is_zero(first):
        first = jnp.zeros_like(start)

    def step(tangent: Array, at: tuple[Array, Array]) -> tuple[Array, Array]:
        slope, push = at
        if form == "pre-activation":
            new = product(weights.recurrent, slope * tangent) + push
        else:
            new = slope * (product(weights.recurrent, tangent) + push)
        tangent = _leaky(leak, tangent, new)
        return tangent, tangent

    return states, jax.lax.scan(step, first, (slopes, pushes))[1]


def _is_zero(tangent: Any) -> bool:
    """Whether nothing changes there, so that no product is needed."""
    return isinstance(tangent, jax.custom_derivatives.SymbolicZero)


_states.defjvp(_tangents, symbolic_zeros=True)


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
