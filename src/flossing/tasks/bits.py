"""Tasks on a stream of random bits whose answer lies a known number of steps back (Engelken 2023)."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._checks import check_integer, check_key, check_single, settle_integers


class Sample(NamedTuple):
    """One trial, time as leading axis."""

    inputs: Float[Array, "time input"]
    targets: Float[Array, "time output"]
    """0 or 1; arbitrary where the mask is false."""
    mask: Bool[Array, " time"]
    """Steps at which the output is scored: all bits of the answer have been shown."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """Parity of the ``2^order`` bits at lags ``D, 2 D, ..., 2^order D = delay``.

    The input is one random bit per step, of value 0 or ``amplitude``; the answer at step ``t`` is the
    parity of ``s[t - D], s[t - 2 D], ..., s[t - delay]`` and is scored from ``t = delay`` on, when the
    network has seen all of them. Order 0 is the copy task and order 1 the delayed XOR. Chance is 50 %.

    Args:
        delay: the largest lag d in steps, a positive multiple of ``2^order``.
        order: h.
        amplitude: value of a bit that is 1, not 0.
    """

    delay: int = 20
    order: int = 2
    amplitude: float = 1.0

    def __post_init__(self) -> None:
        settle_integers(self, delay=1, order=(0, 10))
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

    def sample(self, key: PRNGKeyArray, num_steps: int) -> Sample:
        """One trial of ``num_steps`` steps.

        Raises:
            ValueError: ``num_steps`` is not larger than ``delay``, so that nothing would be scored.
        """
        check_key("key", key)
        self.check_length(num_steps)
        bits = jax.random.bernoulli(key, 0.5, (num_steps, 1))
        return Sample(self.amplitude * bits.astype(float), *self._answers(bits))

    def _answers(self, bits: Bool[Array, "n 1"]) -> tuple[Float[Array, "n 1"], Bool[Array, " n"]]:
        """Targets of a stream of bits, and which of them are scored."""
        spacing = self.delay // 2**self.order
        answer = jnp.roll(bits, spacing, axis=0)
        for i in range(self.order):
            # The parity of twice as many bits: of those nearby, and of as many before them.
            answer = answer ^ jnp.roll(answer, spacing * 2**i, axis=0)
        return answer.astype(float), jnp.arange(len(bits)) >= self.delay

    def read(self, outputs: Float[Array, "time output"]) -> Float[Array, "time output"]:
        """What is compared with the targets: the outputs of a network as they are."""
        return outputs


@dataclasses.dataclass(frozen=True)
class DelayedXOR(Parity):
    """Delayed XOR: ``y[t] = s[t - delay/2] XOR s[t - delay]``; ``delay`` is even."""

    order: int = dataclasses.field(default=1, init=False)


@dataclasses.dataclass(frozen=True)
class Copy(Parity):
    """Copy task: ``y[t] = s[t - delay]``."""

    order: int = dataclasses.field(default=0, init=False)
