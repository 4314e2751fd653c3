"""Tanh networks whose first exponents are flossed, in several numbers, without any training."""

import dataclasses

from ...cells import TanhSpec
from ...floss import Before
from ...tasks import DelayedXOR
from ...training import Network
from ..lab.experiment import Experiment
from ..lab.flossed import Networks


@dataclasses.dataclass(frozen=True)
class Flossed:
    """Networks of which so many exponents were flossed."""

    num_exponents: int
    """Number k; 0 for none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlossedTanh(Experiment):
    """Base of experiments on fresh tanh networks with k exponents flossed, for several k.

    The networks are driven by the bits of a delayed XOR.
    """

    flossed: tuple[int, ...]
    """Numbers k of flossed exponents."""
    steps: int
    """Flossing steps."""
    hidden_size: int = 80
    networks: int = 9
    learning_rate: float = 2e-3
    """Of flossing."""
    rate_of_many: float = 5e-3
    """Of flossing more than half of all exponents."""
    careful_with_many: bool = False
    """Whether that rate falls to a tenth, and gradients are clipped, as in a schedule's defaults."""
    window: int = 100
    """Steps of a flossing step, the warm-up among them."""
    warmup: int = 25
    delay: int = 40
    """Of the task, in steps."""
    measured_steps: int = 2000
    """Steps of input, new to the networks, over which exponents are measured."""
    seed: int = 1

    def schedule(self, num_exponents: int) -> Before:
        """How so many exponents are flossed; a rate that falls does so over all steps."""
        many = 2 * num_exponents > self.hidden_size
        careful = many and self.careful_with_many
        rate = self.rate_of_many if many else self.learning_rate
        return Before(
            num_exponents=num_exponents,
            window=self.window,
            warmup=self.warmup,
            learning_rate=rate,
            final_learning_rate=None if careful else rate,
            steps_before=self.steps,
            state_warmup=0,
            clip_norm=Before.clip_norm if careful else None,
        )

    def fresh(self) -> Networks:
        """Fresh networks."""
        task = DelayedXOR(self.delay)
        return Networks(TanhSpec(self.hidden_size), task, self.networks, self.seed)

    def after_flossing(self, networks: Networks, num_exponents: int) -> Network:
        """The networks with so many exponents flossed; the fresh ones for 0."""
        if num_exponents == 0:
            return networks.fresh
        return networks.flossed(self.schedule(num_exponents), self.steps)[0]
