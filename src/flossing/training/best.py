"""The best state of a network so far, to which a training that goes wrong returns."""

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from .network import Network
from .optimisers import apply_if

SLOWER = 0.5
"""What each return multiplies later updates by."""


class Moment(NamedTuple):
    """What an update changes."""

    network: Network
    optimiser: PyTree


class Best(eqx.Module):
    """Of one network, or of several along a leading axis."""

    trained: PyTree
    """Arrays of the network, and of its optimiser."""
    loss: Float[Array, "*realisations"]
    """Training loss, averaged over some epochs, where it was lowest."""
    pace: Float[Array, "*realisations"]
    """Factor of all updates, 1 until the first return."""

    @classmethod
    def start(cls, moment: Moment, loss: Array, pace: Array) -> "Best":
        """Before the first epoch, or the first after a phase of flossing; the loss is infinite."""
        return cls(eqx.filter(moment, eqx.is_inexact_array), loss, pace)

    def after(
        self, before: Moment, moment: Moment, loss: Float[Array, ""], margin: float, chance: float
    ) -> tuple[Moment, Array, "Best", Bool[Array, ""]]:
        """Remembers a state that is better; returns to the best one where the loss exceeds its by ``margin``.

        A network whose best loss is not below chance by as much has nothing to lose, and is left alone.
        Numbers of steps, on which learning rates depend, go on.

        Args:
            before: what the loss of an epoch was measured for.
            moment: after that epoch's update.
            loss: averaged over the last epochs.
            margin: in the units of the loss.
            chance: the loss of one that has learned nothing.

        Returns:
            Network and optimiser, loss, best state, and whether it returned.
        """
        found = eqx.filter(before, eqx.is_inexact_array)
        arrays, rest = eqx.partition(moment, eqx.is_inexact_array)
        back = (loss > self.loss + margin) & (self.loss < chance - margin)
        best = Best(
            apply_if(loss < self.loss, found, self.trained),
            jnp.minimum(loss, self.loss),
            jnp.where(back, SLOWER * self.pace, self.pace),
        )
        moment = eqx.combine(apply_if(back, self.trained, arrays), rest)
        return moment, jnp.where(back, self.loss, loss), best, back
