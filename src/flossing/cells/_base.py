"""What every cell of the library has: a step, a start state, an output."""

import abc
import inspect
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import (
    check_finite,
    check_instance,
    check_shape,
    positive_parameter,
    real_array,
)
from ..escape_noise import EscapeNoise, Noisy, parts
from ..initialisers import Initialiser

PerUnit = float | Float[Array, " hidden"]


_PARTS = ("input_size", "hidden_size", "initial_state", "output", "over_time")


def check_cell(name: str, cell: Any) -> None:
    """Raises ``TypeError`` for what is no cell, with what it lacks and the order of its arguments."""
    lacks = [part for part in _PARTS if not hasattr(cell, part)]
    if isinstance(cell, type) or lacks:
        kind = cell.__name__ if isinstance(cell, type) else type(cell).__name__
        text = f"{name}: expected a cell such as fl.TanhCell(...) or an object of your subclass of fl.Cell"
        if isinstance(cell, type):
            raise TypeError(f"{text}, got the class {kind}.")
        raise TypeError(f"{text}; {kind} has no {', '.join(lacks)}.{_order_of(cell)}")


def _order_of(cell: Any) -> str:
    """A sentence for a step that takes its input first, else nothing."""
    try:
        names = list(inspect.signature(cell).parameters)
    except (TypeError, ValueError):
        return ""
    if len(names) < 2 or names[0] not in ("input", "inputs", "x"):
        return ""
    return (
        f" It takes ({names[0]}, state), as Equinox cells do: in __call__(self, state, input) of the "
        "subclass return self.inner(input, state)."
    )


def product(
    weight: Float[Array, "n m"], vector: Float[Array, "*lead m"]
) -> Float[Array, "*lead n"]:
    """``weight @ vector``, written so that batches and tangents lead before and after it.

    Under ``jax.vmap`` the vector's new axis comes first and stays first; ``weight @ vector`` would put it
    last, and every product would be followed by a transposition. ``vector @ weight.T`` has no such
    transposition, but its derivative transposes the gradient of the weight at every step.
    """
    dtype = jnp.result_type(weight, vector)
    contract = (((vector.ndim - 1,), (1,)), ((), ()))
    return jax.lax.dot_general(vector.astype(dtype), weight.astype(dtype), contract)


def check_sequence(inputs: Array, input_size: int) -> tuple[int, ...]:
    """The axes of the trials of inputs of shape ``(time, *trial, input_size)``."""
    if inputs.ndim < 2 or inputs.shape[-1] != input_size:
        raise ValueError(
            f"inputs: expected shape (time, ..., {input_size}), got {tuple(inputs.shape)}."
        )
    return inputs.shape[1:-1]


def drawn(name: str, initialiser: Initialiser | Any, key: PRNGKeyArray, *sizes: int) -> Array:
    """A matrix of floating-point numbers from an initialiser; the only size is that of both axes.

    Raises ``TypeError`` or ``ValueError`` if ``initialiser`` is none, or returns another shape.
    """
    if isinstance(initialiser, type) or not callable(initialiser):
        got = f"{initialiser!r} ({type(initialiser).__name__})"
        if isinstance(initialiser, type):
            got = f"the class {initialiser.__name__}; write {initialiser.__name__}()"
        raise TypeError(
            f"{name}: expected an initialiser such as fl.initialisers.Gaussian(), got {got}."
        )
    try:
        matrix = initialiser(key, *sizes)
    except TypeError as error:
        called = ", ".join(map(str, ("key", *sizes)))
        raise TypeError(
            f"{name}: {initialiser!r} does not work as initialiser({called}): {error}."
        ) from error
    matrix = real_array(name, matrix)
    check_shape(name, matrix, sizes if len(sizes) == 2 else sizes * 2)
    return matrix


def per_unit(name: str, value: PerUnit, size: int, *, zero: bool = False) -> PerUnit:
    """A positive constant of all units, or one for each, shape ``(size,)``."""
    return _sized(name, positive_parameter(name, value, zero=zero), size)


def signed_per_unit(name: str, value: PerUnit, size: int) -> PerUnit:
    """A finite constant of all units, or one for each, shape ``(size,)``."""
    check_finite(name, value)
    return _sized(name, real_array(name, value) if jnp.ndim(value) else float(value), size)


def _sized(name: str, value: PerUnit, size: int) -> PerUnit:
    if jnp.ndim(value) and jnp.shape(value) != (size,):
        raise ValueError(
            f"{name}: expected one number or shape ({size},), got shape {jnp.shape(value)}."
        )
    return value


def decay(time_step: float, time_constant: PerUnit, dtype: Any) -> tuple[Array, Array]:
    """``exp(-dt / tau)``, and 1 minus that: exact where the first rounds to 1."""
    exponent = -time_step / jax.lax.stop_gradient(jnp.asarray(time_constant))
    return jnp.exp(exponent).astype(dtype), (-jnp.expm1(exponent)).astype(dtype)


def check_escape(escape: Any) -> None:
    """Raises ``TypeError`` unless it is an escape noise or ``None``."""
    if escape is not None:
        check_instance("escape", escape, EscapeNoise, "an escape noise or None")


