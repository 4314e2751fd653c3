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

from ._checks import check_finite, check_fraction, check_positive, check_single
from ._choices import spelled


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

    A bit can go around all ``size`` units, and what ``Permutation`` says of exponents holds here too.
    Source: the simple cycle reservoir of Rodan & Tino 2011.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        check_positive("gain", self.gain, zero=True)
        check_single(gain=self.gain)

    def __call__(self, key: PRNGKeyArray, size: int) -> Float[Array, "size size"]:
        """A ``(size, size)`` matrix; the key is not used."""
        return self.gain * jnp.roll(jnp.eye(size), 1, axis=0)


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


BY_NAME = {
    spelled(kind.__name__): kind
    for kind in (Gaussian, Orthogonal, Identity, Permutation, Ring, Sparse)
}
"""Initialisers that are made from a gain, by the names that specifications of cells have for them."""


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
    signs = dale_signs(weight.shape[-1], excitatory).astype(weight.dtype)
    return jnp.abs(weight) * signs[None]
