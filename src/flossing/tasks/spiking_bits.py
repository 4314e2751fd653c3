"""A stream of bits shown as spikes of an input population, with the answers of the tasks on bits."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, PRNGKeyArray, Shaped

from .._checks import (
    as_floats,
    check_integer,
    check_key,
    check_positive,
    check_shape,
    check_single,
    settle_integers,
)
from .bits import Parity
from .task import Trial


@dataclasses.dataclass(frozen=True)
class SpikingBits(Parity, name="spiking-bits"):
    """The parity of earlier bits (order 0: copy, order 1: delayed XOR), each shown for one time bin.

    A bin lasts ``bin_steps`` steps. While a bit is shown, the first half of the channels fires if it is 0
    and the second half if it is 1; every channel of that half has a spike in a step with the
    same probability, independently of all else, so two bins with the same bit have different spikes. The
    other half is silent.

    There is one answer per bin. It is read from the mean of the outputs over the bin (``read``), and
    the bit of the bin itself has lag 0.

    With ``single`` there is one answer per trial: only its ``2^order`` bits are shown, the first of them
    in bin 0. In all other bins every channel fires with half the probability, so they say nothing, and the
    rate stays. The answer is the same from bin ``delay`` to the end of the trial. A network then keeps
    ``2^order`` bits at a time instead of ``delay``.
    """

    delay: int = 20
    """The largest lag in bins. A positive multiple of 2^order."""
    _: dataclasses.KW_ONLY
    order: int = 1
    """2^order bits make the answer; 0: copy, 1: XOR."""
    amplitude: float = 1.0
    """Of a spike, not 0."""
    num_steps: int | None = None
    """Steps per trial, in whole bins. More than the delay; by default one bin more if there is one answer per
    trial, else twice the delay."""
    bin_steps: int = 10
    """Steps for which a bit is shown."""
    channels: int = 20
    """Number of inputs, half for 0 and half for 1."""
    probability: float = 0.2
    """Of a spike per step in channels of the bit."""
    single: bool = False
    """One answer per trial, which shows only its bits. Else a stream of bits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        settle_integers(self, bin_steps=1, channels=2)
        check_positive("probability", self.probability)
        check_single(probability=self.probability)
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

    def _length(self, num_steps: int | None) -> int:
        bins = self.delay + 1 if self.single else 2 * self.delay
        given = self.num_steps if num_steps is None else num_steps
        return bins * self.bin_steps if given is None else given

    def check_length(self, num_steps: int) -> None:
        """Raises ``ValueError`` if ``num_steps`` are not whole bins, or none of them is scored."""
        check_integer("num_steps", num_steps, 1)
        if num_steps % self.bin_steps:
            raise ValueError(
                f"num_steps: expected whole bins of {self.bin_steps} steps, got {num_steps}."
            )
        if num_steps <= self.horizon:
            raise ValueError(
                f"num_steps: a delay of {self.delay} bins of {self.bin_steps} steps (bin_steps) needs "
                f"more than {self.horizon} steps, got {num_steps}."
            )

    def spikes(
        self,
        key: PRNGKeyArray,
        bits: Shaped[ArrayLike, "bins 1"],
        shown: Shaped[ArrayLike, " bins"] | None = None,
    ) -> Float[Array, "time channels"]:
        """The spikes that show these bits (0 or 1, or false and true), ``bin_steps`` steps for each.

        Where ``shown`` is false (or 0), all channels fire with half the probability.
        """
        check_key("key", key)
        values = as_floats("bits", bits)
        check_shape("bits", values, (len(values) if values.ndim else 0, 1))
        half = jnp.arange(self.channels) >= self.channels // 2
        chances = self.probability * ((values > 0) == half[None])
        if shown is not None:
            visible = as_floats("shown", shown) != 0
            check_shape("shown", visible, (len(values),))
            chances = jnp.where(visible[:, None], chances, self.probability / 2)
        chances = jnp.repeat(chances, self.bin_steps, axis=0)
        drawn = jax.random.bernoulli(key, chances)
        return self.amplitude * drawn.astype(float)

    def sample_inputs(self, key: PRNGKeyArray, num_steps: int) -> Float[Array, "time channels"]:
        """Spikes of a stream of bits, shape ``(num_steps, channels)``; the last bin may be cut off.

        With ``single``, trials of ``delay + 1`` bins follow each other.
        """
        check_key("key", key)
        num_steps = check_integer("num_steps", num_steps, 1)
        bits_key, spike_key = jax.random.split(key)
        bins = -(-num_steps // self.bin_steps)
        bits = jax.random.bernoulli(bits_key, 0.5, (bins, 1))
        return self.spikes(spike_key, bits, self._shown(bins, self.delay + 1))[:num_steps]

    def sample(self, key: PRNGKeyArray, *, num_steps: int | None = None) -> Trial:
        """One trial of ``num_steps`` steps: spikes for every step, targets and mask for every bin.

        Raises:
            ValueError: ``num_steps`` are not whole bins, or no more than ``delay`` of them.
        """
        check_key("key", key)
        num_steps = self._length(num_steps)
        self.check_length(num_steps)
        bits_key, spike_key = jax.random.split(key)
        bins = num_steps // self.bin_steps
        bits = jax.random.bernoulli(bits_key, 0.5, (bins, 1))
        spikes = self.spikes(spike_key, bits, self._shown(bins, bins))
        targets, mask = self._answers(bits)
        if self.single:
            targets = jnp.broadcast_to(targets[self.delay], targets.shape)
        return Trial(spikes, targets, mask)

    def _shown(self, bins: int, trial: int) -> Bool[Array, " bins"] | None:
        """Which bins show a bit, if trials of that many bins follow each other; none: all."""
        if not self.single:
            return None
        lag = self.delay - jnp.arange(bins) % trial
        return jnp.isin(lag, jnp.asarray(self.lags))

    def read(
        self, outputs: Shaped[ArrayLike, "*batch time output"]
    ) -> Float[Array, "*batch bins output"]:
        """Means over the bins.

        Raises:
            ValueError: the outputs are not those of whole bins.
        """
        values = as_floats("outputs", outputs)
        if values.ndim < 2 or values.shape[-2] % self.bin_steps:
            raise ValueError(
                f"outputs: expected shape (..., time, output) with whole bins of {self.bin_steps} steps, "
                f"got {values.shape}."
            )
        shape = (*values.shape[:-2], -1, self.bin_steps, values.shape[-1])
        return values.reshape(shape).mean(-2)

    def describe(self) -> str:
        """A few words for titles."""
        name = {0: "copy task", 1: "delayed XOR"}.get(self.order, f"parity of {2**self.order} bits")
        return f"{name} of spike patterns, d = {self.delay} bins"
