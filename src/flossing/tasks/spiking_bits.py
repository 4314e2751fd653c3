"""A stream of bits shown as spikes of an input population, with the answers of the tasks on bits."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, Shaped

from .._checks import check_integer, check_key, check_positive
from .bits import Parity, Sample


@dataclasses.dataclass(frozen=True)
class SpikingBits(Parity):
    """The parity of earlier bits (order 0: copy, order 1: delayed XOR), each shown for one time bin.

    A bin lasts ``bin_steps`` steps. While a bit is shown, the first half of the channels fires if it is 0
    and the second half if it is 1; every channel of that half has a spike in a step with the
    same probability, independently of all else, so two bins with the same bit have different spikes. The
    other half is silent.

    There is one answer per bin. It is read from the mean of the outputs over the bin (``read``), and
    the bit of the bin itself has lag 0.

    Args:
        delay: the largest lag in bins, a positive multiple of ``2^order``.
        order: h; ``2^h`` bits make the answer.
        amplitude: of a spike.
        bin_steps: steps per bit.
        channels: number of inputs, even.
        probability: of a spike per step, for the channels of the current bit; at most 1.
    """

    bin_steps: int = 10
    channels: int = 20
    probability: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("bin_steps", self.bin_steps, 1)
        check_integer("channels", self.channels, 2)
        check_positive("probability", self.probability)
        if self.channels % 2:
            raise ValueError(
                f"channels: expected an even number, half for each bit, got {self.channels}."
            )
        if self.probability > 1:
            raise ValueError(f"probability: expected at most 1, got {self.probability}.")

    @property
    def input_size(self) -> int:
        """Number of channels."""
        return self.channels

    @property
    def horizon(self) -> int:
        """The longest delay, in steps."""
        return self.delay * self.bin_steps

    def check_length(self, num_steps: int) -> None:
        """Raises ``ValueError`` if ``num_steps`` are not whole bins, or none of them is scored."""
        check_integer("num_steps", num_steps, 1)
        if num_steps % self.bin_steps:
            raise ValueError(
                f"num_steps: expected whole bins of {self.bin_steps} steps, got {num_steps}."
            )
        super().check_length(num_steps // self.bin_steps)

    def spikes(
        self, key: PRNGKeyArray, bits: Shaped[Array, "bins 1"]
    ) -> Float[Array, "time channels"]:
        """The spikes that show these bits (0 or 1, or false and true), ``bin_steps`` steps for each."""
        check_key("key", key)
        shown = jnp.repeat(bits > 0, self.bin_steps, axis=0)
        half = jnp.arange(self.channels) >= self.channels // 2
        drawn = jax.random.bernoulli(key, self.probability, (len(shown), self.channels))
        return self.amplitude * (drawn & (shown == half)).astype(float)

    def sample_inputs(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time channels"]:
        """Spikes of a stream of bits, shape ``(num_steps, channels)``; the last bin may be cut off."""
        bits_key, spike_key = jax.random.split(key)
        bits = jax.random.bernoulli(bits_key, 0.5, (-(-num_steps // self.bin_steps), 1))
        return self.spikes(spike_key, bits)[:num_steps]

    def sample(self, key: PRNGKeyArray, num_steps: int) -> Sample:
        """One trial of ``num_steps`` steps: spikes for every step, targets and mask for every bin.

        Raises:
            ValueError: ``num_steps`` are not whole bins, or no more than ``delay`` of them.
        """
        check_key("key", key)
        self.check_length(num_steps)
        bits_key, spike_key = jax.random.split(key)
        bits = jax.random.bernoulli(bits_key, 0.5, (num_steps // self.bin_steps, 1))
        return Sample(self.spikes(spike_key, bits), *self._answers(bits))

    def read(self, outputs: Float[Array, "time output"]) -> Float[Array, "bins output"]:
        """Means over the bins."""
        return outputs.reshape(-1, self.bin_steps, outputs.shape[-1]).mean(1)
