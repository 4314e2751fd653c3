"""How recurrent weights start: Gaussian, orthogonal, identity, permutation, ring, sparse; Dale's law on top.

An initialiser is called as ``initialiser(key, size)`` and returns a ``(size, size)`` matrix whose entry
``[i, j]`` is the weight from unit ``j`` to unit ``i``.
"""

import dataclasses
import math
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ._checks import check_finite, check_fraction, check_integer, check_positive, check_single


@runtime_checkable
class Initialiser(Protocol):
    """Anything that makes a square recurrent matrix from a key and a size."""

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A recurrent matrix; row ``i`` holds the weights onto unit ``i``."""
        ...


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Independent entries from N(mean / N, gain^2 / N); eigenvalues fill a disc of radius ``gain``.

    The form of Sompolinsky, Crisanti & Sommers 1988 and of Engelken 2023 (``g`` and ``gbar``).
    """

    gain: float = 1.0
    mean: float = 0.0

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, zero=True)
        check_single(gain=self.gain)
        check_finite("mean", self.mean)
        check_single(mean=self.mean)

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A ``(size, size)`` matrix."""
        return self.gain * jax.random.normal(key, (size, size)) / math.sqrt(size) + self.mean / size


@dataclasses.dataclass(frozen=True)
class Orthogonal:
    """``gain`` times a matrix drawn uniformly from the orthogonal group (Saxe et al. 2014)."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, zero=True)
        check_single(gain=self.gain)

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A ``(size, size)`` matrix."""
        return self.gain * jax.random.orthogonal(key, size)


@dataclasses.dataclass(frozen=True)
class Identity:
    """``gain`` times the identity matrix; nothing in it is random (Le, Jaitly & Hinton 2015)."""

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, zero=True)
        check_single(gain=self.gain)

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A ``(size, size)`` matrix."""
        return self.gain * jnp.eye(size)


@dataclasses.dataclass(frozen=True)
class Permutation:
    """``gain`` times a random permutation matrix: every unit listens to one other, in rings of delay lines.

    An orthogonal matrix, with which binary units pass bits on unchanged as far as inputs let them. Without
    inputs and biases all surrogate exponents of a centred binary network are equal,
    ``ln(gain sg'(gain / 2))``.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, zero=True)
        check_single(gain=self.gain)

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A ``(size, size)`` matrix."""
        return self.gain * jnp.eye(size)[jax.random.permutation(key, size)]


@dataclasses.dataclass(frozen=True)
class Ring:
    """``gain`` times a permutation matrix of one cycle: all units in one ring, each listens to the last one.

    A bit can go around all ``size`` units, and without shortcuts what ``Permutation`` says of exponents holds
    here too. Source: the simple cycle reservoir of Rodan & Tino 2011.

    With ``shortcuts``, each of the other entries is there with probability ``density``, from
    N(0, shortcuts^2 / (density N)): the sum of all shortcuts onto a unit has that standard deviation.
    """

    gain: float = 1.0
    shortcuts: float = 0.0
    density: float = 0.1

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, zero=True)
        check_single(gain=self.gain)
        check_positive("shortcuts", self.shortcuts, zero=True)
        check_single(shortcuts=self.shortcuts, density=self.density)
        check_positive("density", self.density)
        check_fraction("density", self.density)

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A ``(size, size)`` matrix; without shortcuts the key is not used."""
        ring = jnp.roll(jnp.eye(size), 1, axis=0)
        if not self.shortcuts:
            return self.gain * ring
        others = Sparse(self.shortcuts, self.density)(key, size)
        return jnp.where(ring > 0, self.gain, others)


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


@dataclasses.dataclass(frozen=True)
class Sparse:
    """A fraction ``density`` of the entries is non-zero, from N(0, gain^2 / (density N)).

    The variance per row is that of a dense Gaussian matrix of the same gain. Sparsity holds at the
    start; training can fill the zeros.
    """

    gain: float = 1.0
    density: float = 0.1

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, zero=True)
        check_single(gain=self.gain)
        check_positive("density", self.density)
        check_fraction("density", self.density)
        check_single(density=self.density)

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A ``(size, size)`` matrix."""
        weight_key, mask_key = jax.random.split(key)
        weights = self.gain * jax.random.normal(weight_key, (size, size))
        mask = jax.random.bernoulli(mask_key, self.density, (size, size))
        return jnp.where(mask, weights / math.sqrt(self.density * size), 0)


def check_dale(excitatory: float) -> float:
    """The fraction of excitatory units as ``float``. Raises unless it is one number in [0, 1]."""
    check_fraction("dale", excitatory)
    check_single(dale=excitatory)
    return float(excitatory)


def dale_signs(size: int, excitatory: float) -> Float[Array, " size"]:
    """+1 for the first ``round(excitatory * size)`` units, -1 for the rest (Dale's law)."""
    excitatory = check_dale(excitatory)
    return jnp.where(jnp.arange(size) < round(excitatory * size), 1.0, -1.0)


def apply_dale(weight: Float[Array, "n n"], excitatory: float) -> Float[Array, "n n"]:
    """``|weight|`` with the sign of each column set by the type of its presynaptic unit."""
    return jnp.abs(weight) * dale_signs(weight.shape[-1], excitatory).astype(weight.dtype)
