"""The configuration of a run, and the networks and tasks that are made from it."""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import tyro
import yaml
from jaxtyping import Array, Key

from .. import cells, initialisers, surrogates
from .._checks import check_choice, check_finite, check_integer, check_positive
from ..floss import Flossing
from ..tasks import Copy, DelayedXOR, Parity, SpikingBits
from ..training import Network, Training, free_surrogates, networks_starting_at

CELLS = ("tanh", "relu", "linear", "gru", "lstm", "binary", "lif")
_MATRIX = ("tanh", "relu", "gru", "lstm", "binary", "lif")
_ONLY = {
    "recurrent": _MATRIX,
    "gain": _MATRIX,
    "first_exponent": ("tanh",),
    "leak": ("tanh",),
    "gate_bias": ("gru", "lstm"),
    "chrono": ("gru", "lstm"),
    "min_radius": ("linear",),
    "max_radius": ("linear",),
}
"""Which cells have a setting that others do not have."""
SURROGATES = (
    "super-spike",
    "sigmoid",
    "arctan",
    "triangular",
    "gaussian",
    "exponential",
    "erf",
    "boxcar",
)


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

    def build(self) -> Parity:
        """The task; raises ``ValueError`` for a delay that does not fit."""
        check_choice("task.name", self.name, ("xor", "copy", "parity"))
        check_integer("task.bin_steps", self.bin_steps, 0)
        try:
            if self.bin_steps:
                return SpikingBits(
                    self.delay,
                    {"copy": 0, "xor": 1}.get(self.name, self.order),
                    self.amplitude,
                    bin_steps=self.bin_steps,
                    channels=self.channels,
                    probability=self.probability,
                )
            if self.name == "xor":
                return DelayedXOR(self.delay, amplitude=self.amplitude)
            if self.name == "copy":
                return Copy(self.delay, amplitude=self.amplitude)
            return Parity(self.delay, self.order, self.amplitude)
        except (TypeError, ValueError) as error:
            raise type(error)(f"task.{error}") from None


