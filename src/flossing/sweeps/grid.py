"""The settings of a sweep: a grid of values or a list, and the run of each."""

import contextlib
import dataclasses
import functools
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Protocol

import xarray as xr

from ..cells import CellSpec
from ..floss import Before, Phase
from ..runs import parts
from ..runs.config import RunConfig, to_yaml
from ..runs.job import phases
from . import fields

_LONGEST_NAME = 150


class Piece(Protocol):
    """What sweeps send to workers: a run, or a function that makes a dataset."""

    @property
    def index(self) -> int:
        """Its number among all."""
        ...

    @property
    def name(self) -> str:
        """Of its directory."""
        ...

    @property
    def work(self) -> Any:
        """What a worker gets: the YAML of a run, or the function."""
        ...

    @property
    def steps(self) -> int:
        """What it consists of, such as epochs."""
        ...

    @property
    def cost(self) -> float:
        """A rough measure of the time it takes, to start long ones first."""
        ...

    def left(self, done: int) -> tuple[int, int]:
        """Steps of the first and of the second kind that are left when ``done`` are over."""
        ...


@dataclasses.dataclass(frozen=True)
class Call:
    """A function as a piece of work, which has one step."""

    index: int
    name: str
    work: Callable[[Callable[[str], None]], xr.Dataset]
    """Makes a dataset; takes what it tells how far it is."""
    steps: int = 1
    cost: float = 0.0

    def left(self, done: int) -> tuple[int, int]:
        """No flossing steps, and one step until it is over."""
        return 0, self.steps - done


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep."""

    index: int
    name: str
    """Made of the swept values; the name of its directory."""
    values: dict[str, Any]
    config: RunConfig
    """Its ``directory`` is ``None``."""

    @property
    def work(self) -> str:
        """What a worker gets: the configuration as YAML."""
        return to_yaml(self.config)

    @property
    def steps(self) -> int:
        """Training epochs and flossing steps."""
        return sum(phase.stop - phase.start for phase in self.phases)

    @functools.cached_property
    def phases(self) -> list[Phase]:
        """What it does, in order."""
        return phases(self.config)

    def left(self, done: int) -> tuple[int, int]:
        """Flossing steps and training epochs that are left when ``done`` of both together are over."""
        left = {"floss": 0, "train": 0}
        for phase in self.phases:
            steps = phase.stop - phase.start
            left[phase.kind] += max(0, steps - max(0, done))
            done -= steps
        return left["floss"], left["train"]

    @property
    def cost(self) -> float:
        """A rough measure of the time it takes, to start long runs first."""
        config, cell, schedule = self.config, self.config.cell, self.config.schedule
        width = cell.hidden_size * cell.layers if isinstance(cell, CellSpec) else 100
        length = getattr(config.task, "num_steps", None) or 300
        epoch, step = config.batch_size * length * width**2, 0
        if isinstance(schedule, Before):
            count = min(schedule.num_exponents or width, width)
            steps = schedule.state_warmup + schedule.window
            step = schedule.num_starts * steps * count * width * (width + 4 * count)
        floss_steps = self.steps - config.epochs
        return config.realisations * (config.epochs * epoch + floss_steps * step)


@dataclasses.dataclass(frozen=True)
class Grid:
    """Which values are swept over which base."""

    base: RunConfig
    axes: dict[str, tuple[Any, ...]] | None
    """Values by field for a grid, ``None`` for a list."""
    settings: tuple[dict[str, Any], ...]
    """One mapping of fields to values per run, the last field fastest."""

    @property
    def names(self) -> list[str]:
        """The swept fields."""
        return list(self.settings[0])

    @functools.cached_property
    def runs(self) -> list[Run]:
        """All runs, in the order of the grid.

        Raises:
            ValueError, TypeError: a setting makes no valid configuration; says which and why.
        """
        runs: list[Run] = []
        taken: set[str] = set()
        for index, values in enumerate(self.settings):
            label = ",".join(f"{n}={fields.shown(v)}" for n, v in values.items())
            try:
                config = fields.replace(self.base, values)
                config.check()
            except (TypeError, ValueError) as error:
                raise type(error)(f"over: {label}: {error}") from None
            name = file_name(label, taken)
            taken.add(name.lower())
            runs.append(Run(index, name, values, config))
        return runs

    def content(self) -> dict[str, Any]:
        """The sweep as YAML knows it."""
        settings = [{n: fields.plain(v) for n, v in s.items()} for s in self.settings]
        if self.axes is None:
            return {"list": settings}
        return {"over": {n: [fields.plain(v) for v in vs] for n, vs in self.axes.items()}}


def file_name(label: str, taken: set[str]) -> str:
    """A name that every file system takes; it differs from those taken in more than the case of letters."""
    name = re.sub(r"[^A-Za-z0-9._+=,-]", "_", label).strip(".")
    if len(name) > _LONGEST_NAME or name.lower() in taken:
        digest = hashlib.sha256(label.encode()).hexdigest()[:10]
        name = f"{name[:_LONGEST_NAME]}-{digest}"
    return name


def grid(base: RunConfig, over: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]) -> Grid:
    """A grid from values by field, or a list from settings.

    Args:
        base: values of the fields that are not swept.
        over: a mapping of dotted fields to their values (every combination is run), or a sequence of
            mappings of fields to one value each (each is run; fields left out are those of ``base``).

    Raises:
        ValueError, TypeError: unknown fields, values of the wrong type or twice, nothing to sweep.
    """
    base = dataclasses.replace(base, directory=None)
    if isinstance(over, Mapping):
        axes: dict[str, tuple[Any, ...]] = {}
        for text, values in over.items():
            name = fields.field_name(text, base)
            if name in axes:
                raise ValueError(f"over: {name} is given twice.")
            if isinstance(values, str | bytes) or not isinstance(values, Sequence):
                values = _listed(name, values)
            axes[name] = tuple(fields.convert(name, value, base) for value in values)
            _refuse_duplicates(name, axes[name])
        if not axes:
            raise ValueError(
                "over: expected fields and values, such as task.delay=10,20; got none."
            )
        settings = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
        return _with_base(base, axes, settings)
    if isinstance(over, str) or not isinstance(over, Sequence):
        raise TypeError(f"over: expected a mapping or a list of mappings, got {over!r}.")
    return _from_list(base, over)


def _listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, str | bytes) or not hasattr(values, "tolist"):
        raise TypeError(f"over: {name}: expected a list of values, got {values!r}.")
    return list(values.tolist())


def _refuse_duplicates(name: str, values: Sequence[Any]) -> None:
    if not values:
        raise ValueError(f"over: {name}: expected at least one value, got none.")
    for i, value in enumerate(values):
        if value in values[:i]:
            raise ValueError(f"over: {name}: {fields.shown(value)} is given twice.")


def _from_list(base: RunConfig, over: Sequence[Any]) -> Grid:
    settings: list[dict[str, Any]] = []
    for i, entry in enumerate(over):
        if not isinstance(entry, Mapping) or not entry:
            raise ValueError(
                f"list: entry {i + 1}: expected fields like 'task.delay: 20', got {entry!r}."
            )
        named = [(fields.field_name(str(text), base), value) for text, value in entry.items()]
        if len(dict(named)) < len(named):
            raise ValueError(f"list: entry {i + 1}: a field is given twice.")
        settings.append({name: fields.convert(name, value, base) for name, value in named})
    if not settings:
        raise ValueError("list: expected at least one setting, got none.")
    names = list(dict.fromkeys(name for setting in settings for name in setting))
    settings = [{n: s[n] if n in s else fields.get(base, n) for n in names} for s in settings]
    for i, setting in enumerate(settings):
        if setting in settings[:i]:
            raise ValueError(
                f"list: entry {i + 1} is the same as entry {settings.index(setting) + 1}."
            )
    return _with_base(base, None, settings)


def _with_base(
    base: RunConfig, axes: dict[str, tuple[Any, ...]] | None, settings: list[dict[str, Any]]
) -> Grid:
    """The base's own values of swept fields do not count: they become those of the first setting.

    Parts stay, since their settings are kept by the parts that take their place.
    """
    first = {name: value for name, value in settings[0].items() if name not in parts.FAMILIES}
    with contextlib.suppress(
        TypeError, ValueError
    ):  # said when the runs are made, with their names
        base = fields.replace(base, first)
    return Grid(base, axes, tuple(settings))


def parse(texts: Sequence[str], base: RunConfig) -> dict[str, list[Any]]:
    """``field=value,value`` from the command line; raises ``ValueError`` naming the field."""
    over: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        if not equals or not values:
            raise ValueError(
                f"over: expected FIELD=VALUE,VALUE such as task.delay=10,20, got {text!r}."
            )
        name = fields.field_name(name, base)
        if name in over:
            raise ValueError(f"over: {name} is given twice.")
        over[name] = [fields.read(name, value, base) for value in fields.split(values)]
    return over
