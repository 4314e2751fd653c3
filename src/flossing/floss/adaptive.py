"""Adaptive flossing: look at the exponents from time to time, and floss when they have left a band."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, PyTree

from .._checks import check_finite, check_instance, check_integer, check_key, check_positive
from ..surrogates import Surrogate
from ._rule import Rule, half_width, remembered
from .flosser import Flosser, FlosserState, FlossInfo
from .window import Window


class SurrogateHeights(Window):
    """Moves the first surrogate exponent of a network to its target by the heights of surrogate derivatives.

    The activity of a spiking network does not depend on these heights, so nothing that was learned is
    disturbed. Where every path of the tangents crosses one surrogate per step (binary units), a factor c
    adds log c to each exponent. ``init`` and ``update`` are those of ``fl.Flosser``; ``update`` scales all
    heights once, by ``exp(response * miss)`` where the exponent misses its target so.

    Args:
        response: one over the number of surrogates that a path crosses per step; for LIF neurons, whose
            signals stay in membrane and synapse, about ``(tau_mem + tau_syn) / time_step``.
        targets, window, warmup, state_warmup, num_starts, tangents, step: as for ``fl.Flosser``.
    """

    response: float = 1.0

    disturbs: ClassVar[bool] = False

    def __check_init__(self) -> None:
        check_positive("response", self.response)

    def init(self, model: Any) -> FlosserState:
        """The state before the first step.

        Raises:
            ValueError: the model has no surrogates, or their heights are no arrays.
        """
        surrogates = _surrogates(model)
        if not surrogates:
            raise ValueError(
                "model: expected surrogate derivatives, as binary and LIF cells have them, got "
                f"{type(model).__name__}."
            )
        if not all(eqx.is_array(surrogate.peak) for surrogate in surrogates):
            raise ValueError(
                "model: the heights of its surrogates are numbers that cannot change; call "
                "fl.free_heights(model) first."
            )
        return FlosserState(None, jnp.zeros((), jnp.int32))

    def update(
        self,
        model: Any,
        flosser_state: FlosserState,
        state: Any,
        inputs: Any = None,
        *,
        key: PRNGKeyArray,
    ) -> tuple[Any, FlosserState, FlossInfo]:
        """Measures the first exponent, scales the heights, and measures again; see ``fl.Flosser.update``.

        ``info.exponents`` holds the exponent after the scaling.
        """
        seen = self.measure(model, state, inputs, key=key)
        return self.act(model, flosser_state, seen, state, inputs, key=key)

    def act(
        self,
        model: Any,
        flosser_state: FlosserState,
        seen: Float[Array, ""],
        state: Any,
        inputs: Any,
        *,
        key: PRNGKeyArray,
    ) -> tuple[Any, FlosserState, FlossInfo]:
        """As ``update``, where the exponent has been seen already."""
        miss = self.response * (first(self.targets) - seen)
        # Lost directions (-inf) and NaN have no distance: one step of a factor of e, upwards or downwards.
        change = jnp.nan_to_num(miss, nan=-1, posinf=1, neginf=-1)
        model = scale_heights(model, jnp.exp(jnp.clip(change, -1, 1)))
        exponent = self.measure(model, state, inputs, key=key)
        never = jnp.asarray(False)
        loss = jnp.square(exponent - first(self.targets))
        lost = jnp.isneginf(exponent).astype(jnp.int32)
        info = FlossInfo(loss, exponent[None], lost, never, flosser_state.num_skipped)
        return model, flosser_state, info


class Look(NamedTuple):
    """What a call of an adaptive flosser saw and did."""

    due: Bool[Array, ""]
    """Whether it looked at the exponents."""
    exponent: Float[Array, ""]
    """The first exponent as it was found, nats per step; NaN where nobody looked."""
    learned: Bool[Array, ""]
    """Whether the averaged loss says that the model has learned."""
    steps: Int[Array, ""]
    """Flossing steps taken."""


class KeeperState(NamedTuple):
    """What an adaptive flosser remembers between its calls."""

    flosser: FlosserState
    calls: Int[Array, ""]
    mean_loss: Float[Array, ""]
    """Average over the last losses; infinite before the first."""
    chance: Float[Array, ""]
    """The loss of a model that has learned nothing."""


class AdaptiveFlosser(eqx.Module):
    """Keeps the first exponent of a model within a band while it learns; called once per training step.

    Every ``every`` calls it looks at the exponent, with fresh inputs (if they are a function of a key) and a
    fresh tangent basis. The band is ``band / horizon`` wide to either side of the target: an exponent of
    size ``1 / horizon`` shrinks or grows an error signal by a factor of e over the horizon. It is never
    narrower than a look resolves: 3 over the counted steps of the window, 0.04 by default. It flosses when

    - the exponent is above the band: gradients are about to explode; or
    - it is below the band and the model has not learned yet: its gradients have vanished. A model that has
      learned needs no slower directions than it uses, and is left alone; not so with
      ``SurrogateHeights``, which change nothing that was learned.

    It goes on until the exponent is within half the band's width, or for 20 steps.

    Args:
        flosser: a ``fl.Flosser``, or ``fl.SurrogateHeights``.
        horizon: the longest time that the model has to bridge, in steps.
        band: half the width of the band, times the horizon, unless that is less than a look resolves.
        every: calls between looks.
        learned: the model has learned when its loss, averaged over the last calls, is below this fraction of
            the loss of one that has learned nothing.
        chance: the loss of one that has learned nothing; default the first loss that ``update`` gets.
    """

    flosser: Flosser | SurrogateHeights
    horizon: int | float = eqx.field(kw_only=True)
    band: float = eqx.field(kw_only=True, default=2.0)
    every: int = eqx.field(kw_only=True, default=20)
    learned: float = eqx.field(kw_only=True, default=0.5)
    chance: float | None = eqx.field(kw_only=True, default=None)

    def __check_init__(self) -> None:
        wanted = "a fl.Flosser or fl.SurrogateHeights"
        check_instance("flosser", self.flosser, Window, wanted)
        check_positive("horizon", self.horizon)
        check_positive("band", self.band)
        check_integer("every", self.every, 1)
        check_positive("learned", self.learned, zero=True)
        if self.chance is not None:
            check_finite("chance", self.chance)

    def init(self, model: Any) -> KeeperState:
        """The state before the first call."""
        chance = jnp.asarray(
            jnp.nan if self.chance is None else self.chance, jnp.result_type(float)
        )
        return KeeperState(
            self.flosser.init(model),
            jnp.zeros((), jnp.int32),
            jnp.full_like(chance, jnp.inf),
            chance,
        )

    def update(
        self,
        model: Any,
        keeper_state: KeeperState,
        state: Any,
        inputs: Any = None,
        *,
        loss: ArrayLike | None = None,
        key: PRNGKeyArray,
    ) -> tuple[Any, KeeperState, Look]:
        """What is due after a training step, or nothing.

        Args:
            model, state, inputs: as for ``fl.Flosser.update``. Make functions outside of your loop: this
                method is compiled, and is compiled anew for a function that it has not seen.
            keeper_state: from ``init`` or the last ``update``.
            loss: training loss of that step; without it the model never counts as one that has learned.
            key: random key of this call.

        Returns:
            The model, the new state, and a ``Look``.
        """
        check_key("key", key)
        if loss is not None:  # a Python number would be a part of the program
            loss = jnp.asarray(loss, keeper_state.mean_loss.dtype)
        return self._update(model, keeper_state, state, inputs, loss, key)

    @eqx.filter_jit
    def _update(
        self,
        model: Any,
        keeper_state: KeeperState,
        state: Any,
        inputs: Any,
        loss: Array | None,
        key: Array,
    ) -> tuple[Any, KeeperState, Look]:
        keeper_state = _remembered(keeper_state, loss)
        calls, mean = keeper_state.calls, keeper_state.mean_loss
        due = self._rule.is_due(calls)
        learned = self._rule.has_learned(mean, keeper_state.chance)
        nothing = jnp.full((), jnp.nan, jnp.result_type(float)), jnp.zeros((), jnp.int32)

        def look(model: Any, flosser_state: FlosserState) -> tuple:
            return self._look(model, flosser_state, state, inputs, learned, key)

        model, flosser_state, (exponent, steps) = when(
            due, look, (model, keeper_state.flosser), nothing
        )
        keeper_state = keeper_state._replace(flosser=flosser_state, calls=calls + 1)
        return model, keeper_state, Look(due, exponent, learned, steps)

    def _look(
        self,
        model: Any,
        flosser_state: FlosserState,
        state: Any,
        inputs: Any,
        learned: Array,
        key: Array,
    ) -> tuple:
        """Looks at the first exponent, and moves it as long as it is where it must not be."""
        look_key, floss_key = jax.random.split(key)
        exponent = self.flosser.measure(model, state, inputs, key=look_key)
        wrong = self._rule.is_wrong(exponent, learned)
        arrays, rest = eqx.partition((model, flosser_state), eqx.is_array)

        def step(carry: tuple) -> tuple:
            arrays, done, seen = carry
            keys = look_key, jax.random.fold_in(floss_key, done)
            *changed, info = self._act(*eqx.combine(arrays, rest), seen, state, inputs, keys)
            return eqx.filter(tuple(changed), eqx.is_array), done + 1, info.exponents[0]

        def go_on(carry: tuple) -> Array:
            _, done, seen = carry
            return jnp.where(done == 0, wrong, self._rule.goes_on(seen, done))

        arrays, done, _ = jax.lax.while_loop(
            go_on, step, (arrays, jnp.zeros((), jnp.int32), exponent)
        )
        # Of the dtype that an idle call has, whatever that of the state.
        return *eqx.combine(arrays, rest), (exponent.astype(jnp.result_type(float)), done)

    @property
    def _rule(self) -> Rule:
        width = half_width(self.flosser, self.band, self.horizon)
        target = first(self.flosser.targets)
        return Rule(target, width, self.every, self.learned, self.flosser.disturbs)

    def _act(
        self,
        model: Any,
        flosser_state: FlosserState,
        seen: Array,
        state: Any,
        inputs: Any,
        keys: tuple[Array, Array],
    ) -> tuple[Any, FlosserState, FlossInfo]:
        """One step; the keys are that of the look, for heights, and that of the step, for weights."""
        if isinstance(self.flosser, SurrogateHeights):
            return self.flosser.act(model, flosser_state, seen, state, inputs, key=keys[0])
        return self.flosser.update(model, flosser_state, state, inputs, key=keys[1])


def _remembered(keeper_state: KeeperState, loss: Array | None) -> KeeperState:
    """The state with one more loss in its average."""
    if loss is None:
        return keeper_state
    mean = keeper_state.mean_loss
    mean, chance = remembered(mean, keeper_state.chance, loss, jnp)
    return keeper_state._replace(mean_loss=mean, chance=chance)


def first(targets: Any) -> Array:
    """The target of the first exponent."""
    return jnp.ravel(jnp.asarray(targets))[0]


def when(condition: Array, change: Any, carry: tuple, idle: PyTree) -> tuple:
    """``(*carry, out)`` of ``change(*carry)`` where the condition holds, else the carry and ``idle``."""
    arrays, rest = eqx.partition(carry, eqx.is_array)

    def do(arrays: PyTree) -> tuple[PyTree, PyTree]:
        *new, out = change(*eqx.combine(arrays, rest))
        return eqx.filter(tuple(new), eqx.is_array), out

    arrays, out = jax.lax.cond(condition, do, lambda arrays: (arrays, idle), arrays)
    return *eqx.combine(arrays, rest), out


def scale_heights(model: Any, factor: Float[Array, "*networks"]) -> Any:
    """The same activity, with surrogate derivatives ``factor`` times as high."""
    return jax.tree.map(
        lambda part: part.scaled(factor) if isinstance(part, Surrogate) else part,
        model,
        is_leaf=lambda part: isinstance(part, Surrogate),
    )


def free_heights(model: Any) -> Any:
    """The same model, with heights of surrogate derivatives that are arrays, as ``SurrogateHeights`` needs.

    Raises:
        ValueError: the model has no surrogates.
    """
    if not _surrogates(model):
        raise ValueError(
            "model: expected surrogate derivatives, as binary and LIF cells have them, got "
            f"{type(model).__name__}."
        )
    return scale_heights(model, jnp.ones(()))


def _surrogates(model: Any) -> list[Surrogate]:
    parts = jax.tree.leaves(model, is_leaf=lambda part: isinstance(part, Surrogate))
    return [part for part in parts if isinstance(part, Surrogate)]
