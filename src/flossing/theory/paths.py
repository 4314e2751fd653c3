"""Paths in parameter space: functions of one number from 0 to 1 that give a network or a vector."""

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_finite, check_key, check_positive, check_single, is_concrete
from ._parts import as_network, split


class Circle(eqx.Module):
    """``centre + radius (cos(2 pi s) first + sin(2 pi s) second)``, once around for ``s`` from 0 to 1."""

    centre: PyTree
    first: PyTree
    second: PyTree
    radius: float | Array

    def __call__(self, s: Float[Array, ""]) -> PyTree:
        """The point at ``s``, a pytree like ``centre``."""
        angle = 2 * jnp.pi * s
        return move(
            self.centre,
            (self.radius * jnp.cos(angle), self.first),
            (self.radius * jnp.sin(angle), self.second),
        )


class Segment(eqx.Module):
    """The straight line ``start + s (stop - start)``."""

    start: PyTree
    stop: PyTree

    def __call__(self, s: Float[Array, ""]) -> PyTree:
        """The point at ``s``, a pytree like ``start``."""
        return move(self.start, (-s, self.start), (s, self.stop))


def circle(centre: PyTree, first: PyTree, second: PyTree, *, radius: float | Array) -> Circle:
    """A closed path around ``centre`` in the plane of two directions, from ``first`` towards ``second``.

    Args:
        centre: network (any pytree with parameters, which are floating-point arrays) or vector. A vector may
            also be an array of integers or a list.
        first, second: pytrees like its parameters, or like ``centre`` itself. Orthonormal for a circle in the
            Euclidean sense; other directions give an ellipse.
        radius: in units of the parameters.

    Raises:
        ValueError, TypeError: a radius that is not positive, directions that do not fit ``centre``, nothing
            to move.
    """
    check_positive("radius", radius)
    check_single(radius=radius)
    centre = as_network("centre", centre)
    first, second = as_network("first", first), as_network("second", second)
    for name, direction in (("first", first), ("second", second)):
        _check_like(name, direction, centre)
    return Circle(centre, first, second, radius)


def segment(start: PyTree, stop: PyTree) -> Segment:
    """The straight path between two networks or vectors of the same shape; see ``circle`` for what these are.

    Raises:
        ValueError: they do not have the same parameters, have none, or differ in what is no parameter.
    """
    start, stop = as_network("start", start), as_network("stop", stop)
    _check_like("stop", stop, start)
    for at_start, at_stop in zip(*(_held(tree) for tree in (start, stop)), strict=False):
        if is_concrete((at_start, at_stop)) and not np.array_equal(at_start, at_stop):
            raise ValueError(
                f"stop: differs from start in {at_stop}, which is no floating-point array and does not move."
            )
    return Segment(start, stop)


def random_plane(network: PyTree, *, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
    """Two random orthonormal directions in the space of all parameters of a network, of which it has two."""
    check_key("key", key)
    parameters = split(as_network("network", network)).parameters
    flat, unravel = jax.flatten_util.ravel_pytree(parameters)
    if flat.size < 2:
        raise ValueError("network: a plane needs at least two parameters, got one.")
    dtype = jnp.promote_types(flat.dtype, jnp.float32)
    basis = jnp.linalg.qr(jax.random.normal(key, (flat.size, 2), dtype))[0]
    first, second = basis.T.astype(flat.dtype)
    return unravel(first), unravel(second)


def move(centre: PyTree, *terms: tuple[Array, PyTree]) -> PyTree:
    """A network with multiples of directions added to its parameters."""
    parts = split(centre)
    moved = parts.parameters
    for factor, direction in terms:
        moved = jax.tree.map(
            lambda p, d, f=factor: p + (f * d).astype(p.dtype), moved, split(direction).parameters
        )
    return parts.join(moved)


def _held(tree: PyTree) -> list:
    """Numbers that are no parameters; random keys are none."""
    leaves = [x for x in jax.tree.leaves(split(tree).rest) if eqx.is_array_like(x)]
    return [x for x in leaves if not jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key)]


def _check_like(name: str, direction: PyTree, centre: PyTree) -> None:
    def shapes(tree: PyTree) -> list:
        return [jnp.shape(x) for x in jax.tree.leaves(split(tree).parameters)]

    if shapes(direction) != shapes(centre):
        raise ValueError(
            f"{name}: expected parameters of shapes {shapes(centre)}, got {shapes(direction)}."
        )
    for leaf in jax.tree.leaves(split(direction).parameters):
        check_finite(name, leaf)
