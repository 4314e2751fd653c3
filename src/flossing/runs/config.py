"""The configuration of a run, and the networks and tasks that are made from it."""

import dataclasses
import types
from pathlib import Path
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro
from jaxtyping import Array, Key

from .._checks import check_choice, check_finite, check_integer, check_seed
from ..floss import Flossing
from ..tasks import Copy, DelayedXOR, Parity, SpikingBits
from ..training import Network, Training, free_surrogates, networks_starting_at
from . import yaml_files
from .cell import CellConfig, scale_recurrence
from .fields import from_mapping, plain_values


@dataclasses.dataclass(frozen=True)
class TaskConfig:
    """Which task, and how long its horizon is."""

    name: Literal["xor", "copy", "parity"] = "xor"
    """xor: y[t] = s[t - d/2] XOR s[t - d]; copy: y[t] = s[t - d]; parity: of 2^order bits up to lag d."""
    delay: int = 20
    """The largest lag d in bits, as in the papers' figures (the published code calls d/2 "delay")."""
    order: int = 2
    """Of the parity task; the other tasks do not use it."""
    amplitude: float = 1.0
    """Value of an input bit that is 1, or of an input spike."""
    bin_steps: int = 0
    """Steps for which a bit is shown, as spikes of an input population; 0: bits are numbers, one per step."""
    channels: int = 20
    """Inputs of that population; half of them fire for a 0, the others for a 1."""
    probability: float = 0.2
    """Of a spike of one of these per step."""
    single: bool = False
    """One answer per trial, in which only its bits are shown as spikes; else a stream of bits."""

    def build(self) -> Parity:
        """The task; raises ``ValueError`` for a delay that does not fit."""
        check_choice("task.name", self.name, ("xor", "copy", "parity"))
        check_integer("task.bin_steps", self.bin_steps, 0)
        if self.single and not self.bin_steps:
            raise ValueError("task.single: only bits shown as spikes have it; task.bin_steps is 0.")
        try:
            if self.bin_steps:
                return SpikingBits(
                    self.delay,
                    {"copy": 0, "xor": 1}.get(self.name, self.order),
                    self.amplitude,
                    bin_steps=self.bin_steps,
                    channels=self.channels,
                    probability=self.probability,
                    single=self.single,
                )
            if self.name == "xor":
                return DelayedXOR(self.delay, amplitude=self.amplitude)
            if self.name == "copy":
                return Copy(self.delay, amplitude=self.amplitude)
            return Parity(self.delay, self.order, self.amplitude)
        except (TypeError, ValueError) as error:
            raise type(error)(f"task.{error}") from None


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """One run: a task, networks, a flossing schedule, and where it all goes."""

    task: TaskConfig = TaskConfig()
    cell: CellConfig = CellConfig()
    flossing: Flossing = Flossing()
    training: Annotated[Training, tyro.conf.arg(name="")] = Training()
    realisations: int = 1
    """Independent networks, trained side by side."""
    seed: int = 1
    """Of weights, data and tangent bases."""
    measure_every: int = 100
    """Training epochs between measurements of the spectrum; 0 for start and end only."""
    measure_exponents: int = 0
    """How many exponents are measured; 0 for all (at most 128)."""
    test_trials: int = 256
    """Held-out trials per network at the end."""
    directory: str = ""
    """Where the run is written; must not exist. Default: runs/ and a name made of time and task."""

    def __post_init__(self) -> None:
        check_integer("realisations", self.realisations, 1)
        check_seed("seed", self.seed)
        check_integer("measure_every", self.measure_every, 0)
        check_integer("measure_exponents", self.measure_exponents, 0)
        check_integer("test_trials", self.test_trials, 1)
        for name, value in plain_values(self).items():
            object.__setattr__(self, name, value)
        self.task.build().check_length(self.training.num_steps)

    def keys(self) -> Key[Array, " realisations"]:
        """One random key per realisation, for its data and tangent bases."""
        return jax.random.split(jax.random.key(self.seed), self.realisations)

    def networks(self) -> Network:
        """Fresh networks, stacked along a leading axis."""
        task, keys = self.task.build(), self.keys()
        if self.cell.first_exponent is None:
            networks = _fresh(self.cell, task, keys)
        else:
            networks = self._tuned(task, keys)
        scaled = self.flossing.schedule == "adaptive" and (
            self.flossing.adaptive.control != "parameters"
        )
        return free_surrogates(networks) if scaled else networks

    def _tuned(self, task: Parity, keys: Array) -> Network:
        if self.cell.gain is not None:
            raise ValueError("cell.gain: cell.first_exponent sets it; leave one of them out.")
        goal: Any = self.cell.first_exponent
        check_finite("cell.first_exponent", goal)
        goals = jnp.full(self.realisations, goal)
        try:
            return networks_starting_at(
                goals, lambda scales: _fresh(self.cell, task, keys, scales), keys, task
            )
        except ValueError as error:
            raise ValueError(f"cell.{error}") from None


@eqx.filter_jit
def _fresh(
    config: CellConfig, task: Parity, keys: Array, recurrent_scales: Array | None = None
) -> Network:
    """One network per key."""

    def one(key: Array, scale: Array | None) -> Network:
        cell_key, network_key = jax.random.split(jax.random.fold_in(key, 0x5EED))
        cell = config.build(task.input_size, cell_key)
        if scale is not None:
            cell = scale_recurrence(cell, scale)
        return Network(cell, task.output_size, readout_gain=config.readout_std, key=network_key)

    return eqx.filter_vmap(one)(keys, recurrent_scales)


def to_yaml(config: Any) -> str:
    """A configuration as YAML; ``from_yaml`` gives it back."""
    return yaml_files.dump(_plain(dataclasses.asdict(config)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return list(value) if isinstance(value, tuple) else value


def differences(one: Any, other: Any, prefix: str = "") -> list[str]:
    """The fields in which two configurations differ, with both values."""
    found = []
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if dataclasses.is_dataclass(a):
            name = "" if field.name == "training" else f"{prefix}{field.name}."
            found += differences(a, b, name)
        elif a != b:
            found.append(f"{prefix}{field.name} = {a!r}, not {b!r}")
    return found


def from_yaml(text: str, source: str | Path = "config") -> RunConfig:
    """A ``RunConfig`` from YAML; fields left out keep their defaults.

    Raises:
        ValueError: not YAML, unknown fields, values of the wrong type or out of range; names the field.
    """
    try:
        content = yaml_files.load(text)
    except yaml_files.YAMLError as error:
        raise ValueError(f"{source}: not valid YAML: {error}") from None
    if not isinstance(content, dict | types.NoneType):
        raise ValueError(f"{source}: expected fields like 'task:' and 'cell:', got {content!r}.")
    return from_mapping(RunConfig, content or {}, str(source))
