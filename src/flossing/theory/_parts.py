"""Networks as pytrees of parameters, nonlinearities and the rest."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._checks import as_numbers
from ..surrogates import Surrogate


class Parts(NamedTuple):
    """A network in two: what can be moved, and the rest."""

    parameters: PyTree
    rest: PyTree

    def join(self, parameters: PyTree) -> PyTree:
        """The network with these parameters."""
        return eqx.combine(parameters, self.rest)


def split(network: PyTree) -> Parts:
    """Parameters of a network (floating-point arrays outside its nonlinearities) and everything else."""
    mask = jax.tree.map(
        lambda node: (
            jax.tree.map(lambda _: False, node)
            if is_nonlinearity(node)
            else eqx.is_inexact_array(node)
        ),
        network,
        is_leaf=is_nonlinearity,
    )
    return Parts(*eqx.partition(network, mask))


def as_vector(name: str, value: PyTree) -> PyTree:
    """One array of integers, or lists of plain numbers, as a vector of floats; any other pytree as it is."""
    bare = eqx.is_array(value) and not eqx.is_inexact_array(value)
    if bare or _is_plain(value):
        return jnp.asarray(as_numbers(name, value), float)
    return value


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return len(value) > 0 and all(map(_is_plain, value))
    return isinstance(value, bool | int | float | np.generic)


def as_network(name: str, value: PyTree) -> PyTree:
    """``as_vector``, and an error where there is nothing that can be moved or differentiated.

    Raises:
        ValueError: no parameters.
    """
    value = as_vector(name, value)
    if not jax.tree.leaves(split(value).parameters):
        arrays = [f"{x.dtype}{list(x.shape)}" for x in jax.tree.leaves(value) if eqx.is_array(x)]
        raise ValueError(
            f"{name}: holds no floating-point array outside its nonlinearities, so that nothing can be "
            f"moved or differentiated; its arrays are {arrays}."
        )
    return value


def as_value(like: Array, value: Any) -> Array:
    """An entry of a field in the dtype of its parameter: integers and plain numbers are values too."""
    return jnp.asarray(value).astype(jax.dtypes.canonicalize_dtype(like.dtype))


def entries(name: str, value: PyTree, parameters: PyTree) -> PyTree:
    """The entries of a field, or of a direction, that belong to these parameters; a pytree like them.

    Raises:
        ValueError: other numbers or shapes of arrays.
    """
    wanted, structure = jax.tree.flatten(parameters)
    given = jax.tree.leaves(split(value).parameters)
    if len(given) != len(wanted):
        # Also arrays of integers and plain numbers.
        rest = jax.tree.leaves(value, is_leaf=is_nonlinearity)
        given = [x for x in rest if eqx.is_array_like(x)]
    shapes = [[jnp.shape(x) for x in leaves] for leaves in (given, wanted)]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{name}: expected parameters of shapes {shapes[1]}, got {shapes[0]}.")
    return structure.unflatten(map(as_value, wanted, given))


def is_nonlinearity(node: Any) -> bool:
    """Whether a node of a pytree is a spike nonlinearity or a ``SmoothStep``."""
    return isinstance(node, Surrogate)


def replace_nonlinearities(network: PyTree, replace: Callable[[Surrogate], Surrogate]) -> PyTree:
    if not any(is_nonlinearity(x) for x in jax.tree.leaves(network, is_leaf=is_nonlinearity)):
        raise ValueError(
            "network: holds no nonlinearity of fl.surrogates. If a function closes over one, make it "
            "part of the pytree, as in (weights, nonlinearity)."
        )
    return jax.tree.map(
        lambda node: replace(node) if is_nonlinearity(node) else node,
        network,
        is_leaf=is_nonlinearity,
    )
