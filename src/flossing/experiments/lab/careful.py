"""Adam that spares networks that have learned: slower where the loss is low, back to the best weights."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from ..._checks import check_positive
from ...optimisers import Adam, apply_if

MEMORY = 10
"""Updates over which losses are averaged, with exponentially decaying weights."""
SLOWER = 0.5
"""What each return to the best weights multiplies later updates by."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CarefulAdam(Adam):
    """Adam with clipped gradients, whose updates are slowed down, left out in part, or taken back."""

    chance_loss: float
    """Loss of a network that has learned nothing."""
    readout_rate: float = 1.0
    """Learning rate of the readout over that of the rest."""
    slow_below: float | None = None
    """Fraction of the loss at chance below which updates shrink in proportion to the loss averaged over the
    last epochs, so that networks that have learned stay as they are; none for nowhere."""
    roll_back: float | None = None
    """Rise of that average over its lowest value, as a fraction of the loss at chance, at which a network
    that was below chance by more than that returns to its best weights, to be updated half as fast from
    there; none for never."""
    keep_zeros: bool = False
    """Whether recurrent weights that are zero stay zero: units that are not connected stay so."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("chance_loss", "readout_rate", "slow_below", "roll_back"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))

    def build(self, epochs: int) -> optax.GradientTransformation:
        """Clipping and Adam, then what is done to their updates."""
        parts = [super().build(epochs)]
        if self.slow_below is not None:
            parts.append(slow_below(self.slow_below * self.chance_loss))
        if self.readout_rate != 1:
            parts.append(optax.masked(optax.scale(self.readout_rate), of_readout))
        if self.keep_zeros:
            parts.append(without_new_connections())
        whole = optax.chain(*parts)
        if self.roll_back is None:
            return whole
        return roll_back(whole, self.roll_back * self.chance_loss, self.chance_loss)


def averaged(mean: Float[Array, ""], loss: Array) -> Float[Array, ""]:
    """The average of losses with one more; it is infinite before the first."""
    change = jnp.where(jnp.isfinite(loss), loss - mean, 0) / MEMORY
    return jnp.where(jnp.isfinite(mean), mean + change, loss)


def slow_below(loss: float) -> optax.GradientTransformationExtraArgs:
    """Updates in proportion to the average of the losses so far, where that is below ``loss``."""

    def init(params: PyTree) -> Array:
        return jnp.full((), jnp.inf)

    def update(updates: Any, state: Any, params: Any = None, **more: Any) -> tuple[Any, Array]:
        pace = jnp.minimum(1, state / loss)
        return jax.tree.map(lambda u: pace * u, updates), averaged(state, more["value"])

    return optax.GradientTransformationExtraArgs(init, update)


class RollBackState(NamedTuple):
    """What ``roll_back`` remembers."""

    inner: PyTree
    mean: Float[Array, ""]
    """Average of the losses; infinite before the first."""
    best: PyTree
    """Parameters, and floating-point arrays of the inner state, where that average was lowest."""
    lowest: Float[Array, ""]
    pace: Float[Array, ""]
    """Factor of all updates, 1 until the first return."""
    returns: Int[Array, ""]


def roll_back(
    inner: optax.GradientTransformation, margin: float, chance: float
) -> optax.GradientTransformationExtraArgs:
    """Returns to the best parameters where the average loss exceeds its lowest value by ``margin``.

    The state of the optimiser returns, too; numbers of steps, on which learning rates depend, go on. Later
    updates are half as large. A network whose lowest loss is not below chance by as much has nothing to
    lose, and is left alone.

    Args:
        inner: whose updates these are.
        margin: in the units of the loss.
        chance: the loss of a network that has learned nothing.
    """
    inner = optax.with_extra_args_support(inner)

    def init(params: PyTree) -> RollBackState:
        state, infinite = inner.init(params), jnp.full((), jnp.inf)
        best = params, eqx.filter(state, eqx.is_inexact_array)
        return RollBackState(
            state, infinite, best, infinite, jnp.ones(()), jnp.zeros((), jnp.int32)
        )

    def update(updates: Any, state: Any, params: Any = None, **more: Any) -> tuple[Any, Any]:
        changes, new = inner.update(updates, state.inner, params, **more)
        mean = averaged(state.mean, more["value"])
        back = (mean > state.lowest + margin) & (state.lowest < chance - margin)
        arrays, rest = eqx.partition(new, eqx.is_inexact_array)
        current = params, eqx.filter(state.inner, eqx.is_inexact_array)
        changes = jax.tree.map(
            lambda change, now, best: jnp.where(back, best - now, state.pace * change),
            changes, params, state.best[0],
        )  # fmt: skip
        return changes, RollBackState(
            eqx.combine(apply_if(back, state.best[1], arrays), rest),
            jnp.where(back, state.lowest, mean),
            apply_if(mean < state.lowest, current, state.best),
            jnp.minimum(mean, state.lowest),
            jnp.where(back, SLOWER, 1) * state.pace,
            state.returns + back,
        )

    return optax.GradientTransformationExtraArgs(init, update)


def without_new_connections() -> optax.GradientTransformation:
    """Takes from updates those of recurrent weights that are zero."""

    def masked(recurrent: bool, update: Array, parameter: Array) -> Array:
        return jnp.where(parameter == 0, 0, update) if recurrent else update

    def update(updates: PyTree, params: PyTree) -> PyTree:
        return jax.tree.map(masked, _named(updates, "recurrent_weight"), updates, params)

    return optax.stateless(update)


def of_readout(network: PyTree) -> PyTree:
    """Which arrays of a network belong to its readout."""
    return _named(network, "readout_weight", "readout_bias")


def _named(tree: PyTree, *names: str) -> PyTree:
    """Whether the arrays of a tree have one of these names."""

    def has_name(path: tuple, leaf: Array) -> bool:
        return any(getattr(part, "name", None) in names for part in path)

    return jax.tree_util.tree_map_with_path(has_name, tree)
