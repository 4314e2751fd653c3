"""Forward with one nonlinearity, backward with another, without touching the network's code.

A surrogate gradient is the chain rule with some derivatives replaced. Here that is a replacement of nodes:
every nonlinearity in a pytree (a cell, a network, a tuple of arrays and nonlinearities) keeps its value and
is given another derivative.

Source: Gygax & Zenke 2025 (elucidating the theoretical underpinnings of surrogate gradient learning).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..surrogates import Surrogate
from ._parts import as_network, replace_nonlinearities, split


@eqx.filter_custom_jvp
def _step(x: Array, step: "_Declared") -> Array:
    return step.value(x)


@_step.def_jvp
def _step_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    x, step = jnp.asarray(primals[0]), primals[1]
    # The plain value, so that a second differentiation sees its true derivative.
    value = step.value(x)
    if tangents[0] is None:
        return value, jnp.zeros_like(value)
    return value, (step.backward.derivative(x) * tangents[0]).astype(value.dtype)


class _Declared(Surrogate):
    """A value with the derivative of ``backward``, for one differentiation."""

    backward: Surrogate

    def __init__(self, backward: Surrogate):
        _check_surrogate("backward", backward)
        self.backward = backward
        self.sharpness, self.peak = backward.sharpness, backward.peak
        self.normalise = backward.normalise

    def __call__(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return _step(x, self)

    def value(self, x: Array) -> Array:
        raise NotImplementedError

    def derivative(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self.backward.derivative(x)

    def primitive(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self.backward.primitive(x)

    def tail(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        return self.backward.tail(x)

    @property
    def area(self) -> float | Array:
        return self.backward.area

    @property
    def half_width(self) -> float | Array:
        return self.backward.half_width


class SmoothStep(_Declared):
    """A smooth step: its value is the primitive of one surrogate, its declared derivative that of another.

    ``SmoothStep(Sigmoid(100, normalise="area"), Sigmoid(15, normalise="area"))`` is a logistic function of
    steepness 100 in the forward pass whose derivative is that of steepness 15. It takes the place of a
    surrogate in any cell. A second differentiation, as for the curl of a surrogate gradient, sees the true
    derivative of the value.

    Args:
        forward: the value is ``forward.primitive``.
        backward: the declared derivative is ``backward.derivative``; default ``forward``, so that the
            derivative is the true one. ``sharpness``, ``peak``, ``area`` and ``half_width`` are its.

    Raises:
        TypeError: one of them is no surrogate.
    """

    forward: Surrogate

    def __init__(self, forward: Surrogate, backward: Surrogate | None = None):
        _check_surrogate("forward", forward)
        super().__init__(forward if backward is None else backward)
        self.forward = forward

    def value(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The smooth step at ``x``; differentiates truly."""
        return self.forward.primitive(x)

    def describe(self) -> dict[str, Any]:
        """Both surrogates, as plain numbers and strings."""
        return {
            "name": "SmoothStep",
            "forward": self.forward.describe(),
            "backward": self.backward.describe(),
        }


class _Spike(_Declared):
    """A spike whose derivative is declared for one differentiation only."""

    def value(self, x: Array) -> Array:
        return (x > 0).astype(jnp.asarray(x).dtype)


Choice = Surrogate | Callable[[Surrogate], Surrogate]


def with_surrogate(network: PyTree, surrogate: Choice) -> PyTree:
    """The same network whose nonlinearities have another declared derivative; values do not change.

    Args:
        network: any pytree that holds nonlinearities of ``fl.surrogates`` or ``SmoothStep``.
        surrogate: whose derivative to take, or a function from each old nonlinearity to it (as
            ``lambda old: type(old)(2 * old.sharpness)``).

    Raises:
        ValueError: no nonlinearity in the pytree.
        TypeError: not a surrogate.
    """

    def replace(old: Surrogate) -> Surrogate:
        new = _chosen(surrogate, old)
        return SmoothStep(old.forward, new) if isinstance(old, SmoothStep) else new

    return replace_nonlinearities(network, replace)


