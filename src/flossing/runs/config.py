"""What a run is: its parts, its sizes, its random seed; and the same as YAML."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Key

from .._checks import check_integer, check_seed
from .._warn import renamed
from ..cells import CellSpec, TanhSpec
from ..floss import Adaptive, Schedule
from ..optimisers import Adam, OptimiserSpec
from ..tasks import DelayedXOR, Task
from ..training import Network, Trainer
from ..training.trainer import begin, cell_of, outputs_of, start_of
from . import parts, yaml_files
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
    """Number of training epochs; each is one update on one batch."""
    realisations: int = 1
    """Number of independent networks, trained side by side."""
    seed: int = 1
    """Random seed of weights, data and tangent bases."""
    batch_size: int = 16
    """Trials per epoch."""
    measure_every: int | None = 100
    """Training epochs between measurements of the spectrum; none for start and end only."""
    measure_exponents: int | None = None
    """How many exponents are measured; default all, at most 128."""
    test_trials: int = 256
    """Held-out trials per network at the end."""
    directory: str | None = None
    """Where the run is written; must not exist. Default: runs/ and a name made of time and task."""
    step: Callable[[Any], Any] = cell_of
    """Makes the recurrent step from a network of your own."""
    state: Callable[[Any], Any] = start_of
    """Makes the state in which trials start from a network of your own."""

    def __post_init__(self) -> None:
        for name, least in [
            ("epochs", 1),
            ("realisations", 1),
            ("batch_size", 1),
            ("test_trials", 1),
        ]:
            object.__setattr__(self, name, check_integer(name, getattr(self, name), least))
        object.__setattr__(self, "seed", check_seed("seed", self.seed))
        for name in ("measure_every", "measure_exponents"):
            if getattr(self, name) is not None:
                check_integer(name, getattr(self, name), 1)
        self._check_parts()

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
        if not (isinstance(self.cell, CellSpec) or callable(self.cell)) or isinstance(
            self.cell, type
        ):
            raise TypeError(
                "cell: expected settings such as fl.TanhSpec(80), or a function that makes a network from a "
                f"key, got {self.cell!r}."
            )

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
            keys, start = key[None], self.state(network)
            outputs = outputs_of(network, trial.inputs, start, keys)
            return self.task.loss(outputs, trial), self.task.metrics(outputs, trial)

        eqx.filter_eval_shape(first, jax.eval_shape(lambda: jax.random.key(0)))

    def describe(self) -> str:
        """One line on what this run is."""
        if isinstance(self.cell, CellSpec):
            name = (parts.name_of("cell", self.cell) or type(self.cell).__name__).rpartition(":")[2]
            layers = "" if self.cell.layers == 1 else f"{self.cell.layers} x "
            network = f"{layers}{name} N = {self.cell.hidden_size}"
        else:
            network = getattr(self.cell, "__name__", type(self.cell).__name__)
        return f"{self.task.describe()}, {network}, flossing: {self.schedule_name}"

    @property
    def schedule_name(self) -> str:
        """The name of the schedule."""
        name = parts.name_of("schedule", self.schedule) or type(self.schedule).__name__
        return name.rpartition(":")[2]


@eqx.filter_jit
def _fresh(cell: Any, task: Task, keys: Array) -> Any:
    """One network per key."""

    def one(key: Array) -> Any:
        cell_key, network_key = jax.random.split(jax.random.fold_in(key, 0x5EED))
        if not isinstance(cell, CellSpec):
            return cell(cell_key)
        built = cell.build(task.input_size, key=cell_key)
        return Network(built, task.output_size, readout_gain=cell.readout_std, key=network_key)

    return eqx.filter_vmap(one)(keys)


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
    return content | {name: getattr(config, name) for name in PLAIN}


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
    for name, value in (content or {}).items():
        if name in parts.FAMILIES:
            values[name] = parts.read(name, value, f"{where}: {name}", getattr(base, name))
        elif name in PLAIN:
            values[name] = convert(_HINTS[name], value, f"{where}: {name}")
        else:
            raise ValueError(f"{where}: {instead_of(str(name))}")
    return dataclasses.replace(base, **values)


def instead_of(name: str) -> str:
    """A sentence about a field that a run does not have."""
    if message := renamed(name):
        return f"{name}: {message}"
    if name in _FORMER:
        return f"{name}: {_FORMER[name]}"
    places = [f"{part}.{name}" for part, _ in parts.owners(name)]
    known = [*parts.FAMILIES, *PLAIN]
    near = difflib.get_close_matches(name, known, 1)
    if places:
        return f"unknown field {name!r}; did you mean {places[0]}?"
    if near:
        return f"unknown field {name!r}; did you mean {near[0]}?"
    return f"unknown field {name!r}; there are {', '.join(known)}."


_FORMER = {
    "flossing": "write schedule, as 'schedule: {name: adaptive, window: 100}'; both and between are now phases.",
    "training": "write epochs and batch_size by themselves, num_steps as a setting of the task, and rates and "
    "clipping as 'optimiser: {name: adam, learning_rate: 0.001}'.",
}
"""Groups of files of versions up to 0.1.0, and what has taken their place."""


def differences(kept: dict[str, Any], config: RunConfig) -> list[str]:
    """The fields in which a configuration differs from one as it was written, with both values.

    The directory does not count.
    """
    a, b = _flat(kept), _flat(to_mapping(config))
    names = [name for name in {**a, **b} if name not in ("directory",)]
    absent = "nothing"
    return [
        f"{name} = {a.get(name, absent)!r}, not {b.get(name, absent)!r}"
        for name in names
        if a.get(name, absent) != b.get(name, absent)
    ]


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


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
