"""What a run is: its parts, its sizes, its random seed; and the same as YAML."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable
from pathlib import Path, PureWindowsPath
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Key

from .._checks import check_integer
from .._compiled import one_thread_first
from ..cells import CellSpec, TanhSpec
from ..floss import Adaptive, Schedule
from ..optimisers import Adam, OptimiserSpec
from ..tasks import DelayedXOR, Task
from ..training import Network, Trainer
from ..training.trainer import begin, cell_of, outputs_of, start_of, start_state
from . import former, parts, yaml_files
from .fields import convert


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """One run: a task, networks, a flossing schedule, an optimiser, and where it all goes."""

    task: Task = DelayedXOR()
    """What is learned."""
    cell: CellSpec | Callable = TanhSpec()
    """Which networks: settings of a cell, or a function that makes a network from a random key."""
    schedule: Schedule | None = Adaptive()
    """When and how networks are flossed."""
    optimiser: OptimiserSpec | optax.GradientTransformation = Adam()
    """What makes updates of gradients."""
    epochs: int = 3001
    """Training epochs; each is one update on one batch."""
    realisations: int = 1
    """Independent networks, trained side by side."""
    seed: int = 1
    """Random seed of weights, data and tangent bases."""
    batch_size: int = 16
    """Trials per epoch."""
    measure_every: int | None = 100
    """Epochs between measurements of the spectrum. None for start and end only."""
    measure_exponents: int | None = None
    """Exponents to measure; all, at most 128, by default."""
    test_trials: int = 256
    """Held-out trials per network at the end."""
    directory: str | None = None
    """Where it is written; a new folder in runs by default."""
    step: Callable[[Any], Any] = cell_of
    """Makes the recurrent step from a network of your own."""
    state: Callable[[Any], Any] = start_of
    """Makes the state in which trials start from a network of your own."""

    def __post_init__(self) -> None:
        self._check_parts()
        for name in PLAIN:
            object.__setattr__(self, name, convert(_HINTS[name], getattr(self, name), name))
        for name in PLAIN:
            value = getattr(self, name)
            if isinstance(value, int) and name != "seed":
                check_integer(name, value, 1)

    def _check_parts(self) -> None:
        for name, kinds, example in [
            ("task", Task, "fl.tasks.DelayedXOR(delay=40)"),
            ("schedule", Schedule | None, "fl.Adaptive()"),
            ("optimiser", OptimiserSpec | optax.GradientTransformation, "optax.adam(1e-3)"),
        ]:
            value = getattr(self, name)
            if not isinstance(value, kinds):
                got = f"the class {value.__name__}" if isinstance(value, type) else repr(value)
                raise TypeError(f"{name}: expected an object such as {example}, got {got}.")
        check_network("cell", self.cell)
        for name in parts.FAMILIES:
            object.__setattr__(self, name, parts.settled(name, getattr(self, name)))

    @property
    def trainer(self) -> Trainer:
        """What training consists of."""
        return Trainer(
            self.task.loaded(),
            self.optimiser,
            self.schedule,
            self.epochs,
            self.batch_size,
            self.step,
            self.state,
        )

    def keys(self) -> Key[Array, " realisations"]:
        """One random key per realisation, for its data and tangent bases."""
        return jax.random.split(jax.random.key(self.seed), self.realisations)

    def networks(self) -> Any:
        """Fresh networks, stacked along a leading axis."""
        networks = _fresh(self.cell, self.task.loaded(), self.keys())
        return networks if self.schedule is None else self.schedule.prepared(networks)

    def check(self) -> None:
        """Raises what starting this run would raise, without computing anything or starting JAX's devices."""

        def first(key: Array) -> Any:
            network = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, self.networks())
            begin(network, self.trainer)
            trial = self.trainer.task.batch(key, 0, 1)
            keys, start = key[None], start_state(network, self.state)
            outputs = outputs_of(network, trial.inputs, start, keys)
            return self.task.loss(outputs, trial), self.task.metrics(outputs, trial)

        eqx.filter_eval_shape(first, jax.eval_shape(lambda: jax.random.key(0)))

    def describe(self) -> str:
        """One line on what this run is."""
        if isinstance(self.cell, CellSpec):
            layers = "" if self.cell.layers == 1 else f"{self.cell.layers} x "
            name = parts.label("cell", type(self.cell))
            network = f"{layers}{name} N = {self.cell.hidden_size}"
        else:
            network = getattr(self.cell, "__name__", type(self.cell).__name__)
        return f"{self.task.describe()}, {network}, flossing: {self.schedule_name}"

    @property
    def schedule_name(self) -> str:
        """The name of the schedule."""
        return parts.label("schedule", None if self.schedule is None else type(self.schedule))


def check_network(name: str, network: Any) -> None:
    """Raises ``TypeError`` unless networks can be made of it: settings of a cell, or a function of a key."""
    is_made = isinstance(network, CellSpec) or callable(network)
    if not is_made or isinstance(network, type | eqx.Module):
        got = f"the class {network.__name__}" if isinstance(network, type) else repr(network)
        raise TypeError(
            f"{name}: expected settings such as fl.TanhSpec(80), or a function that makes a network from a "
            f"key, as lambda key: MyNetwork(key=key); got {got}."
        )


