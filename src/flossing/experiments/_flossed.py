"""Networks for experiments, and flossing them without any training."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..floss import Flossing
from ..lyapunov import lyapunov_spectrum
from ..runs.config import CellConfig, RunConfig, TaskConfig
from ..training import Network, Training, begin, floss_block
from ..training.devices import over_realisations, spread

_BLOCK = 25


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

    def spectra(
        self, networks: Network, num_exponents: int, num_steps: int = 2000, seed: int = 99
    ) -> np.ndarray:
        """Exponents on input that flossing never saw, shape (networks, k), nats per step."""
        return np.asarray(
            _spectra(networks, self.keys, self.task, num_exponents, num_steps, jax.random.key(seed))
        )


@eqx.filter_jit
def _spectra(
    networks: Network, keys: Any, task: Any, num_exponents: int, num_steps: int, seed: Any
) -> Any:
    warmup = basis_warmup = 200

    def one(network: Network, key: Any) -> Any:
        key = jax.random.fold_in(seed, jax.random.bits(key))
        input_key, basis_key = jax.random.split(key)
        return lyapunov_spectrum(
            network.cell,
            network.initial_state,
            task.sample_inputs(input_key, warmup + basis_warmup + num_steps),
            num_exponents=num_exponents,
            warmup=warmup,
            basis_warmup=basis_warmup,
            key=basis_key,
        ).exponents

    return spread(lambda part: (over_realisations(one, *part),), (networks, keys), axes=(0,))[0]
