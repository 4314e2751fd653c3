"""Gradient flossing as an object with two methods, ``init`` and ``update``, for any model and any loop."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._checks import check_integer, check_key, has_values
from .._compiled import strongly_typed
from .._readable import Summary, in_a_line, readable
from ..cells import Cell, Stack
from ..lyapunov._check_run import as_state
from ..lyapunov._propagate import RenormaliseEvery
from ..lyapunov._steps import dimension
from ..optimisers import (
    all_finite,
    apply_if,
    as_optimiser,
    ascent,
    clip_by_array_norm,
    without_row_mean,
)
from ..surrogates import Surrogate
from ._rule import nearly_all
from .objective import Penalty, flossing_loss
from .window import Window


@readable
class FlossInfo(NamedTuple):
    """What one flossing step found before it changed anything."""

    loss: Float[Array, ""]
    exponents: Float[Array, " k"]
    """In the flossing window, averaged over the starts; minus infinity for lost directions."""
    num_lost: Int[Array, ""]
    """How many directions were lost."""
    skipped: Bool[Array, ""]
    """Loss or gradient was not finite, so the step was left out."""
    num_skipped: Int[Array, ""]
    """How many steps were left out so far, this one included."""

    def _summary(self) -> Summary | None:
        return in_a_line(self) if has_values(*self) else None


class FlosserState(NamedTuple):
    """What a flosser remembers between its steps."""

    optimiser: PyTree
    num_skipped: Int[Array, ""]


@functools.cache  # the same settings are the same object, and so the same compiled program
def flossing_optimiser(
    learning_rate: float = 5e-3,
    final_learning_rate: float | None = None,
    *,
    steps: int = 200,
    clip_norm: float | None = 0.03,
) -> optax.GradientTransformation:
    """The optimiser that flossers have by default: Adam with clipped arrays and a falling rate.

    The gradient of an exponent can explode, and Adam needs hundreds of steps to forget it: hence the
    clipping. The rate falls along a cosine and then stays.

    Args:
        learning_rate: at the first step.
        final_learning_rate: from step ``steps`` on; default a tenth of ``learning_rate``.
        steps: over which it falls.
        clip_norm: largest gradient norm of each array; ``None`` for no limit.
    """
    share = 0.1 if final_learning_rate is None else final_learning_rate / learning_rate
    rate = optax.cosine_decay_schedule(learning_rate, max(1, steps), share)
    clip = optax.identity() if clip_norm is None else clip_by_array_norm(clip_norm)
    return optax.chain(clip, optax.adam(rate))


class Flosser(Window):
    """Moves the leading Lyapunov exponents of a model towards targets, one gradient step at a time.

    ``init`` and ``update`` are those of an Optax optimiser, for a loss of its own (``fl.flossing_loss``).
    Both can be jitted, mapped over networks with ``jax.vmap``, and scanned over steps::

        flosser = fl.Flosser(step=lambda model: model.cell)
        opt_state = flosser.init(model)
        for key in jax.random.split(key, 200):
            model, opt_state, info = flosser.update(model, opt_state, state, inputs, key=key)

    Args:
        num_exponents: how many leading exponents are flossed; at most as many as there are state variables,
            and in an LSTM as there are units. Default: nearly all, 94 % of the units of a cell, or of the
            state variables of another step, and 512 at most.
        targets: one number for all, or one per exponent, in nats per step.
        window: steps of tangent propagation, warm-up included.
        warmup: first steps of the window, which turn the random basis and are not counted.
        state_warmup: steps before the window in which only the state moves.
        num_starts: with it, exponents are averaged over so many trajectories; see ``update``.
        penalty: ``"two-sided"``, or count only exponents ``"above"`` or ``"below"`` their targets.
        detach_warmup, detach_states, renormalise_every, tangents: as for ``fl.flossing_loss``.
        optimiser: any Optax transformation; default ``fl.floss.flossing_optimiser()``. It gets the flossing
            loss as ``value``, if it takes it.
        step: makes the step ``(state, input) -> state`` from the model; default the model itself.
        where: which arrays of the model are flossed, as in ``equinox.tree_at``: a function that returns one
            part of the model, or a tuple of parts. Default: all floating-point arrays but those of surrogate
            derivatives. Arrays that the step does not use get a gradient of zero.
        keep_row_means: changes of matrices leave the mean of each row as it is, as spiking units need it.
            Default: what the step says, if it is a cell with an attribute of this name; else not.

    Source: Engelken 2023; averages, clipping and the falling rate are ours.
    """

    num_exponents: int | None = None
    penalty: Penalty = eqx.field(kw_only=True, static=True, default="two-sided")
    detach_warmup: bool = eqx.field(kw_only=True, default=False)
    detach_states: bool = eqx.field(kw_only=True, default=False)
    renormalise_every: RenormaliseEvery = eqx.field(kw_only=True, default="auto")
    optimiser: optax.GradientTransformation = eqx.field(
        kw_only=True, default_factory=flossing_optimiser
    )
    where: Callable[[Any], PyTree] | None = eqx.field(kw_only=True, default=None)
    keep_row_means: bool | None = eqx.field(kw_only=True, default=None)

    def __check_init__(self) -> None:
        if self.num_exponents is not None:
            check_integer("num_exponents", self.num_exponents, 1)

    def init(self, model: Any) -> FlosserState:
        """The state before the first step."""
        flossed = eqx.filter(model, self._mask(model))
        return FlosserState(as_optimiser(self.optimiser, 0).init(flossed), jnp.zeros((), jnp.int32))

    def update(
        self,
        model: Any,
        flosser_state: FlosserState,
        state: Any,
        inputs: Any = None,
        *,
        key: PRNGKeyArray,
    ) -> tuple[Any, FlosserState, FlossInfo]:
        """One flossing step: the changed model, the new state of the flosser, and what was found before.

        Args:
            model: a pytree: an Equinox module, parameters of Flax, a dict of arrays.
            flosser_state: from ``init`` or the last ``update``.
            state: where trajectories start: the state of the step, or a function of a key that makes one.
            inputs: an array with time as leading axis, at least ``state_warmup + window`` steps, of which the
                first are used; or a function of a key that makes one, for fresh inputs in every step;
                ``None`` for a step without inputs. With ``num_starts``, arrays of ``state`` and
                ``inputs`` have a leading axis of that length, and functions are called for each start.
            key: random key of this step.

        A step whose loss or gradient is not finite changes nothing but the count of such steps.

        Raises:
            ValueError, TypeError: arguments that do not fit.
        """
        check_key("key", key)
        model, flosser_state = strongly_typed((model, flosser_state))
        return _update(self, model, flosser_state, *self._drawn(state, inputs, key))

    def gradient(
        self, model: Any, state: Any, inputs: Any = None, *, key: PRNGKeyArray
    ) -> tuple[tuple[Float[Array, ""], Float[Array, " k"], Int[Array, ""]], PyTree]:
        """Loss, exponents and number of lost directions, and the gradient for Optax.

        The gradient is ``None`` for what is not flossed. Arguments are those of ``update``.
        """
        return self._gradient(model, *self._drawn(state, inputs, key))

    def _drawn(self, state: Any, inputs: Any, key: Array) -> tuple[PyTree, PyTree, Array]:
        """Start states, inputs and the key of the basis: the given one, where nothing else is random."""
        if not callable(state) and not callable(inputs):
            return *self.given(state, inputs, key), key
        input_key, basis_key = jax.random.split(key)
        return *self.given(state, inputs, input_key), basis_key

    def _gradient(self, model: Any, states: PyTree, inputs: PyTree, key: Array) -> tuple:
        flossed, rest = eqx.partition(model, self._mask(model))
        start = states
        if self.num_starts is not None:
            start = jax.tree.map(lambda x: jnp.asarray(x)[0], as_state(states))
        every = self.renormalise_every
        if every == "auto" and jax.default_backend() != "cpu":
            every = 1  # networks in a batch would wait for each other
        targets = self.targets[0] if np.shape(self.targets) == (1,) else self.targets  # pyright: ignore

        def loss_of(flossed: PyTree) -> tuple[Array, tuple[Array, Array, Array]]:
            loss, info = flossing_loss(
                self.step(eqx.combine(flossed, rest)),
                states,
                inputs,
                num_exponents=self._count(eqx.combine(flossed, rest), start),
                targets=targets,
                penalty=self.penalty,
                num_starts=self.num_starts,
                num_steps=None if inputs is not None else self.num_steps,
                state_warmup=self.state_warmup,
                warmup=self.warmup,
                detach_warmup=self.detach_warmup,
                detach_states=self.detach_states,
                renormalise_every=every,
                tangents=self.tangents,
                key=key,
                has_aux=True,
            )
            return loss, (loss, info.exponents, info.num_lost)

        gradient, measured = jax.grad(loss_of, has_aux=True)(flossed)
        return measured, ascent(gradient)

    def _count(self, model: Any, state: PyTree) -> int:
        """How many exponents are flossed."""
        step, size = self.step(model), _dimension(state, self.tangents)
        most = getattr(step, "most_flossed", None)
        most = size if most is None else min(size, most)
        wanted = self.num_exponents
        return min(nearly_all(min(size, _units(step) or size)) if wanted is None else wanted, most)

    def _mask(self, model: Any) -> PyTree:
        """The leaves of the model that are flossed."""
        every = jax.tree.map(eqx.is_inexact_array, model)
        usual = jax.tree.map(
            lambda part: jax.tree.map(
                lambda x: eqx.is_inexact_array(x) and not isinstance(part, Surrogate), part
            ),
            model,
            is_leaf=lambda part: isinstance(part, Surrogate),
        )
        if self.where is None:
            mask = usual
        else:
            none = jax.tree.map(lambda _: False, model)
            chosen = self.where(usual)
            if not any(jax.tree.leaves(chosen)):  # surrogates alone, which were asked for
                chosen = self.where(every)
            mask = eqx.tree_at(self.where, none, chosen)
        if not any(jax.tree.leaves(mask)):
            raise ValueError(
                f"{'model' if self.where is None else 'where'}: there is no floating-point array to floss in "
                f"{type(model).__name__}; where has to return parts of the model that have some. Python "
                "numbers count as constants: jnp.asarray makes parameters of them."
            )
        return mask

    def _keeps_row_means(self, model: Any) -> bool:
        if self.keep_row_means is not None:
            return self.keep_row_means
        return bool(getattr(self.step(model), "keep_row_means", False))


@eqx.filter_jit
def _update(
    flosser: Flosser,
    model: Any,
    flosser_state: FlosserState,
    states: PyTree,
    inputs: PyTree,
    key: Array,
) -> tuple[Any, FlosserState, FlossInfo]:
    (loss, exponents, num_lost), gradient = flosser._gradient(model, states, inputs, key)
    flossed, rest = eqx.partition(model, flosser._mask(model))
    good = all_finite((loss, gradient))
    updates, optimiser = as_optimiser(flosser.optimiser, 0).update(
        gradient, flosser_state.optimiser, flossed, value=loss
    )
    if flosser._keeps_row_means(model):
        updates = jax.tree.map(without_row_mean, updates)
    flossed = apply_if(good, optax.apply_updates(flossed, updates), flossed)
    optimiser = apply_if(good, optimiser, flosser_state.optimiser)
    skipped = flosser_state.num_skipped + ~good
    info = FlossInfo(loss, exponents, num_lost, ~good, skipped)
    return eqx.combine(flossed, rest), FlosserState(optimiser, skipped), info


def _dimension(state: PyTree, tangents: PyTree) -> int:
    """State variables that carry perturbations."""
    if tangents is not None:
        state = eqx.filter(state, tangents)
    return dimension(as_state(state))


def _units(step: Any) -> int | None:
    """The units of a cell, in a stack those of all layers together; ``None`` for another step."""
    if isinstance(step, Stack):
        return sum(_units(layer) or 0 for layer in step.layers) or None
    return step.hidden_size if isinstance(step, Cell) else None
