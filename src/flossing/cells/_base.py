"""What every cell of the library has: a step, a start state, an output."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_shape
from ..escape_noise import parts


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


def states_of(trials: tuple[int, ...], state: Any) -> Any:
    """One state for each trial, all equal."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (*trials, *jnp.shape(x))), state)


class Cell(eqx.Module):
    """One step of a recurrent network: ``cell(state, input) -> state``, the order of ``jax.lax.scan``.

    ``state`` and ``input`` belong to a single trajectory, without a batch axis; ``jax.vmap`` makes
    batches. Nothing in the library asks for this class: any function of that form is a step.
    """

    input_size: eqx.AbstractVar[int]
    hidden_size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def __call__(self, state: Any, input: Float[Array, " input"]) -> Any:
        """The next state."""

    @abc.abstractmethod
    def initial_state(self, *, key: PRNGKeyArray | None = None) -> Any:
        """The state a network starts in: zeros, or random when a key is given."""

    @abc.abstractmethod
    def output(self, state: Any) -> Float[Array, " hidden"]:
        """What a readout or the next layer sees of a state."""

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

        trials = check_sequence(parts(inputs, self.noise_size)[0], self.input_size)
        for _ in trials:
            step = jax.vmap(step)
        start = states_of(trials, self.initial_state()) if state is None else state
        return jax.lax.scan(step, start, inputs)[1]

    def _check(self, state: dict[str, Any], input: Any) -> Array:
        for name, array in state.items():
            if array is None:
                raise ValueError(f"{name}: expected shape {(self.hidden_size,)}, got None.")
            check_shape(name, array, (self.hidden_size,))
        input = jnp.asarray(input)
        check_shape("input", input, (self.input_size,))
        return input
