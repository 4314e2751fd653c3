"""The adding problem: remember two numbers of a long series and give their sum (Hochreiter 1997)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_integer, check_key, settle_integers
from .losses import mean_squared_error
from .task import Metric, Task, Trial


@dataclasses.dataclass(frozen=True)
class AddingProblem(Task, name="adding"):
    """The sum of two marked numbers, asked for at the last step.

    The first input is a fresh number from U(0, 1) at every step. The second is a marker: 1 at one random
    step of each half of the trial, else 0. The output of the last step is compared with the sum of the two
    marked numbers; targets have shape (1,). The loss is the squared error; an output of 1, whatever the
    inputs, has an error of 1/6 in the mean.

    Source: Hochreiter & Schmidhuber 1997; numbers from 0 on and a marker in each half as in Arjovsky, Shah &
    Bengio 2016.
    """

    num_steps: int = 100
    """Steps per trial, at least 2."""

    def __post_init__(self) -> None:
        settle_integers(self, num_steps=2)

    @property
    def input_size(self) -> int:
        """Number of inputs: the number and the marker."""
        return 2

    @property
    def output_size(self) -> int:
        """Number of outputs: 1."""
        return 1

    @property
    def horizon(self) -> int:
        """The longest time from a marked number to the answer, in steps."""
        return self.num_steps

    @property
    def chance_loss(self) -> float:
        """Variance of the sum of two numbers from U(0, 1)."""
        return 1 / 6

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial: inputs of shape (num_steps, 2) and the sum, shape (1,)."""
        check_key("key", key)
        length = self.num_steps if num_steps is None else check_integer("num_steps", num_steps, 2)
        number_key, first_key, second_key = jax.random.split(key, 3)
        numbers = jax.random.uniform(number_key, (length,))
        first = jax.random.randint(first_key, (), 0, length // 2)
        second = jax.random.randint(second_key, (), length // 2, length)
        marked = jnp.zeros(length).at[jnp.stack([first, second])].set(1.0)
        return Trial(jnp.stack([numbers, marked], axis=-1), (numbers * marked).sum()[None])

    def loss(self, outputs: Float[Array, "trial time 1"], trial: Trial) -> Float[Array, ""]:
        """Mean squared error of the outputs of the last step."""
        return mean_squared_error(outputs[..., -1, :], trial.targets)

    def metrics(self, outputs: Float[Array, "trial time 1"], trial: Trial) -> dict[str, Metric]:
        """The mean squared error."""
        value = self.loss(outputs, trial)
        return {"error": Metric(value, higher_is_better=False, chance=self.chance_loss)}

    def describe(self) -> str:
        """A few words for titles."""
        return f"adding problem, {self.num_steps} steps"
