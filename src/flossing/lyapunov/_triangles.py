"""Cholesky factors and inverses of triangular matrices, without LAPACK where they are tiny."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

_FEW = 4
"""Up to this size formulas written out cost less than calls of LAPACK."""


def cholesky(gram: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Lower triangular; NaN where the matrix is not positive definite."""
    k = gram.shape[0]
    if k > _FEW:
        return jax.lax.linalg.cholesky(gram, symmetrize_input=False)
    rows: list[list[Array]] = []
    for i in range(k):
        row: list[Array] = []
        for j in range(i):
            rest = gram[i, j] - sum(a * b for a, b in zip(row, rows[j][:j], strict=True))
            row.append(rest / rows[j][j])
        rows.append([*row, jnp.sqrt(gram[i, i] - sum(a * a for a in row))])
    return _lower(rows)


def inverse(triangle: Float[Array, "k k"]) -> Float[Array, "k k"]:
    """Of a lower triangular matrix."""
    k = triangle.shape[0]
    if k > _FEW:
        eye = jnp.eye(k, dtype=triangle.dtype)
        return jax.lax.linalg.triangular_solve(triangle, eye, lower=True)
    rows: list[list[Array]] = []
    for i in range(k):
        scale = 1 / triangle[i, i]
        sums = [sum(triangle[i, m] * rows[m][j] for m in range(j, i)) for j in range(i)]
        rows.append([*(-scale * x for x in sums), scale])
    return _lower(rows)


def _lower(rows: list[list[Array]]) -> Float[Array, "k k"]:
    """The lower triangular matrix with these rows."""
    zero = jnp.zeros_like(rows[0][0])
    return jnp.stack([jnp.stack([*row, *[zero] * (len(rows) - len(row))]) for row in rows])
