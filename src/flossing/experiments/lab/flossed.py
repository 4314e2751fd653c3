"""Networks for experiments, and flossing them without any training."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ...cells import BinarySpec, CellSpec, TanhSpec
from ...floss import Before, Schedule
from ...optimisers import Adam
from ...runs import RunConfig
from ...tasks import DelayedXOR, Task
from ...training import Network, Trainer, begin, floss_block, measure_exponents


def binary_cell(hidden_size: int, sharpness: float) -> BinarySpec:
    """Binary networks with the published spectrum of exponents before flossing (Engelken & Abbott 2024).

    Their equations are not published. Of Gaussian weights of variance g^2 / N, with means of rows or activity
    removed or not, and inputs of several sizes, these fit the exponents read from the figure best
    (docs/results/binary-spectra/networks.csv).
    """
    return BinarySpec(hidden_size, sharpness=sharpness, gain=1.25, input_gain=1.2, centred=True)


@dataclasses.dataclass(frozen=True)
class FlossingSettings:
    """What all experiments that floss tanh networks may vary."""

    hidden_size: int = 80
    networks: int = 9
    learning_rate: float = 2e-3
    rate_of_many: float | None = None
    """Learning rate where more than half of all exponents are flossed; default the same."""
    careful_with_many: bool = False
    """Whether that rate falls to a tenth, and gradients are clipped, as is our default."""
    window: int = 100
    warmup: int = 25
    delay: int = 40
    seed: int = 1

    def schedule(self, num_exponents: int, steps: int) -> Before:
        """So many flossing steps; a rate that falls does so over them."""
        many = 2 * num_exponents > self.hidden_size
        careful = many and self.careful_with_many
        rate = self.rate_of_many if many and self.rate_of_many else self.learning_rate
        return Before(
            num_exponents=num_exponents,
            window=self.window,
            warmup=self.warmup,
            learning_rate=rate,
            final_learning_rate=None if careful else rate,
            steps_before=steps,
            state_warmup=0,
            clip_norm=Before.clip_norm if careful else None,
        )

    def build(self) -> "Networks":
        """Fresh tanh networks, driven by the bits of a delayed XOR."""
        task = DelayedXOR(self.delay)
        return Networks(TanhSpec(self.hidden_size), task, self.networks, self.seed)


class Networks:
    """Fresh networks of one kind, their random keys, and the task whose input drives them."""

    def __init__(self, cell: CellSpec, task: Task, count: int, seed: int):
        config = RunConfig(task=task, cell=cell, schedule=None, realisations=count, seed=seed)
        self.task = task
        self.keys = config.keys()
        self.fresh: Network = config.networks()

    def trainer(self, schedule: Schedule | None) -> Trainer:
        """A trainer with the usual optimiser, which flossing does not need."""
        return Trainer(self.task, Adam(), schedule)

    def flossed(
        self,
        schedule: Schedule,
        steps: int,
        look: Callable[[int, Network], Any] = lambda step, networks: None,
        every: int = 25,
    ) -> tuple[Network, np.ndarray]:
        """Networks after so many flossing steps of a schedule, and their exponents in the flossing windows.

        ``look(step, networks)`` is called before the first step and after every ``every`` steps.

        Returns:
            Networks, and an array of shape (steps, networks, k).
        """
        trainer = self.trainer(schedule)
        state = begin(self.fresh, trainer)
        exponents = []
        look(0, state.networks)
        for done in range(0, steps, every):
            count = min(every, steps - done)
            state, metrics = floss_block(state, self.keys, count, every, trainer)
            exponents.append(np.asarray(metrics.exponents))
            look(done + count, state.networks)
        return state.networks, np.concatenate(exponents)

    def spectra(self, networks: Network, num_exponents: int, num_steps: int = 2000) -> np.ndarray:
        """Exponents on input that flossing never saw, shape (networks, k), nats per step."""
        trainer = self.trainer(None)
        return np.asarray(
            measure_exponents(networks, self.keys, trainer, num_exponents, num_steps, 400)
        )
