"""Tasks on a stream of random bits whose answer lies a known number of steps back (Engelken 2023)."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._checks import check_integer, check_key, check_single, settle_integers
from .losses import binary_accuracy, binary_cross_entropy
from .task import Metric, Task, Trial


@dataclasses.dataclass(frozen=True)
class Parity(Task, name="parity"):
    """Parity of the ``2^order`` bits at lags ``D, 2 D, ..., 2^order D = delay``.

    The input is one random bit per step, of value 0 or ``amplitude``; the answer at step ``t`` is the
    parity of ``s[t - D], s[t - 2 D], ..., s[t - delay]`` and is scored from ``t = delay`` on, when the
    network has seen all of them. Order 0 is the copy task and order 1 the delayed XOR. Chance is 50 %.
    Targets of a trial are 0 or 1, shape (time, 1), and arbitrary where its mask is false. The loss is the
    cross-entropy of outputs as logits, in nats.
    """

    delay: int = 20
    """The largest lag in steps. A positive multiple of 2^order; the published code calls half of it delay."""
    _: dataclasses.KW_ONLY
    order: int = 2
    """2^order bits make the answer."""
    amplitude: float = 1.0
    """Value of an input bit that is 1, not 0."""
    num_steps: int | None = 300
    """Steps per trial, more than the delay."""

    def __post_init__(self) -> None:
        settle_integers(self, delay=1, order=(0, 10))
        if self.num_steps is not None:
            settle_integers(self, num_steps=1)
        check_single(amplitude=self.amplitude)
        if self.amplitude == 0:
            raise ValueError("amplitude: expected another number than 0, which hides every bit.")
        if self.delay % 2**self.order:
            raise ValueError(
                f"delay: expected a multiple of {2**self.order} (2^order with order {self.order}), "
                f"got {self.delay}."
            )

    @property
    def input_size(self) -> int:
        """Number of inputs: 1."""
        return 1

    @property
    def output_size(self) -> int:
        """Number of outputs: 1."""
        return 1

    @property
    def horizon(self) -> int:
        """The longest delay, in steps."""
        return self.delay

    @property
    def chance_loss(self) -> float:
        """Loss of the best constant output, in nats."""
        return math.log(2)

    @property
    def lags(self) -> tuple[int, ...]:
        """How many steps back the bits of the answer lie."""
        spacing = self.delay // 2**self.order
        return tuple(spacing * (i + 1) for i in range(2**self.order))

    def _length(self, num_steps: int | None) -> int:
        """Steps of a trial, where ``num_steps`` may say so."""
        own = 300 if self.num_steps is None else self.num_steps
        return own if num_steps is None else num_steps

    def check_length(self, num_steps: int) -> None:
        """Raises ``ValueError`` if a trial of ``num_steps`` has no scored step."""
        check_integer("num_steps", num_steps, 1)
        if num_steps <= self.delay:
            raise ValueError(
                f"num_steps: a delay of {self.delay} steps needs more than {self.delay}, got {num_steps}."
            )

    def sample_inputs(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time 1"]:
        """A stream of bits, shape ``(num_steps, 1)``."""
        check_key("key", key)
        check_integer("num_steps", num_steps, 1)
        bits = jax.random.bernoulli(key, 0.5, (num_steps, 1))
        return self.amplitude * bits.astype(float)

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial of ``num_steps`` steps; the mask says which are scored.

        Raises:
            ValueError: ``num_steps`` is not larger than ``delay``, so that nothing would be scored.
        """
        check_key("key", key)
        num_steps = self._length(num_steps)
        self.check_length(num_steps)
        bits = jax.random.bernoulli(key, 0.5, (num_steps, 1))
        return Trial(self.amplitude * bits.astype(float), *self._answers(bits))

    def _answers(self, bits: Bool[Array, "n 1"]) -> tuple[Float[Array, "n 1"], Bool[Array, " n"]]:
        """Targets of a stream of bits, and which of them are scored."""
        spacing = self.delay // 2**self.order
        answer = jnp.roll(bits, spacing, axis=0)
        for i in range(self.order):
            # The parity of twice as many bits: of those nearby, and of as many before them.
            answer = answer ^ jnp.roll(answer, spacing * 2**i, axis=0)
        return answer.astype(float), jnp.arange(len(bits)) >= self.delay

    def read(
        self, outputs: Float[Array, "*batch time output"]
    ) -> Float[Array, "*batch time output"]:
        """What is compared with the targets: the outputs of a network as they are."""
        return outputs

    def loss(self, outputs: Float[Array, "*batch time output"], trial: Trial) -> Float[Array, ""]:
        """Mean logistic cross-entropy of the scored steps, in nats."""
        return binary_cross_entropy(self.read(outputs), trial.targets, trial.mask)

    def metrics(
        self, outputs: Float[Array, "*batch time output"], trial: Trial
    ) -> dict[str, Metric]:
        """The accuracy: the fraction of scored steps with the right answer."""
        value = binary_accuracy(self.read(outputs), trial.targets, trial.mask)
        return {"accuracy": Metric(value, chance=0.5)}

    def describe(self) -> str:
        """A few words for titles."""
        return f"parity of {2**self.order} bits, d = {self.delay}"


@dataclasses.dataclass(frozen=True)
class DelayedXOR(Parity, name="xor"):
    """Delayed XOR: ``y[t] = s[t - delay/2] XOR s[t - delay]``; ``delay`` is even."""

    order: int = dataclasses.field(default=1, init=False)

    def describe(self) -> str:
        """A few words for titles."""
        return f"delayed XOR, d = {self.delay}"


@dataclasses.dataclass(frozen=True)
class Copy(Parity, name="copy"):
    """Copy task: ``y[t] = s[t - delay]``."""

    order: int = dataclasses.field(default=0, init=False)

    def describe(self) -> str:
        """A few words for titles."""
        return f"copy task, d = {self.delay}"
