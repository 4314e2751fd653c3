"""A basis of tangent vectors and its orthonormalisation."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ._orthonormalise import Factors, orthonormalise


class Basis(NamedTuple):
    """Tangent vectors in the rows of ``vectors``.

    Slots are sorted by growth; a lost direction has a zero row, at the end. ``origin[i]`` names the
    row of the first basis that slot ``i`` continues, so that logarithms stay with their direction
    when a lost one moves to the end.
    """

    vectors: Float[Array, "k n"]
    alive: Bool[Array, " k"]
    origin: Int[Array, " k"]

    @property
    def slots(self) -> Int[Array, " k"]:
        """``origin`` of living slots, and its bitwise complement, which is negative, of lost ones."""
        return jnp.where(self.alive, self.origin, ~self.origin)

    @classmethod
    def start(cls, vectors: Float[Array, "k n"]) -> "Basis":
        """A basis of living directions."""
        k = vectors.shape[0]
        return cls(vectors, jnp.ones(k, bool), jnp.arange(k))

    @classmethod
    def random(cls, key: PRNGKeyArray, n: int, k: int, dtype: Any) -> "Basis":
        """A random orthonormal basis."""
        return cls.start(jnp.linalg.qr(jax.random.normal(key, (n, k), dtype))[0].T)


def renormalise(
    basis: Basis, due: Bool[Array, ""] | None = None, exact: bool = True
) -> tuple[Basis, Factors]:
    """Orthonormalises a basis (if it is ``due``); returns it with the factors."""
    factors = orthonormalise(basis.vectors, due, exact)
    alive = factors.alive if due is None else jnp.where(due, factors.alive, basis.alive)
    return Basis(factors.vectors, alive, basis.origin[factors.order]), factors
