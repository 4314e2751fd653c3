"""Whether the gradient of a task's loss sees the targets: what foretells that flossing helps."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key

Loss = Callable[[Any, PyTree, PyTree], Float[Array, ""]]


def target_signal(
    loss: Loss,
    model: PyTree,
    inputs: PyTree,
    targets: PyTree,
    *,
    parts: int = 16,
    where: Callable[[Any], PyTree] = lambda model: model,
    key: PRNGKeyArray,
) -> Float[Array, ""]:
    """Share of a gradient that comes from what the targets have to do with the inputs: 0 for none, 1 for all.

    The trials are divided into ``parts``. In each, the gradient of the loss is taken twice: with its targets,
    and with the same targets dealt out anew among its trials. What the two have in common, such as outputs
    that are too large, drops out of their difference ``d``. Returned is ``|E d|^2 / E |d|^2``, without
    bias, so that it scatters around 0 by about ``1 / parts`` where the targets make no difference.

    A fresh tanh network whose gradient does not see the targets learns nothing, or late. Where its errors
    vanish as well (``fl.examine``), flossing is what helps; where the targets are seen, from short lags for
    instance, it learns without. Of other networks, a low signal says less: a GRU may learn all the same (see
    "When flossing helps" in the documentation)::

        def loss(model, inputs, targets):  # of a batch
            return jnp.mean((jax.vmap(model)(inputs)[:, -1] - targets) ** 2)

        signal = fl.target_signal(loss, model, inputs, targets, where=lambda m: m.cell, key=key)

    Args:
        loss: mean loss of a batch of trials, ``loss(model, inputs, targets)``.
        model: any pytree.
        inputs: pytree of arrays with the trial as leading axis, some 500 trials.
        targets: pytree of arrays with the trial as leading axis.
        parts: how many gradients are compared; must divide the number of trials.
        where: which part of the model the gradient is for, best its recurrent cell; default all of it.
        key: random key of the shuffling.

    Raises:
        ValueError: numbers of trials that differ, or that ``parts`` does not divide into two or more each.
    """
    check_integer("parts", parts, 2)
    check_key("key", key)
    lengths = {jnp.shape(x)[0] for x in jax.tree.leaves((inputs, targets))}
    if len(lengths) != 1:
        raise ValueError(
            f"inputs, targets: expected as many trials in all arrays, got {sorted(lengths)}."
        )
    (count,) = lengths
    if count % parts or count < 2 * parts:
        raise ValueError(
            f"parts: expected a number that divides {count} trials into parts of two or more, got {parts}."
        )
    return _signal(loss, model, inputs, targets, parts, where, key)


@eqx.filter_jit
def _signal(
    loss: Loss, model: Any, inputs: PyTree, targets: PyTree, parts: int, where: Any, key: Array
) -> Array:
    chosen, rest = eqx.partition(where(model), eqx.is_inexact_array)

    def gradient(inputs: PyTree, targets: PyTree) -> Array:
        def of(arrays: PyTree) -> Array:
            part = eqx.combine(arrays, rest)
            return loss(eqx.tree_at(where, model, part), inputs, targets)

        return ravel_pytree(jax.grad(of)(chosen))[0]

    def difference(given: tuple) -> Array:
        (inputs, targets), key = given
        count = jax.tree.leaves(targets)[0].shape[0]
        order = jax.random.permutation(key, count)
        return gradient(inputs, targets) - gradient(
            inputs, jax.tree.map(lambda x: x[order], targets)
        )

    divided = jax.tree.map(lambda x: x.reshape(parts, -1, *x.shape[1:]), (inputs, targets))
    differences = jax.lax.map(difference, (divided, jax.random.split(key, parts)))
    largest = jnp.abs(differences).max()
    differences = differences / jnp.where(largest > 0, largest, 1)
    total = jnp.sum(jnp.square(differences))
    share = jnp.sum(jnp.square(differences.sum(0))) / jnp.where(total > 0, total, 1)
    return jnp.where(total > 0, (share - 1) / (parts - 1), 0)