@dataclasses.dataclass(frozen=True)
class CellConfig:
    """Which network, and how its weights start."""

    name: Literal["tanh", "relu", "linear", "gru", "lstm", "binary", "lif"] = "tanh"
    """The cell; see the documentation of fl.TanhCell and so on."""
    hidden_size: int = 80
    """Units per layer, N."""
    layers: int = 1
    """Cells stacked on top of each other."""
    recurrent: Literal["gaussian", "orthogonal", "identity", "sparse"] = "gaussian"
    """Kind of recurrent matrix; the linear cell has a diagonal one."""
    gain: float | None = None
    """Gain g of the recurrent matrix; default 1, and sqrt(2) for binary units."""
    first_exponent: float | None = None
    """First exponent on the task's input, to which the gain of each network is tuned (tanh)."""
    mean: float = 0.0
    """Mean coupling gbar of a gaussian matrix."""
    density: float = 0.1
    """Fraction of non-zero weights of a sparse matrix."""
    dale: float | None = None
    """Fraction of excitatory units, for fixed signs (tanh, binary, lif)."""
    input_gain: float = 1.0
    """Standard deviation of the input weights."""
    readout_gain: float | None = None
    """Standard deviation of the readout weights; default 1, and 1/sqrt(N) for binary and lif."""
    form: Literal["pre-activation", "post-activation"] = "pre-activation"
    """Of the tanh cell."""
    leak: float = 1.0
    """How much of the old state a step of the tanh cell replaces; 1 for one that is not leaky."""
    gate_bias: float = 0.0
    """Start value of the update (gru) or forget gate's bias (lstm)."""
    chrono: float | None = None
    """Longest time to remember, in steps, for the chrono initialisation of these biases."""
    min_radius: float = 0.0
    """Of the linear cell: its eigenvalues start between two circles."""
    max_radius: float = 1.0
    """The outer one."""
    surrogate: Literal[
        "super-spike", "sigmoid", "arctan", "triangular", "gaussian", "exponential", "erf", "boxcar"
    ] = "super-spike"
    """Surrogate derivative of binary and lif units."""
    sharpness: float = 1.0
    """Its sharpness."""
    reset: Literal["to_zero", "subtract", "none"] = "to_zero"
    """Of the lif cell."""
    reset_gradient: Literal["detached", "differentiated", "ignored"] = "detached"
    """Of the lif cell."""
    membrane_time_constant: float = 10.0
    """Of the lif cell, in ms."""
    synapse_time_constant: float = 5.0
    """Of the lif cell, in ms."""
    adaptation_time_constant: float | None = None
    """Of the lif cell, in ms; none for no adaptation."""
    adaptation_strength: float = 0.5
    """Of the lif cell, in units of the threshold."""
    time_step: float = 1.0
    """Of the lif cell, in ms."""

    def build(self, input_size: int, key: Array) -> cells.Cell:
        """A network step with fresh weights."""
        check_integer("cell.layers", self.layers, 1)
        check_integer("cell.hidden_size", self.hidden_size, 1)
        if self.dale is not None and self.name not in ("tanh", "binary", "lif"):
            raise ValueError(f"cell.dale: the {self.name} cell has no Dale's law; leave it out.")
        for name, cells_with_it in _ONLY.items():
            if self.name not in cells_with_it and getattr(self, name) != getattr(type(self), name):
                raise ValueError(
                    f"cell.{name}: the {self.name} cell has no such setting; leave it out."
                )
        keys = jax.random.split(key, self.layers)
        sizes = [input_size] + [self.hidden_size] * (self.layers - 1)
        layers = [self._layer(size, k) for size, k in zip(sizes, keys, strict=True)]
        return layers[0] if self.layers == 1 else cells.Stack(layers)

    def _layer(self, input_size: int, key: Array) -> cells.Cell:
        check_choice("cell.name", self.name, CELLS)
        kinds = ("gaussian", "orthogonal", "identity", "sparse")
        check_choice("cell.recurrent", self.recurrent, kinds)
        gain = self.gain if self.gain is not None else (2**0.5 if self.name == "binary" else 1.0)
        check_positive("cell.gain", gain, zero=True)
        recurrent = {
            "gaussian": lambda: initialisers.Gaussian(gain, self.mean),
            "orthogonal": lambda: initialisers.Orthogonal(gain),
            "identity": lambda: initialisers.Identity(gain),
            "sparse": lambda: initialisers.Sparse(gain, self.density),
        }[self.recurrent]()
        sizes = (input_size, self.hidden_size)
        shared = {"recurrent": recurrent, "input_gain": self.input_gain, "key": key}
        if self.name == "tanh":
            return cells.TanhCell(*sizes, form=self.form, leak=self.leak, dale=self.dale, **shared)
        if self.name == "relu":
            return cells.ReLUCell(*sizes, **shared)
        if self.name == "linear":
            del shared["recurrent"]
            radii = {"min_radius": self.min_radius, "max_radius": self.max_radius}
            return cells.LinearRecurrentCell(*sizes, **radii, **shared)
        if self.name == "gru":
            return cells.GRUCell(*sizes, update_bias=self.gate_bias, chrono=self.chrono, **shared)
        if self.name == "lstm":
            return cells.LSTMCell(*sizes, forget_bias=self.gate_bias, chrono=self.chrono, **shared)
        surrogate = self._surrogate()
        if self.name == "binary":
            return cells.BinaryCell(*sizes, surrogate=surrogate, dale=self.dale, **shared)
        return cells.LIFCell(
            *sizes,
            surrogate=surrogate,
            reset=self.reset,
            reset_gradient=self.reset_gradient,
            membrane_time_constant=self.membrane_time_constant,
            synapse_time_constant=self.synapse_time_constant,
            adaptation_time_constant=self.adaptation_time_constant,
            adaptation_strength=self.adaptation_strength,
            time_step=self.time_step,
            dale=self.dale,
            **shared,
        )

    def _surrogate(self) -> surrogates.Surrogate:
        check_choice("cell.surrogate", self.surrogate, SURROGATES)
        check_positive("cell.sharpness", self.sharpness)
        name = "".join(part.capitalize() for part in self.surrogate.split("-"))
        return getattr(surrogates, name)(self.sharpness)

    @property
    def readout_std(self) -> float:
        """Standard deviation of the readout weights."""
        if self.readout_gain is not None:
            return self.readout_gain
        return self.hidden_size**-0.5 if self.name in ("binary", "lif") else 1.0


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
        check_integer("seed", self.seed, 0)
        check_integer("measure_every", self.measure_every, 0)
        check_integer("measure_exponents", self.measure_exponents, 0)
        check_integer("test_trials", self.test_trials, 1)
        self.task.build().check_length(self.training.num_steps)

    def keys(self) -> Key[Array, " realisations"]:
        """One random key per realisation, for its data and tangent bases."""
        return jax.random.split(jax.random.key(self.seed), self.realisations)

    def networks(self) -> Network:
        """Fresh networks, stacked along a leading axis."""
        task = self.task.build()

        def one(key: Array, gain: Array | float | None) -> Network:
            cell_key, network_key = jax.random.split(jax.random.fold_in(key, 0x5EED))
            config = dataclasses.replace(self.cell, gain=gain)
            cell = config.build(task.input_size, cell_key)
            return Network(
                cell, task.output_size, readout_gain=self.cell.readout_std, key=network_key
            )

        keys = self.keys()
        if self.cell.first_exponent is None:
            networks = eqx.filter_vmap(lambda key: one(key, self.cell.gain))(keys)
        else:
            networks = self._tuned(one, keys, task)
        scaled = self.flossing.schedule == "adaptive" and (
            self.flossing.adaptive.control != "parameters"
        )
        return free_surrogates(networks) if scaled else networks

    def _tuned(self, build: Any, keys: Array, task: Parity) -> Network:
        if self.cell.gain is not None:
            raise ValueError("cell.gain: cell.first_exponent sets it; leave one of them out.")
        goal: Any = self.cell.first_exponent
        check_finite("cell.first_exponent", goal)
        goals = jnp.full(self.realisations, goal)
        try:
            return networks_starting_at(
                goals, lambda gains: eqx.filter_vmap(build)(keys, gains), keys, task
            )
        except ValueError as error:
            raise ValueError(f"cell.{error}") from None


