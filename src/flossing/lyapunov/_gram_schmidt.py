"""Orthonormal rows by block Gram-Schmidt: nearly all work is matrix products."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ._triangles import cholesky, inverse

BLOCK = 32
"""Rows of which a Cholesky factor is taken at once."""

PROBES = 4
"""Vectors by which orthonormality is tested."""


class GramSchmidt(NamedTuple):
    """Block Gram-Schmidt: Cholesky QR of the upper half, projection of the lower one, and so on.

    ``x = l q`` holds to working precision however nearly dependent the rows of ``x`` are. Its vectors
    are less orthonormal than that, and what is missing is counted at the next factorisation.
    """

    vectors: Float[Array, "k n"]
    triangle: Float[Array, "k k"]
    inverses: tuple[Float[Array, "j j"], ...]
    """Of the blocks on the diagonal of the triangle."""

    @classmethod
    def of(cls, x: Float[Array, "k n"]) -> "GramSchmidt":
        """The factors of ``x``; NaN where a block of rows is dependent to working precision."""
        # A Cholesky factor of ``x x^T`` squares the condition number of ``x``, which 32 rows can bear where
        # all rows cannot. So rows are halved until there are 32. Of 96, the first 64 come first: 32 by
        # Cholesky, the next 32 less what lies along those, by Cholesky. Then the last 32, less what lies
        # along the 64. All but the small factors is products of matrices.
        k = x.shape[0]
        if k <= BLOCK:
            triangle = cholesky(x @ x.T)
            transform = inverse(triangle)
            return cls(transform @ x, triangle, (transform,))
        half = _half(k)
        first = cls.of(x[:half])
        along = x[half:] @ first.vectors.T
        second = cls.of(x[half:] - along @ first.vectors)
        zero = jnp.zeros((half, k - half), x.dtype)
        return cls(
            jnp.concatenate([first.vectors, second.vectors]),
            jnp.block([[first.triangle, zero], [along, second.triangle]]),
            first.inverses + second.inverses,
        )

    @property
    def lean(self) -> Float[Array, ""]:
        """Largest logarithm of a row's length over its part that is orthogonal to those before it."""
        length = 0.5 * jnp.log(jnp.sum(jnp.square(self.triangle), 1))
        return jnp.max(length - jnp.log(jnp.diagonal(self.triangle)))

    @property
    def missing(self) -> Float[Array, ""]:
        """Estimate of the Frobenius norm of ``Q Q^T - I``, from a few vectors of random signs."""
        # Of a vector s of independent random signs the mean of s s^T is the identity, so that the mean of
        # |(Q Q^T - 1) s|^2 is the square of that norm. Four of them take 8/k of the arithmetic of Q Q^T, and
        # they see an error wherever it is; a bound from the diagonal of the triangle would not.
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (PROBES, len(self.vectors)))
        probes = jnp.asarray(signs, self.vectors.dtype)
        error = (probes @ self.vectors) @ self.vectors.T - probes
        return jnp.sqrt(jnp.sum(jnp.square(error)) / PROBES)

    @property
    def enough(self) -> Bool[Array, ""]:
        """Whether vectors are orthonormal to 1e-3 in float32 or 1e-9 in float64, and no square overflows."""
        # Rows of lengths 1e-20 and 1e20 have squares of 1e-40 and 1e40, which float32 cannot hold. The
        # compiler may still cancel root and square (of one number), so that the vector is right, but the
        # logarithm is not.
        numbers = jnp.finfo(self.vectors.dtype)
        shortest = float((numbers.tiny / numbers.eps) ** 0.5)
        orthonormal = self.missing < (1e-3 if numbers.eps > 1e-10 else 1e-9)
        diagonal = jnp.diagonal(self.triangle)
        return orthonormal & jnp.all((diagonal > shortest) & (diagonal < 1 / shortest))

    def transform(self) -> Float[Array, "k k"]:
        """The inverse of the triangle."""
        return _joined(self.triangle, list(self.inverses))


def _half(k: int) -> int:
    """Where a matrix is cut, at a multiple of the block."""
    return -(-k // (2 * BLOCK)) * BLOCK


def _joined(triangle: Float[Array, "k k"], blocks: list[Array]) -> Float[Array, "k k"]:
    """The inverse of a triangle whose diagonal blocks have these inverses (which are used up)."""
    k = triangle.shape[0]
    if k <= BLOCK:
        return blocks.pop(0)
    half = _half(k)
    first = _joined(triangle[:half, :half], blocks)
    second = _joined(triangle[half:, half:], blocks)
    zero = jnp.zeros((half, k - half), triangle.dtype)
    return jnp.block([[first, zero], [-second @ (triangle[half:, :half] @ first), second]])
