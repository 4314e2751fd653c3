"""What is measured of an untrained network on its task, from which the use of flossing is foretold."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from ...cells import CellSpec
from ...examine.measure import measure
from ...examine.target_signal import target_signal
from ...runs import RunConfig
from ...tasks import Task, Trial
from ...training.trainer import outputs_of
from ..lab.experiment import Report
from .learning import TUNING

QUANTITIES = {
    "target_signal": "target signal: share of the gradient that comes from the targets",
    "growth": "growth of errors over the horizon by lambda_1",
    "measured_growth": "growth of an error over the horizon, measured",
    "mean_growth": "growth over the horizon by the mean of the leading half of the exponents",
    "condition": "condition number of the leading directions over the horizon",
    "steps": "steps of the horizon",
}
"""Names and what they are; growth and condition number in decades."""
TRIALS, PARTS = 1024, 32
"""From which the target signal is taken, and of how many gradients."""


def untrained(task: Task, cell: CellSpec, networks: int, seed: int, report: Report) -> xr.Dataset:
    """The quantities of the networks that all methods start from, by ``network``: tuning ones first.

    Args:
        task: gives inputs and horizon.
        cell: what the networks are without any remedy.
        networks: how many take part in the result.
        seed: of the networks.
        report: is told how far it is.
    """
    config = RunConfig(
        task=task, cell=cell, schedule=None, realisations=TUNING + networks, seed=seed
    )
    made, keys = config.networks(), config.keys()
    rows = []
    for i in range(TUNING + networks):
        network = jax.tree.map(lambda x, i=i: x[i] if eqx.is_array(x) else x, made)
        report(f"network {i + 1} of {TUNING + networks}")
        rows.append(_of_one(network, task, keys[i]))
    columns = zip(QUANTITIES, zip(*rows, strict=True), strict=True)
    return xr.Dataset({name: ("network", np.array(values)) for name, values in columns})


def _of_one(network: Any, task: Task, key: jax.Array) -> Sequence[float]:
    task = task.loaded()
    trial = jax.eval_shape(task.sample, key).inputs
    horizon = task.horizon or jax.tree.leaves(trial)[0].shape[0]
    input_key, key = jax.random.split(key)
    found = measure(
        network.cell,
        network.initial_state,
        task.sample_inputs(input_key, max(300, 2 * horizon)),
        horizon=horizon,
        loss=None,
        num_exponents=10**6,
        time_step=None,
        key=key,
    )
    logs = found.log_singular_values
    half = found.exponents[: max(1, found.state_dimension // 2)]
    batch_key, shuffle_key = jax.random.split(key)
    trial = task.batch(batch_key, 0, TRIALS)
    signal = target_signal(
        TaskLoss(task), network, (trial.inputs, trial.mask), trial.targets,
        parts=PARTS, where=_cell, key=shuffle_key,
    )  # fmt: skip
    return (
        float(signal),
        found.decades,
        found.measured_decades,
        float(half.mean()) * horizon / np.log(10),
        float(logs[0] - np.median(logs)) / np.log(10),
        float(horizon),
    )


class TaskLoss(eqx.Module):
    """The loss of a task, for ``target_signal``: one object for one program, whatever the network."""

    task: Task

    def __call__(self, network: Any, given: tuple[Any, Any], targets: Any) -> jax.Array:
        """The loss of a batch; ``given`` are its inputs and the mask of scored steps."""
        inputs, mask = given
        noise = jax.random.split(jax.random.key(0), jax.tree.leaves(inputs)[0].shape[0])
        outputs = outputs_of(network, inputs, network.initial_state, noise)
        return self.task.loss(outputs, Trial(inputs, targets, mask))


def _cell(network: Any) -> Any:
    return network.cell
