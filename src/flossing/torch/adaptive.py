"""Adaptive flossing of PyTorch modules: look at the exponent now and then, and floss when it left a band."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from .._checks import check_finite, check_instance, check_integer, check_positive
from ..floss._rule import Rule, half_width, remembered
from .window import Window


class Look(NamedTuple):
    """What a call of an adaptive flosser saw and did."""

    due: bool
    """Whether it looked at the exponents."""
    exponent: float
    """The first exponent as it was found, nats per step; NaN where nobody looked."""
    learned: bool
    """Whether the averaged loss says that the model has learned."""
    steps: int
    """Flossing steps taken."""


class AdaptiveFlosser:
    """Keeps the first exponent of a module within a band while it learns; called once per training step.

    Every ``every`` calls it looks at the exponent. The band is ``band / horizon`` wide to either side
    of the target: an exponent of size ``1 / horizon`` shrinks or grows an error signal by a factor of e
    over the horizon. It is never narrower than a look resolves: 3 over the counted steps of the window,
    0.04 by default. It flosses when

    - the exponent is above the band: gradients are about to explode; or
    - it is below the band and the model has not learned yet: its gradients have vanished. A model that
      has learned needs no slower directions than it uses, and is left alone; not so with
      ``ft.SurrogateHeights``, which change nothing that was learned.

    It goes on until the exponent is within half the band's width, or for 20 steps. The rule is that of
    ``fl.AdaptiveFlosser``. In most calls nothing is due; ``num_flossed`` counts the flossing steps of all
    calls, and this shows each look::

        look = keeper.update(state, inputs, loss=loss)
        if look.due:
            print(epoch, look)

    Args:
        flosser: an ``ft.Flosser``, or ``ft.SurrogateHeights``.
        horizon: the longest time that the model has to bridge, in steps.
        band: half the width of the band, times the horizon, unless that is less than a look resolves.
        every: calls between looks.
        learned: the model has learned when its loss, averaged over the last calls, is below this
            fraction of the loss of one that has learned nothing.
        chance: the loss of one that has learned nothing; default the first loss that ``update`` gets.
    """

    def __init__(
        self,
        flosser: Window,
        *,
        horizon: float,
        band: float = 2.0,
        every: int = 20,
        learned: float = 0.5,
        chance: float | None = None,
    ):
        check_instance("flosser", flosser, Window, "an ft.Flosser or ft.SurrogateHeights")
        check_positive("horizon", horizon)
        check_positive("band", band)
        check_integer("every", every, 1)
        check_positive("learned", learned, zero=True)
        if chance is not None:
            check_finite("chance", chance)
        self.flosser = flosser
        target = np.ravel(np.asarray(flosser.targets, float))[0]
        width = half_width(flosser, band, horizon)
        self.rule = Rule(target, width, every, learned, flosser.disturbs)
        self.calls = 0
        self.num_flossed = 0
        """How many flossing steps were taken so far."""
        self.mean_loss = np.float64(np.inf)
        self.chance = np.float64(np.nan if chance is None else chance)

    def update(
        self,
        state: Any,
        inputs: Any = None,
        *,
        loss: Any = None,
        generator: torch.Generator | None = None,
    ) -> Look:
        """What is due after a training step, or nothing.

        Args:
            state, inputs, generator: as for ``ft.Flosser.update``.
            loss: training loss of that step, a number or a tensor; without it the model never counts as
                one that has learned.
        """
        if loss is not None:
            new = np.float64(loss.detach().item() if isinstance(loss, Tensor) else loss)
            with np.errstate(invalid="ignore"):
                self.mean_loss, self.chance = map(
                    np.float64, remembered(self.mean_loss, self.chance, new, np)
                )
        learned = np.bool_(self.rule.has_learned(self.mean_loss, self.chance))
        due = bool(self.rule.is_due(np.int64(self.calls)))
        self.calls += 1
        if not due:
            return Look(False, math.nan, bool(learned), 0)
        seen = exponent = self.flosser.measure(state, inputs, generator=generator)
        go_on, done = bool(self.rule.is_wrong(np.float64(exponent), learned)), 0
        while go_on:
            info = self.flosser.update(state, inputs, generator=generator)
            seen, done = float(info.exponents[0]), done + 1
            go_on = bool(self.rule.goes_on(np.float64(seen), np.int64(done)))
        self.num_flossed += done
        return Look(True, exponent, bool(learned), done)

    def state_dict(self) -> dict[str, Any]:
        """What a run that is resumed needs."""
        numbers = {"calls": self.calls, "num_flossed": self.num_flossed}
        numbers |= {"mean_loss": float(self.mean_loss)}
        return {"flosser": self.flosser.state_dict(), "chance": float(self.chance), **numbers}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continues from ``state_dict()``."""
        self.flosser.load_state_dict(state["flosser"])
        self.calls, self.num_flossed = int(state["calls"]), int(state["num_flossed"])
        self.mean_loss, self.chance = np.float64(state["mean_loss"]), np.float64(state["chance"])