@one_thread_first
@eqx.filter_jit
def _fresh(cell: Any, task: Task, keys: Array) -> Any:
    """One network per key."""

    def build_network(key: Array) -> Any:
        cell_key, network_key = jax.random.split(jax.random.fold_in(key, 0x5EED))
        if not isinstance(cell, CellSpec):
            return cell(cell_key)
        built = cell.build(task.input_size, key=cell_key)
        return Network(built, task.output_size, readout_gain=cell.readout_std, key=network_key)

    return eqx.filter_vmap(build_network)(keys)


PLAIN = [
    field.name
    for field in dataclasses.fields(RunConfig)
    if field.name not in (*parts.FAMILIES, "step", "state")
]
"""The fields of a run that are plain values."""
_HINTS = typing.get_type_hints(RunConfig)


def to_mapping(config: RunConfig) -> dict[str, Any]:
    """A configuration as nested mappings of plain values."""
    content: dict[str, Any] = {p: parts.written(p, getattr(config, p)) for p in parts.FAMILIES}
    content |= {name: getattr(config, name) for name in PLAIN}
    for name, usual in (("step", cell_of), ("state", start_of)):
        if getattr(config, name) is not usual:
            content[name] = parts.elsewhere(getattr(config, name))
    return content


def is_in_files(config: RunConfig) -> bool:
    """Whether a file holds all of a configuration: no part of it was given in Python alone."""
    return not any(
        isinstance(value, dict) and parts.ELSEWHERE in value
        for value in to_mapping(config).values()
    )


def to_yaml(config: RunConfig) -> str:
    """A configuration as YAML; ``from_yaml`` gives it back, if all its parts come from settings."""
    return yaml_files.dump(to_mapping(config))


def from_mapping(content: Any, where: str = "config", base: RunConfig | None = None) -> RunConfig:
    """A configuration from nested mappings; what is left out is that of ``base``.

    Raises:
        ValueError, TypeError: unknown fields, values of the wrong type or out of range; names the field.
    """
    base = RunConfig() if base is None else base
    if not isinstance(content, dict | types.NoneType):
        raise ValueError(f"{where}: expected fields like 'task:' and 'cell:', got {content!r}.")
    values: dict[str, Any] = {}
    content = content or {}
    if old := [former.in_group(name, content[name]) for name in former.GROUPS if name in content]:
        raise ValueError(f"{where}: {' '.join(old)}")
    for name, value in content.items():
        if name in parts.FAMILIES:
            values[name] = parts.read(name, value, f"{where}: {name}", getattr(base, name))
        elif name in PLAIN:
            values[name] = convert(_HINTS[name], value, f"{where}: {name}")
        elif name in ("step", "state") and isinstance(value, dict) and parts.ELSEWHERE in value:
            raise ValueError(parts.not_here(f"{where}: {name}", value))
        else:
            raise ValueError(f"{where}: {unknown(str(name))}")
    return dataclasses.replace(base, **values)


def unknown(name: str) -> str:
    """A sentence about a field that a run does not have: what has taken its place, or what was meant."""
    if message := former.instead_of(name):
        return f"{name}: {message}."
    last = name.rpartition(".")[2]
    places = list(dict.fromkeys(f"{part}.{last}" for part, _ in parts.owners(last)))
    known = [*parts.FAMILIES, *PLAIN]
    meant = places or [n for n in known if n == last] or difflib.get_close_matches(last, known, 1)
    if meant:
        return f"unknown field {name!r}; did you mean {' or '.join(meant)}?"
    return f"unknown field {name!r}; there are {', '.join(known)}."


def differences(kept: dict[str, Any], config: RunConfig) -> list[str]:
    """The fields in which a configuration differs from one as it was written, with both values.

    The directory does not count, nor the folder of a user's file.
    """
    a, b = _flat(kept), _flat(to_mapping(config))
    names = [name for name in {**a, **b} if name not in ("directory",)]
    absent = "nothing"
    pairs = [(name, a.get(name, absent), b.get(name, absent)) for name in names]
    return [
        f"{name} = {old!r}, not {new!r}"
        for name, old, new in pairs
        if old != new and not (name.endswith(".name") and _module(old) == _module(new))
    ]


def _module(name: str) -> str:
    """``my_tasks:Adding`` of ``folder/my_tasks.py:Adding``."""
    where, _, kind = name.rpartition(":")
    file = PureWindowsPath(where).name  # which parts at slashes of either kind
    return f"{file.removesuffix('.py')}:{kind}"


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def from_yaml(text: str, source: str | Path = "config", base: RunConfig | None = None) -> RunConfig:
    """A ``RunConfig`` from YAML; fields left out keep their defaults, or are those of ``base``.

    Raises:
        ValueError: not YAML, unknown fields, values of the wrong type or out of range; names the field.
    """
    try:
        content = yaml_files.load(text)
    except yaml_files.YAMLError as error:
        raise ValueError(f"{source}: not valid YAML: {error}") from None
    return from_mapping(content, str(source), base)