def as_bits(uniform: Array, dtype: Any) -> Array:
    """Uniform numbers as integers, which have no tangent directions; ``from_bits`` gives them back."""
    if uniform.dtype.itemsize <= jnp.dtype(dtype).itemsize:
        uniform = uniform.astype(dtype)
    else:  # still below 1, where a lower precision would round up
        uniform = jnp.minimum(uniform.astype(dtype), 1 - jnp.finfo(dtype).epsneg)
    kind = {4: jnp.int32, 8: jnp.int64, 2: jnp.int16}[uniform.dtype.itemsize]
    return jax.lax.bitcast_convert_type(uniform, kind)


def from_bits(bits: Array, dtype: Any) -> Array:
    """The uniform numbers that ``as_bits`` made integers of."""
    return jax.lax.bitcast_convert_type(bits, dtype)


def precision(state: Any) -> Any:
    """The dtype of the floating-point numbers of a state."""
    floats = [x for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.floating)]
    return jnp.result_type(*floats) if floats else jnp.result_type(float)


def states_of(trials: tuple[int, ...], state: Any) -> Any:
    """One state for each trial, all equal."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (*trials, *jnp.shape(x))), state)


def start_of(cell: "Cell", trials: tuple[int, ...], state: Any) -> Any:
    """Where trials start: ``state``, checked against the initial state of the cell, or that."""
    initial = cell.initial_state()
    if state is None:
        return states_of(trials, initial)
    if jax.tree.structure(state) != jax.tree.structure(initial):
        raise TypeError(f"state: expected one like initial_state(), {initial}, got {state!r}.")

    def fit(path: Any, like: Array, value: Any) -> Array:
        name = "state" + jax.tree_util.keystr(path)
        if not jnp.issubdtype(like.dtype, jnp.floating):
            return value
        value = real_array(name, value, like.dtype)
        check_shape(name, value, (*trials, *like.shape))
        return value.astype(jnp.result_type(value, like))

    return jax.tree_util.tree_map_with_path(fit, initial, state)


class Cell(eqx.Module):
    """One step of a recurrent network: ``cell(state, input) -> state``, the order of ``jax.lax.scan``.

    ``state`` and ``input`` belong to a single trajectory, without a batch axis; ``jax.vmap`` makes
    batches. Nothing in the library asks for this class: any function of that form is a step.
    """

    input_size: eqx.AbstractVar[int]
    hidden_size: eqx.AbstractVar[int]
    keep_row_means: ClassVar[bool] = False
    """Whether flossing steps leave the means of the rows of the weight matrices as they are.

    True for LIF neurons. There flossing raises the means of rows: one exponent becomes large and many small
    ones fit their target, while firing rates explode.
    """

    @abc.abstractmethod
    def __call__(self, state: Any, input: Float[Array, " input"]) -> Any:
        """The next state."""

    @abc.abstractmethod
    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Any:
        """The state a network starts in: zeros, or random when a key is given."""

    def output(self, state: Any) -> Float[Array, " hidden"]:
        """What a readout or the next layer sees of a state: the state itself, unless a subclass differs."""
        if not hasattr(state, "shape"):
            raise TypeError(
                f"state: {type(self).__name__} has a state of several arrays; its output(state) has to say "
                "what a readout sees."
            )
        return state

    @property
    def most_flossed(self) -> int | None:
        """How many leading exponents flossing moves at most; ``None``: one for each state variable."""
        return None

    @property
    def noise_size(self) -> int:
        """How many uniform numbers a step needs; none, unless the cell is stochastic."""
        return 0

    def over_time(self, inputs: Any, state: Any = None) -> Float[Array, "time *trial hidden"]:
        """Outputs of all steps, shape ``(time, *trial, hidden_size)``; the same as stepping.

        Args:
            inputs: of one trial, or of many side by side; time comes first. ``Noisy`` for a stochastic cell.
            state: where to start, each array with the axes of the trials before its own; default
                ``initial_state()``.

        Many trials at once are faster than ``jax.vmap`` of this method: products of matrices, no products
        of batches, and nothing is transposed.
        """

        def step(state: Any, input: Any) -> tuple[Any, Array]:
            state = self(state, input)
            return state, self.output(state)

        values, uniform = parts(inputs, self.noise_size, "inputs")
        trials = check_sequence(values, self.input_size)
        for _ in trials:
            step = jax.vmap(step)
        start = start_of(self, trials, state)
        # A step keeps the precision of its state, whatever that of the inputs.
        values = values.astype(precision(start))
        inputs = values if uniform is None else Noisy(values, uniform)
        return jax.lax.scan(step, start, inputs)[1]

    def _check(self, state: dict[str, Any], input: Any) -> Array:
        for name, array in state.items():
            if array is None:
                raise ValueError(f"{name}: expected shape {(self.hidden_size,)}, got None.")
            if not hasattr(array, "dtype") or jnp.issubdtype(array.dtype, jnp.complexfloating):
                kind = getattr(array, "dtype", type(array).__name__)
                raise TypeError(f"{name}: expected an array of real numbers, got {kind}.")
            check_shape(name, array, (self.hidden_size,))
        input = real_array("input", input, precision(state))
        check_shape("input", input, (self.input_size,))
        return input
