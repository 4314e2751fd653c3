"""Examinations of fresh networks and of those of a run, and what files keep of them."""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from .._checks import check_integer, check_seed
from .._system import command_line
from ..examine import Report, examine, target_signal
from ..lyapunov import entropy_rate, kaplan_yorke_dimension
from ..tasks import Task, Trial
from ..training import Network
from ..training.trainer import cell_of, outputs_of
from . import directory as files
from .config import RunConfig, to_mapping
from .train import read_config

STEPS = 400
"""Steps of the inputs that networks are examined with, at least."""
_FOLLOW = ("decades", "measured_decades", "condition_decades", "directions", "num_lost")
_FOLLOW += ("time_constants", "time_unit", "parallel_condition")
"""Numbers that follow from those that are measured."""
MOST = 3
"""Networks of a run that are examined for its page."""


class Driven(NamedTuple):
    """What ``fl.examine`` takes: a step, where it starts, its inputs, and a random key."""

    step: Callable[[Any, Any], Any]
    state: PyTree
    inputs: PyTree
    key: Array


def driven(
    source: RunConfig | str | Path, network: int = 1, *, steps: int | None = None, seed: int = 1
) -> Driven:
    """A network with inputs of its task, as ``floss examine`` and report pages examine it.

    ``step, state, inputs, key = driven("runs/mine")`` gives the names that pasted advice uses.

    Args:
        source: directory of a run, for its trained networks; or its settings, for fresh networks as they are
            made, with the seed of the settings, before any flossing.
        network: which of them, counted from 1.
        steps: of the inputs; default 400, or the horizon if that is longer.
        seed: random seed of inputs and key.

    Raises:
        ValueError: not the directory of a run, damaged files, or no network of this number.
    """
    check_integer("network", network, 1)
    check_seed("seed", seed)
    if isinstance(source, RunConfig):
        config = dataclasses.replace(source, schedule=None)
        networks = config.networks()
    else:
        config = read_config(source)
        networks = _trained(Path(source), config)
    check_integer("network", network, 1, config.realisations)
    return drive(config, networks, network, steps=steps, seed=seed)


def _trained(directory: Path, config: RunConfig) -> PyTree:
    """The networks of a run that has ended, along a leading axis."""
    path = directory / files.WEIGHTS
    if not path.is_file():
        go_on = command_line(["floss", "train", "--resume", directory.as_posix()])
        raise ValueError(
            f"{directory}: has no {files.WEIGHTS}, as runs have that ended; go on with: {go_on}"
        )
    return files.read_arrays(path, config.networks())


def drive(
    config: RunConfig, networks: PyTree, network: int, *, steps: int | None = None, seed: int = 1
) -> Driven:
    """One of the networks along a leading axis, with inputs of the task of ``config``."""
    steps = max(STEPS, horizon_of(config.task)) if steps is None else steps
    check_integer("steps", steps, 1)
    chosen = jax.tree.map(lambda x: x[network - 1] if eqx.is_array(x) else x, networks)
    input_key, key = jax.random.split(jax.random.key(seed))
    inputs = config.task.loaded().sample_inputs(input_key, steps)
    return Driven(config.step(chosen), config.state(chosen), inputs, key)


TRIALS, PARTS = 1024, 32
"""From which target signals are taken, and of how many gradients."""
MOST_NUMBERS = 2**26
"""In the inputs of these trials: 256 MB."""


class TaskLoss(eqx.Module):
    """The loss of a task in the form of ``fl.target_signal``."""

    task: Task

    def __call__(self, network: Any, given: tuple[Any, Any], targets: Any) -> Array:
        """The loss of a batch; ``given`` are its inputs and the mask of scored steps."""
        inputs, mask = given
        noise = jax.random.split(jax.random.key(0), jax.tree.leaves(inputs)[0].shape[0])
        outputs = outputs_of(network, inputs, network.initial_state, noise)
        return self.task.loss(outputs, Trial(inputs, targets, mask))


