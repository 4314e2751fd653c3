"""Networks as pytrees of parameters, nonlinearities and the rest."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PyTree

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
