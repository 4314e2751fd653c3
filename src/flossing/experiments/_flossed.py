"""Networks for experiments, and flossing them without any training."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..floss import Flossing
from ..runs.config import CellConfig, RunConfig, TaskConfig
from ..training import Network, Training, begin, floss_block, measure_exponents

_BLOCK = 25


def binary_cell(hidden_size: int, sharpness: float) -> CellConfig:
    """Binary networks with the published spectrum of exponents before flossing (Engelken & Abbott 2024).

    Their equations are not published. Of Gaussian weights of variance g^2 / N, with means of rows or activity
    removed or not, and inputs of several sizes, these fit the exponents read from the figure best
    (docs/results/binary-spectra/networks.csv).
    """
    return CellConfig(
        "binary", hidden_size, sharpness=sharpness, gain=1.25, input_gain=1.2, centred=True
    )


@dataclasses.dataclass(frozen=True)
class FlossingSettings:
    """What all experiments that floss networks may vary."""

    hidden_size: int = 80
    networks: int = 9
    learning_rate: float = 2e-3
    rate_of_many: float | None = None
    """Learning rate where more than half of all exponents are flossed; default the same."""
    careful_with_many: bool = False
    """Whether that rate falls to a tenth, and gradients are clipped, as is our default."""
    window: int = 100
    warmup: int = 25
    starts: int = 1
    delay: int = 40
    seed: int = 1

    def flossing(
        self, num_exponents: int, target: float = 0.0, steps: int | None = None
    ) -> Flossing:
        """That configuration of flossing; a rate that falls does so over so many steps."""
        many = 2 * num_exponents > self.hidden_size
        careful = many and self.careful_with_many
        rate = self.rate_of_many if many and self.rate_of_many else self.learning_rate
        return Flossing(
            num_exponents=num_exponents,
            targets=(target,),
            window=self.window,
            warmup=self.warmup,
            starts=self.starts,
            learning_rate=rate,
            final_learning_rate=rate / 10 if careful else rate,
            steps_before=steps or Flossing.steps_before,
            state_warmup=0,
            clip_norm=Flossing.clip_norm if careful else 0.0,
        )

    def build(self, **cell: Any) -> "Networks":
        """Fresh networks, driven by the bits of a delayed XOR."""
        config = CellConfig(hidden_size=self.hidden_size, **cell)
        return Networks(config, TaskConfig("xor", self.delay), self.networks, self.seed)


class Networks:
    """Fresh networks of one kind, their random keys, and the task whose input drives them."""

    def __init__(self, cell: CellConfig, task: TaskConfig, count: int, seed: int):
        config = RunConfig(task=task, cell=cell, realisations=count, seed=seed)
        self.task = task.build()
        self.keys = config.keys()
        self.fresh = config.networks()

    def flossed(
        self,
        flossing: Flossing,
        steps: int,
        look: Callable[[int, Network], Any] = lambda step, networks: None,
        every: int = _BLOCK,
    ) -> tuple[Network, np.ndarray]:
        """Networks after so many flossing steps, and their exponents in the flossing windows.

        ``look(step, networks)`` is called before the first step and after every ``every`` steps.

        Returns:
            Networks, and an array of shape (steps, networks, k).
        """
        training = Training()
        state = begin(self.fresh, training, flossing)
        exponents = []
        look(0, state.networks)
        for done in range(0, steps, every):
            count = min(every, steps - done)
            state, metrics = floss_block(
                state, self.keys, jnp.asarray(count), every, self.task, training, flossing
            )
            exponents.append(np.asarray(metrics.exponents)[:count])
            look(done + count, state.networks)
        return state.networks, np.concatenate(exponents)

    def spectra(self, networks: Network, num_exponents: int, num_steps: int = 2000) -> np.ndarray:
        """Exponents on input that flossing never saw, shape (networks, k), nats per step."""
        return np.asarray(
            measure_exponents(networks, self.keys, self.task, num_exponents, num_steps, 400)
        )