def signal_of(network: Network, task: Task, key: PRNGKeyArray) -> float | None:
    """The target signal of a network's recurrent weights on a task; ``None`` where it has too few trials."""
    task = task.loaded()
    batch_key, shuffle_key = jax.random.split(key)
    numbers = sum(x.size for x in jax.tree.leaves(jax.eval_shape(task.sample, key).inputs))
    count = min(TRIALS, len(getattr(task, "train", range(TRIALS))), MOST_NUMBERS // numbers)
    parts = min(PARTS, count // 2)
    if parts < 2:
        return None
    trial = task.batch(batch_key, 0, count - count % parts)
    signal = target_signal(
        TaskLoss(task), network, (trial.inputs, trial.mask), trial.targets,
        parts=parts, where=cell_of, key=shuffle_key,
    )  # fmt: skip
    return float(signal)


def horizon_of(task: Task) -> int:
    """How far errors have to travel in a task: its horizon if it has one, else the length of its trials."""
    if task.horizon is not None:
        return task.horizon
    trial = jax.eval_shape(task.loaded().sample, jax.random.key(0))
    return jax.tree.leaves(trial.inputs)[0].shape[0]


def entry(report: Report) -> dict[str, Any]:
    """A report as plain values for JSON: findings, the rows that are printed, and all numbers.

    Arrays are lists; infinity and NaN, which JSON does not have, are the strings ``"inf"``, ``"-inf"`` and
    ``"nan"``. The states of single steps are left out; what is not determined is ``None``.
    """
    m = report.measured
    fields = [field.name for field in dataclasses.fields(m) if field.name != "states"]
    numbers = {name: _plain(getattr(m, name)) for name in [*fields, *_FOLLOW]}
    shares = {"dead": float(m.dead.mean()), "saturated": float(m.saturated.mean())}
    return {
        "headline": report.headline,
        "findings": [_plain(finding) for finding in report.advice],
        "rows": dict(report.rows),
        "numbers": numbers
        | shares
        | {"kaplan_yorke_dimension": dimension(report), "entropy_rate": entropy(report)},
    }


def dimension(report: Report) -> float | None:
    """The Kaplan-Yorke dimension; ``None`` where it takes more exponents than were measured."""
    return _determined(kaplan_yorke_dimension, report)


def entropy(report: Report) -> float | None:
    """The entropy rate in nats per step; ``None`` where it takes more exponents than were measured."""
    return _determined(entropy_rate, report)


def _determined(measure: Callable[..., Array], report: Report) -> float | None:
    m = report.measured
    try:
        return float(measure(jnp.asarray(m.exponents), m.state_dimension))
    except ValueError:
        return None


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {name: _plain(x) for name, x in value.items()}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, list | tuple):
        return [_plain(x) for x in value]
    return str(value) if isinstance(value, float) and not np.isfinite(value) else value


def write_examination(
    path: Path, entries: Sequence[dict[str, Any]], config: RunConfig, **options: Any
) -> None:
    """Writes ``examine.json``: what was found of each network, with options, settings and environment."""
    settings = to_mapping(config)
    parts = {name: settings[name] for name in ("task", "cell")}
    content = {
        "options": options | parts,
        "networks": list(entries),
        "environment": files.environment(),
    }
    files.write_json(path / files.EXAMINATION, content)


def examine_run(directory: Path, config: RunConfig, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Examinations of trained networks of a run, which ``examine.json`` in its directory keeps.

    Args:
        directory: of the run; it has weights.
        config: of the run.
        numbers: which networks, counted from 1.

    Returns:
        One ``entry`` for each network, with its number as ``network``.

    Raises:
        ValueError: the weights are damaged, or a network's state is or becomes NaN. OSError: nothing can be
        written.
    """
    options = {"horizon": horizon_of(config.task), "weights": _digest(directory / files.WEIGHTS)}
    if (kept := _kept(directory, options)) is not None:
        by_network = {entry["network"]: entry for entry in kept}
        if all(number in by_network for number in numbers):
            return [by_network[number] for number in numbers]
    networks = _trained(directory, config)
    entries = []
    for number in numbers:
        step, state, inputs, key = drive(config, networks, number)
        report = examine(step, state, inputs, horizon=options["horizon"], key=key)
        entries.append({"network": number} | entry(report))
    write_examination(directory, entries, config, **options)
    return entries


def _kept(directory: Path, options: dict[str, Any]) -> list[dict[str, Any]] | None:
    """What was found before, of the same weights, by the same version; ``None`` if nothing was."""
    try:
        content = json.loads((directory / files.EXAMINATION).read_text(encoding="utf-8"))
        same = all(content["options"][name] == value for name, value in options.items())
        version = content["environment"]["versions"]["flossing"]
        return content["networks"] if same and version == metadata.version("flossing") else None
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
