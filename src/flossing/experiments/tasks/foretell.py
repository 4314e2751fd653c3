"""What is measured of an untrained network on its task, from which the use of flossing is foretold."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import numpy as np
import xarray as xr

from ...cells import CellSpec
from ...examine.measure import measure
from ...runs import RunConfig
from ...runs.examining import signal_of
from ...tasks import Task
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
    measured = measure(
        network.cell,
        network.initial_state,
        task.sample_inputs(input_key, max(300, 2 * horizon)),
        horizon=horizon,
        loss=None,
        num_exponents=10**6,
        time_step=None,
        key=key,
    )
    logs = measured.log_singular_values
    half = measured.exponents[: max(1, measured.state_dimension // 2)]
    signal = signal_of(network, task, key)
    return (
        np.nan if signal is None else signal,
        measured.decades,
        measured.measured_decades,
        float(half.mean()) * horizon / np.log(10),
        float(logs[0] - np.median(logs)) / np.log(10),
        float(horizon),
    )
