"""Networks for experiments, and flossing them without any training."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ...cells import BinarySpec, CellSpec
from ...floss import Schedule
from ...optimisers import Adam
from ...runs import RunConfig
from ...tasks import Task
from ...training import Network, Trainer, begin, floss_block, measure_exponents


def binary_cell(hidden_size: int, sharpness: float) -> BinarySpec:
    """Binary networks with the published spectrum of exponents before flossing (Engelken & Abbott 2024).

    Their equations are not published. Of Gaussian weights of variance g^2 / N, with means of rows or activity
    removed or not, and inputs of several sizes, these fit the exponents read from the figure best
    (docs/results/binary-spectra/networks.csv).
    """
    return BinarySpec(hidden_size, sharpness=sharpness, gain=1.25, input_gain=1.2, centred=True)


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
