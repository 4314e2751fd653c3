"""The kinds of binary networks that learn delayed XOR."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import optax
from jaxtyping import ArrayLike, PRNGKeyArray

from ...cells import CellSpec
from ...floss import (
    AdaptiveFlosser,
    Before,
    Flosser,
    FlosserState,
    Heights,
    KeeperState,
    Look,
    Schedule,
)
from ...floss.adaptive import when
from ...floss.schedule import needed
from ...runs import RunConfig
from ...tasks import DelayedXOR
from ..lab.careful import CarefulAdam, without_new_connections
from .cells import LinesSpec, MembraneSpec


class BothState(NamedTuple):
    """What ``HeightsThenWeights`` remembers."""

    keeper: KeeperState
    weights: FlosserState


class HeightsThenWeights(AdaptiveFlosser):
    """Moves heights into the band; then one flossing step of the weights, unless the network has learned.

    Heights move all exponents together, and the weights keep them together.
    """

    weights: Flosser = eqx.field(kw_only=True)

    def init(self, model: Any) -> BothState:
        """The state before the first call."""
        return BothState(super().init(model), self.weights.init(model))

    def update(
        self,
        model: Any,
        keeper_state: BothState,
        state: Any,
        inputs: Any = None,
        *,
        loss: ArrayLike | None = None,
        key: PRNGKeyArray,
    ) -> tuple[Any, BothState, Look]:
        """What is due after a training step, or nothing."""
        model, keeper, look = super().update(
            model, keeper_state.keeper, state, inputs, loss=loss, key=key
        )
        step_key = jax.random.fold_in(jax.random.split(key)[1], look.steps)

        def floss(model: Any, own: FlosserState) -> tuple:
            model, own, _ = self.weights.update(model, own, state, inputs, key=step_key)
            return model, own, None

        go = look.due & ~look.learned
        model, own, _ = when(go, floss, (model, keeper_state.weights), None)
        return model, BothState(keeper, own), look._replace(steps=look.steps + go)


def steady(flosser: Flosser, optimiser: optax.GradientTransformation) -> Flosser:
    """A flosser whose gradients go through one step of the states: they are steadier in binary networks."""
    return dataclasses.replace(
        flosser, optimiser=optimiser, detach_states=True, detach_warmup=True, renormalise_every=1
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldByBoth(Heights):
    """Keep the first exponent at a level by heights, and others near it by the weights."""

    num_exponents: int = 20
    """How many leading exponents are flossed by the weights."""
    learning_rate: float = 1e-3
    """Learning rate of Adam for these steps."""

    def control(
        self, step: Callable[[Any], Any], horizon: int | None, chance_loss: float | None
    ) -> AdaptiveFlosser:
        """The keeper of the band, and the flosser of the weights."""
        keeper = super().control(step, horizon, chance_loss)
        weights = Flosser(
            self.num_exponents,
            targets=self.level / needed(horizon),
            window=self.window,
            warmup=self.warmup,
            state_warmup=self.state_warmup,
            num_starts=1,
            step=step,
        )
        return HeightsThenWeights(
            **{field.name: getattr(keeper, field.name) for field in dataclasses.fields(keeper)},
            weights=steady(weights, optax.adam(self.learning_rate)),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SteadyBefore(Before):
    """Floss the weights before training; those that are zero stay zero."""

    def flosser(self, step: Callable[[Any], Any]) -> Flosser:
        """What takes the flossing steps."""
        optimiser = optax.chain(self.optimiser(), without_new_connections())
        return steady(super().flosser(step), optimiser)


@dataclasses.dataclass(frozen=True)
class Kind:
    """Networks of one kind: how they start, are trained and are flossed."""

    name: str
    cell: CellSpec
    optimiser: CarefulAdam = CarefulAdam(chance_loss=math.log(2))
    batch_size: int = 16
    adaptive: Heights = Heights()
    """How exponents are held during training."""
    full_rate_until: int = 18
    """Delay up to which flossing steps of the weights have their learning rate; beyond, it falls with
    the square of the delay, or flossing outruns what training learns."""
    before: SteadyBefore = SteadyBefore(
        num_exponents=20, steps_before=800, learning_rate=4e-3, clip_norm=None
    )
    """How networks are flossed before training alone."""

    def schedule(self, delay: int, name: str) -> Schedule | None:
        """How networks are flossed that learn this delay: ``none``, ``before`` or ``adaptive``."""
        if name == "none":
            return None
        if name == "before":
            return dataclasses.replace(self.before, targets=(self.adaptive.level / delay,))
        if not isinstance(self.adaptive, HeldByBoth):
            return self.adaptive
        rate = self.adaptive.learning_rate * min(1, self.full_rate_until / delay) ** 2
        return dataclasses.replace(self.adaptive, learning_rate=rate)

    def run(self, delay: int, schedule: str, epochs: int, networks: int, seed: int) -> RunConfig:
        """One of the runs."""
        return RunConfig(
            task=DelayedXOR(delay),
            cell=self.cell,
            schedule=self.schedule(delay, schedule),
            optimiser=self.optimiser,
            epochs=epochs,
            batch_size=self.batch_size,
            realisations=networks,
            seed=seed,
            measure_every=None,
        )


_RING = CarefulAdam(chance_loss=math.log(2), slow_below=0.3)

KINDS = {
    "gaussian": Kind(
        "Gaussian",
        MembraneSpec(80, input_gain=0.6),
        batch_size=32,
        adaptive=HeldByBoth(every=5, band=0.3, level=-1.0, num_starts=8, learning_rate=1.5e-3),
    ),
    "ring": Kind(
        "ring",
        MembraneSpec(80, recurrent="ring", gain=0.6, input_gain=0.36),
        _RING,
        adaptive=HeldByBoth(every=2, band=0.3, level=-1.0, num_starts=8, learning_rate=4e-4),
    ),
    "lines": Kind(
        "lines",
        LinesSpec(80),
        dataclasses.replace(_RING, learning_rate=1.8e-3, roll_back=0.5, keep_zeros=True),
        adaptive=Heights(every=1, band=0.3, level=-1.0, num_starts=16),
    ),
}
"""Gaussian weights, a ring, and a sparse ring that its inputs cut into lines of equal length."""
