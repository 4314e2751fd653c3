"""Optimisers: parts that Optax does not have, and settings of the usual ones for files and commands."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, PyTree

from ._checks import check_choice, check_fraction, check_positive
from ._choices import Choice
from ._norms import clipped


def clip_by_array_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales each array of the gradient down to a Euclidean norm of at most ``max_norm``.

    This is the clipping of the published gradient-flossing code: each parameter array has a norm of its
    own, unlike ``clip_by_global_norm``.
    """
    check_positive("max_norm", max_norm)
    return _stateless(lambda updates: jax.tree.map(lambda x: clipped(x, max_norm), updates))


def clip_by_global_norm(max_norm: float) -> optax.GradientTransformation:
    """Scales a gradient down to a Euclidean norm of at most ``max_norm``, over all arrays together.

    Like ``optax.clip_by_global_norm``, which makes zeros of gradients whose squares overflow.
    """
    check_positive("max_norm", max_norm)
    return _stateless(lambda updates: clipped(updates, max_norm))


def _stateless(change: Callable[[PyTree], PyTree]) -> optax.GradientTransformation:
    return optax.stateless(lambda updates, params: change(updates))


class OptimiserSpec(Choice):
    """Settings of an optimiser, from which its Optax transformation is built."""

    @abc.abstractmethod
    def build(self, epochs: int) -> optax.GradientTransformation:
        """The transformation for a training of so many updates."""


Clip = Literal["array", "global"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Clipped(OptimiserSpec):
    learning_rate: float = 1e-3
    """Learning rate at the first update."""
    final_learning_rate: float | None = None
    """Rate to which it falls, along a cosine. By default it stays."""
    clip: Clip | None = "array"
    """What is clipped: each array, all together (global). None for nothing; the published code has array."""
    clip_norm: float = 0.03
    """Largest norm that clipping leaves."""

    def __post_init__(self) -> None:
        check_positive("learning_rate", self.learning_rate, zero=True)
        if self.final_learning_rate is not None:
            check_positive("final_learning_rate", self.final_learning_rate, zero=True)
        if self.clip is not None:
            check_choice("clip", self.clip, get_args(Clip))
        check_positive("clip_norm", self.clip_norm)

    def build(self, epochs: int) -> optax.GradientTransformation:
        """Clipping, then the method itself."""
        rate: optax.ScalarOrSchedule = self.learning_rate
        if self.final_learning_rate is not None and rate > 0:
            share = self.final_learning_rate / rate
            rate = optax.cosine_decay_schedule(rate, epochs, share)
        clip = {"array": clip_by_array_norm, "global": clip_by_global_norm}
        first = optax.identity() if self.clip is None else clip[self.clip](self.clip_norm)
        return optax.chain(first, self._method(rate))

    @abc.abstractmethod
    def _method(self, rate: optax.ScalarOrSchedule) -> optax.GradientTransformation: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam(_Clipped, name="adam"):
    """Adam with clipped gradients. Kingma & Ba 2015; the settings are those of Engelken 2023."""

    def _method(self, rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
        return optax.adam(rate)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD(_Clipped, name="sgd"):
    """Gradient descent with momentum and clipped gradients."""

    momentum: float = 0.9
    """Decay of the running sum of gradients, 0 for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fraction("momentum", self.momentum)
        if self.momentum == 1:
            raise ValueError(
                "momentum: expected a number below 1, got 1: no gradient would ever be forgotten."
            )

    def _method(self, rate: optax.ScalarOrSchedule) -> optax.GradientTransformation:
        return optax.sgd(rate, self.momentum)


def as_optimiser(
    optimiser: OptimiserSpec | optax.GradientTransformation, epochs: int
) -> optax.GradientTransformationExtraArgs:
    """The transformation of a specification, or the one that is given; its updates take ``value``.

    Raises:
        TypeError: ``optimiser`` is neither.
    """
    built = optimiser.build(epochs) if isinstance(optimiser, OptimiserSpec) else optimiser
    if isinstance(built, type) or not (hasattr(built, "init") and hasattr(built, "update")):
        raise TypeError(
            "optimiser: expected an Optax transformation such as optax.adam(1e-3), or a specification such "
            f"as fl.optimisers.Adam(), got {built!r} ({type(built).__name__})."
        )
    return optax.with_extra_args_support(built)


def ascent(gradient: PyTree) -> PyTree:
    """The direction in which a real function grows, as Optax takes it: the conjugate of JAX's gradient."""
    return jax.tree.map(jnp.conj, gradient)


def keep_row_means() -> optax.GradientTransformation:
    """Takes from the change of every matrix its mean over each row, so that the means of the rows stay.

    For networks whose units are never negative, such as spiking ones, where higher row means are more input
    from all others at once. Arrays that are no matrices, and matrices of one column, are left alone.
    """
    return _stateless(lambda updates: jax.tree.map(without_row_mean, updates))


def without_row_mean(update: Array) -> Array:
    """A change of a matrix that leaves the means of its rows; anything else, and one column, as it is."""
    if update.ndim != 2 or update.shape[1] == 1:
        return update
    return update - update.mean(1, keepdims=True)


def all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Whether every floating-point number of a tree is finite."""
    leaves = [jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves)) if leaves else jnp.asarray(True)


def apply_if(condition: Bool[Array, ""], new: PyTree, old: PyTree) -> PyTree:
    """``new`` where the condition holds, else ``old``, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
