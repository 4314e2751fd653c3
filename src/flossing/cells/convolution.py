"""One-dimensional convolutions between layers of LIF neurons, and within them."""

import math
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._checks import check_finite, check_integer, check_key, check_single, real_array
from ..escape_noise import EscapeNoise
from ..surrogates import Surrogate
from ._lif import LIFNeurons, Neurons, Reset, ResetGradient


class Convolution(eqx.Module):
    """A 1-D convolution of flat vectors: position by position, the channels of a position side by side.

    A vector of ``length * channels`` numbers becomes one of ``output_length * filters``. Few positions
    under a long kernel are computed as one matrix product, many as products of windows; both give the
    same numbers.

    Args:
        length: input positions.
        channels: numbers per input position.
        filters: numbers per output position.
        kernel_size: positions under the kernel.
        stride: input positions from one output to the next.
        padding: zeros on each side; ``"same"`` for as many outputs as inputs (odd kernel, stride 1).
        gain: kernel entries are drawn from N(0, gain^2 / (kernel_size channels)).
        key: random key.
    """

    kernel: Float[Array, "kernel channels filters"]
    length: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    padding: int = eqx.field(static=True)

    def __init__(
        self,
        length: int,
        channels: int,
        filters: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int | Literal["same"] = 0,
        gain: float = 1.0,
        key: PRNGKeyArray,
    ):
        for name, value in (("length", length), ("channels", channels), ("filters", filters)):
            check_integer(name, value, 1)
        check_integer("kernel_size", kernel_size, 1)
        check_integer("stride", stride, 1)
        if padding == "same":
            if kernel_size % 2 == 0 or stride != 1:
                raise ValueError(
                    "padding: 'same' needs an odd kernel_size and a stride of 1, "
                    f"got {kernel_size} and {stride}."
                )
            padding = kernel_size // 2
        padding = check_integer("padding", padding, 0)
        if kernel_size > length + 2 * padding:
            raise ValueError(
                f"kernel_size: {kernel_size} positions do not fit into {length} of the input "
                f"with {padding} of padding on each side."
            )
        check_finite("gain", gain)
        check_single(gain=gain)
        check_key("key", key)
        scale = gain / math.sqrt(kernel_size * channels)
        self.kernel = scale * jax.random.normal(key, (kernel_size, channels, filters))
        self.length = length
        self.stride = stride
        self.padding = padding

    @property
    def output_length(self) -> int:
        """Output positions."""
        return (self.length + 2 * self.padding - self.kernel.shape[0]) // self.stride + 1

    @property
    def input_size(self) -> int:
        """Numbers in an input vector."""
        return self.length * self.kernel.shape[1]

    @property
    def output_size(self) -> int:
        """Numbers in an output vector."""
        return self.output_length * self.kernel.shape[2]

    def __call__(self, inputs: Float[Array, "*lead input"]) -> Float[Array, "*lead output"]:
        """The convolution, over the last axis."""
        inputs = real_array("inputs", inputs, self.kernel.dtype)
        if self.length <= 4 * self.kernel.shape[0]:
            return inputs @ self.matrix()
        return self._windows(inputs)

    def matrix(self) -> Float[Array, "input output"]:
        """The convolution as a matrix, to be multiplied from the right."""
        size = self.kernel.shape[0]
        k, source, target = np.ogrid[:size, : self.length, : self.output_length]
        hits = jnp.asarray(source == target * self.stride + k - self.padding, self.kernel.dtype)
        matrix = jnp.einsum("klo,kcf->lcof", hits, self.kernel)
        return matrix.reshape(self.input_size, self.output_size)

    def _windows(self, inputs: Array) -> Array:
        size, channels, filters = self.kernel.shape
        lead = inputs.shape[:-1]
        grid = inputs.reshape(*lead, self.length, channels)
        if self.padding:
            grid = jnp.pad(grid, [(0, 0)] * len(lead) + [(self.padding, self.padding), (0, 0)])
        reach = self.stride * (self.output_length - 1) + 1
        windows = [grid[..., k : k + reach : self.stride, :] for k in range(size)]
        windows = jnp.concatenate(windows, axis=-1)
        return (windows @ self.kernel.reshape(-1, filters)).reshape(*lead, self.output_size)


class ConvLIFCell(LIFNeurons):
    """LIF neurons behind a 1-D convolution, with an optional recurrent convolution among themselves.

    The dynamics are those of ``LIFCell``. Inputs and states are flat vectors: position by position, the
    channels (filters) of a position side by side.

    Args:
        input_length: input positions.
        input_channels: channels per position; ``input_size`` is their product.
        filters: neurons per output position.
        kernel_size: of the input convolution.
        stride: of the input convolution.
        padding: zeros on each side, or ``"same"``.
        recurrent_kernel_size: of the recurrent convolution, odd, with padding ``"same"``; ``None``
            without it.
        input_gain: input kernels are drawn from N(0, input_gain^2 / (kernel_size input_channels)).
        recurrent_gain: recurrent kernels from N(0, recurrent_gain^2 / (recurrent_kernel_size filters)).
        escape: ``None`` for deterministic spikes, an escape noise for stochastic ones.
        time_step, membrane_time_constant, synapse_time_constant, threshold, surrogate, reset, reset_gradient:
            as for ``LIFCell``.
        key: random key.
    """

    convolution: Convolution
    recurrent_convolution: Convolution | None

    def __init__(
        self,
        input_length: int,
        input_channels: int,
        filters: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int | Literal["same"] = 0,
        recurrent_kernel_size: int | None = None,
        input_gain: float = 1.0,
        recurrent_gain: float = 1.0,
        escape: EscapeNoise | None = None,
        time_step: float = 1.0,
        membrane_time_constant: Neurons = 20.0,
        synapse_time_constant: Neurons = 10.0,
        threshold: Neurons = 1.0,
        surrogate: Surrogate | None = None,
        reset: Reset = "to_zero",
        reset_gradient: ResetGradient = "detached",
        key: PRNGKeyArray,
    ):
        check_key("key", key)
        input_key, recurrent_key = jax.random.split(key)
        convolution = Convolution(
            input_length,
            input_channels,
            filters,
            kernel_size,
            stride=stride,
            padding=padding,
            gain=input_gain,
            key=input_key,
        )
        self.convolution = convolution
        self.recurrent_convolution = None
        if recurrent_kernel_size is not None:
            self.recurrent_convolution = Convolution(
                convolution.output_length,
                filters,
                filters,
                recurrent_kernel_size,
                padding="same",
                gain=recurrent_gain,
                key=recurrent_key,
            )
        self.input_size = convolution.input_size
        self.hidden_size = convolution.output_size
        self._set_neurons(
            time_step=time_step,
            membrane_time_constant=membrane_time_constant,
            synapse_time_constant=synapse_time_constant,
            threshold=threshold,
            surrogate=surrogate,
            escape=escape,
            reset=reset,
            reset_gradient=reset_gradient,
        )

    @property
    def dtype(self) -> Any:
        """Of weights and states."""
        return self.convolution.kernel.dtype

    @property
    def output_length(self) -> int:
        """Output positions."""
        return self.convolution.output_length

    def feedforward(self, inputs: Float[Array, "*lead input"]) -> Float[Array, "*lead hidden"]:
        """The input convolution, for one step or for all of them at once."""
        return self.convolution(inputs)

    def feedback(
        self, spikes: Float[Array, "*trial hidden"]
    ) -> Float[Array, "*trial hidden"] | None:
        """The recurrent convolution."""
        return None if self.recurrent_convolution is None else self.recurrent_convolution(spikes)