def to_yaml(config: Any) -> str:
    """A configuration as YAML; ``from_yaml`` gives it back."""
    return yaml.safe_dump(_plain(dataclasses.asdict(config)), sort_keys=False)


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
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"{source}: not valid YAML: {error}") from None
    if not isinstance(content, dict | types.NoneType):
        raise ValueError(f"{source}: expected fields like 'task:' and 'cell:', got {content!r}.")
    return _from_dict(RunConfig, content or {}, str(source))


def _from_dict(kind: type, content: Any, where: str) -> Any:
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected a group of fields, got {content!r}.")
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(map(str, content)) - set(hints))
    if unknown:
        raise ValueError(
            f"{where}: unknown field {unknown[0]!r}; {kind.__name__} has {', '.join(hints)}."
        )
    values = {}
    for name, value in content.items():
        hint = hints[name]
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            values[name] = _from_dict(hint, value, f"{where}: {name}")
        else:
            values[name] = _convert(hint, value, f"{where}: {name}")
    return kind(**values)


def _convert_to_any(hints: list[Any], value: Any, where: str) -> Any:
    errors = []
    for hint in hints:
        try:
            return _convert(hint, value, where)
        except (TypeError, ValueError) as error:
            errors.append(error)
    raise errors[0]


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        check_choice(where, value, options)
        return value
    if origin is tuple:
        if not isinstance(value, list):
            raise ValueError(f"{where}: expected a list, got {value!r}.")
        return tuple(_convert(options[0], item, where) for item in value)
    if origin in (types.UnionType, typing.Union):
        if value is None and types.NoneType in options:
            return None
        return _convert_to_any([o for o in options if o is not types.NoneType], value, where)
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        check_finite(where, value)
        return float(value)
    if hint is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise ValueError(f"{where}: expected {hint.__name__}, got {value!r}.")