def with_smooth_steps(
    network: PyTree, forward: Choice, backward: Surrogate | None = None
) -> PyTree:
    """The same network with ``SmoothStep(forward, backward)`` in place of every nonlinearity.

    Without ``backward`` the result is a differentiable network with its true gradient.

    Raises:
        ValueError, TypeError: as ``with_surrogate``.
    """
    return replace_nonlinearities(network, lambda old: SmoothStep(_chosen(forward, old), backward))


def surrogate_gradient(
    loss: Callable[..., Float[Array, ""]],
    network: PyTree,
    *args: Any,
    surrogate: Choice | None = None,
) -> PyTree:
    """Gradient of ``loss(network, *args)`` with the derivatives of all nonlinearities replaced.

    The forward pass is that of ``network`` as it is. The result is an ordinary function of the network's
    parameters: it can be integrated along paths (``line_integral``) and differentiated (``curl``), which
    gives its true derivatives (those of the surrogate gradient within a region where no spike changes).

    Args:
        loss: scalar function of the network and ``args``.
        network: pytree with parameters (floating-point arrays) and nonlinearities: a cell, a network, or a
            tuple such as ``(weights, fl.surrogates.SuperSpike(10.0))`` for a function of your own. Arrays of
            integers and plain numbers are no parameters.
        surrogate: as for ``with_surrogate``; default the derivatives that the network declares itself.

    Returns:
        A pytree like ``network``: gradients for parameters, ``None`` for everything else and within
        nonlinearities.

    Raises:
        ValueError, TypeError: as ``with_surrogate``; a network without parameters.
    """

    def replace(old: Surrogate) -> Surrogate:
        new = old if surrogate is None else _chosen(surrogate, old)
        new = new.backward if isinstance(new, _Declared) else new
        return SmoothStep(old.forward, new) if isinstance(old, SmoothStep) else _Spike(new)

    return _gradient(loss, network, replace_nonlinearities(network, replace), args)


def true_gradient(loss: Callable[..., Float[Array, ""]], network: PyTree, *args: Any) -> PyTree:
    """Gradient of ``loss(network, *args)`` with the true derivatives of the values.

    For spikes they are zero; for ``SmoothStep`` those of its ``forward``. Arguments, result and errors are
    those of ``surrogate_gradient``.
    """
    flat = _Flat(1.0)

    def replace(old: Surrogate) -> Surrogate:
        return SmoothStep(old.forward) if isinstance(old, SmoothStep) else _Spike(flat)

    return _gradient(loss, network, replace_nonlinearities(network, replace), args)


class GradientField(eqx.Module):
    """A gradient as a function of the network, for ``line_integral``, ``curl`` and ``along_path``.

    Args:
        loss: scalar function of a network.
        surrogate: as for ``surrogate_gradient``. Where its sharpness is an array, fields that differ in
            it only are compiled once.
        true: ``true_gradient`` instead.
    """

    loss: Callable[..., Array] = eqx.field(static=True)
    surrogate: Choice | None = None
    true: bool = eqx.field(static=True, default=False)

    def __call__(self, network: PyTree) -> PyTree:
        """The gradient at a network."""
        if self.true:
            return true_gradient(self.loss, network)
        return surrogate_gradient(self.loss, network, surrogate=self.surrogate)


class _Flat(Surrogate):
    """A derivative of zero."""

    def derivative(self, x: Array) -> Array:
        return jnp.zeros_like(x)


def _gradient(loss: Callable, network: PyTree, replaced: PyTree, args: tuple) -> PyTree:
    parts = split(as_network("network", replaced))
    gradient = jax.grad(lambda parameters: loss(parts.join(parameters), *args))(parts.parameters)
    # The structure of the network that came in, not of the one with other nonlinearities.
    leaves = iter(jax.tree.leaves(gradient))
    return jax.tree.map(lambda _: next(leaves), split(network).parameters)


def _chosen(surrogate: Choice, old: Surrogate) -> Surrogate:
    new = (
        surrogate if isinstance(surrogate, Surrogate) or not callable(surrogate) else surrogate(old)
    )
    _check_surrogate("surrogate", new)
    return new


def _check_surrogate(name: str, value: Any) -> None:
    if not isinstance(value, Surrogate):
        raise TypeError(
            f"{name}: expected a surrogate such as fl.surrogates.SuperSpike(10.0), "
            f"got {value!r} ({type(value).__name__})."
        )
