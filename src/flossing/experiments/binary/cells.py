"""Binary networks of ``binary-xor``: their readout sees membranes, and inputs may cut a ring into lines."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ..._checks import check_fraction, check_integer, check_positive, check_single
from ...cells import BinaryCell
from ...cells._base import product
from ...cells.spec import SpikingSpec
from ...initialisers import Sparse


class MembraneCell(BinaryCell):
    """Centred binary units whose readout sees what reaches the threshold, not whether it does.

    In the rate networks of Engelken 2023 it sees that, too.

    Args:
        input_size, hidden_size, options: as for ``BinaryCell``.
        centred_inputs: whether inputs count as -1/2 and 1/2, as activity does, or as they are.
        key: random key.
    """

    centred_inputs: bool = eqx.field(static=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        centred_inputs: bool = False,
        key: PRNGKeyArray,
        **options: Any,
    ):
        super().__init__(input_size, hidden_size, centred=True, key=key, **options)
        self.centred_inputs = centred_inputs

    def feedforward(self, input: Float[Array, " input"]) -> Float[Array, " hidden"]:
        """What inputs add to the next state."""
        return product(self.input_weight, input - 0.5 if self.centred_inputs else input)

    def output(self, state: Float[Array, " hidden"]) -> Float[Array, " hidden"]:
        """The state."""
        return state


@dataclasses.dataclass(frozen=True, kw_only=True)
class MembraneSpec(SpikingSpec):
    """Centred binary units whose readout sees their membranes; bits come as 0 and 1."""

    gain: float = 2**0.5
    """Gain g of the recurrent matrix."""

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> MembraneCell:
        """One cell with fresh weights."""
        return MembraneCell(input_size, self.hidden_size, key=key, **self._units())


@dataclasses.dataclass(frozen=True, kw_only=True)
class LinesSpec(SpikingSpec):
    """The same units in a ring that their inputs, -1/2 or 1/2, cut into delay lines of equal length."""

    gain: float = 0.38
    """Weight from each unit of the ring to the next."""
    readout_gain: float | None = 0.4
    """Standard deviation of the readout weights."""
    input_gain: float = 0.114
    """Standard deviation of the input weights inside a line."""
    lines: int = 5
    """Number of delay lines."""
    line_start: float = 3.0
    """Input weight of the first unit of each line, in gains."""
    shortcuts: float = 0.01
    """Standard deviation of the sum of all weights onto a unit beside that of the ring itself."""
    density: float = 0.3
    """Fraction of these weights that is not zero."""
    bias_range: float = 0.015
    """Biases start between 0 and this."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("lines", self.lines, 1, self.hidden_size)
        check_positive("line_start", self.line_start, zero=True)

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> MembraneCell:
        """One cell with fresh weights."""
        options = self._units() | {
            "recurrent": ShortcutRing(self.gain, self.shortcuts, self.density),
            "bias_range": self.bias_range,
        }
        cell = MembraneCell(input_size, self.hidden_size, centred_inputs=True, key=key, **options)
        inputs = LineInputs(self.lines, self.line_start * self.gain, self.input_gain)
        input_key = jax.random.split(key, 3)[1]  # that of the cell's own input weights
        weight = inputs(input_key, self.hidden_size, input_size)
        return eqx.tree_at(lambda c: c.input_weight, cell, weight)


@dataclasses.dataclass(frozen=True)
class ShortcutRing:
    """A ``Ring`` in which each of the other entries is there with probability ``density``.

    They are drawn from N(0, shortcuts^2 / (density N)): the sum of all shortcuts onto a unit has the standard
    deviation ``shortcuts``.
    """

    gain: float
    shortcuts: float
    density: float

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, zero=True)
        check_positive("shortcuts", self.shortcuts, zero=True)
        check_positive("density", self.density)
        check_fraction("density", self.density)
        check_single(gain=self.gain, shortcuts=self.shortcuts, density=self.density)

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A ``(size, size)`` matrix."""
        ring = jnp.roll(jnp.eye(size), 1, axis=0)
        return jnp.where(ring > 0, self.gain, Sparse(self.shortcuts, self.density)(key, size))


@dataclasses.dataclass(frozen=True)
class LineInputs:
    """Input weights that cut a ``Ring`` into ``lines`` delay lines of equal length.

    The first unit of each line has an input weight of ``start`` with a random sign; if that is more than the
    gain of the ring, it takes the new bit and drops what the ring brings. The weights of all other units are
    uniform with mean zero and standard deviation ``others``. Unlike the other initialisers it is called with
    two sizes, and returns a matrix whose columns belong to the inputs, each divided by their number.
    """

    lines: int
    start: float
    others: float

    def __post_init__(self) -> None:
        check_integer("lines", self.lines, 1)
        check_positive("start", self.start, zero=True)
        check_positive("others", self.others, zero=True)
        check_single(start=self.start, others=self.others)

    def __call__(
        self, key: PRNGKeyArray, size: int, input_size: int
    ) -> Float[Array, "size input_size"]:
        """A ``(size, input_size)`` matrix. Raises ``ValueError`` for more lines than units."""
        check_integer("lines", self.lines, 1, size)
        sign_key, other_key = jax.random.split(key)
        shape = (size, input_size)
        first = [round(line * size / self.lines) for line in range(self.lines)]
        starts = self.start * jax.random.rademacher(sign_key, shape, float)
        limit = math.sqrt(3) * self.others
        others = jax.random.uniform(other_key, shape, minval=-limit, maxval=limit)
        is_first = jnp.zeros((size, 1), bool).at[jnp.array(first)].set(True)
        return jnp.where(is_first, starts, others) / input_size
