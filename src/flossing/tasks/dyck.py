"""Dyck words: texts of nested brackets, and which of them has to be closed next (Hewitt et al. 2020)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from .._checks import check_integer, check_key, check_positive, check_single, settle_integers
from .losses import accuracy, cross_entropy
from .task import Metric, Task, Trial


@dataclasses.dataclass(frozen=True)
class DyckWords(Task, name="dyck"):
    """A text of brackets, character by character: of which kind is the closing bracket that comes next?

    The text is made of Dyck words, one after the other: every bracket is closed by one of its kind, and those
    opened within it are closed before. At most ``depth`` are open at a time. Where a bracket may open and may
    close, one opens with probability ``opening``, of any of the ``num_kinds`` kinds alike. Inputs are
    one-hot: the opening brackets of each kind first, then the closing ones. Outputs are one logit per kind.
    They are scored where the next character closes a bracket, unless that has been opened by the present one:
    then the present character, a closing bracket, says nothing about the kind, and a network without a memory
    is at chance, ``1 / num_kinds``. What cannot be known, such as where the next bracket opens, is not asked,
    so that the loss of a perfect memory is 0. Targets are the kind of the next character, shape (time,). The
    loss is the cross-entropy in nats.

    Source: the language of bounded depth, and closing brackets compared with each other alone, as in Hewitt,
    Hahn, Ganguli, Liang & Manning 2020; there, ``opening`` is 0.5.
    """

    num_steps: int = 100
    """Steps per trial, at least 3."""
    _: dataclasses.KW_ONLY
    num_kinds: int = 2
    """Kinds of brackets, at least 2."""
    depth: int = 3
    """Largest number of open brackets, at least 2."""
    opening: float = 0.7
    """Probability that a bracket opens where one may also close; the larger, the longer are the words."""

    def __post_init__(self) -> None:
        settle_integers(self, num_steps=3, num_kinds=2, depth=2)
        check_positive("opening", self.opening)
        check_single(opening=self.opening)
        if self.opening >= 1:
            raise ValueError(
                f"opening: expected less than 1, so that brackets are closed, got {self.opening}."
            )

    @property
    def input_size(self) -> int:
        """Number of inputs: the characters."""
        return 2 * self.num_kinds

    @property
    def output_size(self) -> int:
        """Number of outputs: the kinds."""
        return self.num_kinds

    @property
    def chance_loss(self) -> float:
        """Loss of outputs that are all alike, in nats."""
        return math.log(self.num_kinds)

    @property
    def horizon(self) -> int:
        """Mean distance of the outermost brackets, rounded; at most ``num_steps``.

        A bracket at the largest depth is closed by the next character. At any other, another one opens first
        with probability ``opening``, and after its end all is as before. There is no longest distance.
        """
        distance = 1.0
        for _ in range(self.depth - 1):
            distance = (1 + self.opening * distance) / (1 - self.opening)
        return round(min(distance, self.num_steps))

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial: inputs of shape (time, 2 num_kinds); targets and mask of shape (time,)."""
        check_key("key", key)
        length = self.num_steps if num_steps is None else check_integer("num_steps", num_steps, 3)
        kinds, closes = self._text(key, length + 1)
        characters = kinds + self.num_kinds * closes
        inputs = jax.nn.one_hot(characters[:-1], self.input_size)
        return Trial(inputs, kinds[1:], closes[1:] & closes[:-1])

    def _text(self, key: PRNGKeyArray, length: int) -> tuple[Int[Array, " n"], Bool[Array, " n"]]:
        """Kind of each character, and whether it closes."""
        kind_key, open_key = jax.random.split(key)
        kinds = jax.random.randint(kind_key, (length,), 0, self.num_kinds)
        wishes = jax.random.bernoulli(open_key, self.opening, (length,))

        def write(state: tuple[Array, Array], chances: tuple[Array, Array]) -> tuple:
            stack, level = state  # the kinds of the open brackets, and how many these are
            kind, wish = chances
            closes = (level == self.depth) | (level > 0) & ~wish
            kind = jnp.where(closes, stack[level - 1], kind)
            stack = jnp.where(closes, stack, stack.at[level].set(kind, mode="drop"))
            return (stack, level + jnp.where(closes, -1, 1)), (kind, closes)

        start = jnp.zeros(self.depth, kinds.dtype), jnp.zeros((), jnp.int32)
        return jax.lax.scan(write, start, (kinds, wishes))[1]

    def loss(self, outputs: Float[Array, "trial time kind"], trial: Trial) -> Float[Array, ""]:
        """Mean cross-entropy of the kinds of the scored closing brackets, in nats; NaN if none is."""
        return cross_entropy(outputs, trial.targets, trial.mask)

    def metrics(self, outputs: Float[Array, "trial time kind"], trial: Trial) -> dict[str, Metric]:
        """The accuracy: the fraction of scored closing brackets whose kind has the largest logit."""
        value = accuracy(outputs, trial.targets, trial.mask)
        return {"accuracy": Metric(value, chance=1 / self.num_kinds)}

    def describe(self) -> str:
        """A few words for titles."""
        return f"Dyck words of {self.num_kinds} kinds, depth {self.depth}"
