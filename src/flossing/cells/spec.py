"""Specifications of cells: their settings, as files and the command line have them, and ``build``."""

import abc
import dataclasses
import functools
import inspect
from typing import TYPE_CHECKING, Any, Literal, get_args, get_type_hints

import jax
from jaxtyping import PRNGKeyArray

from .. import initialisers, surrogates
from .._checks import check_choice, check_key, check_positive, check_single, settle_integers
from .._choices import Choice
from ._base import Cell, check_cell
from .stack import Stack

if TYPE_CHECKING:
    InitialiserName = SurrogateName = str
else:  # so that the help of the command line lists them
    InitialiserName = Literal[tuple(initialisers.BY_NAME)]
    SurrogateName = Literal[tuple(surrogates.by_name())]


@dataclasses.dataclass(frozen=True)
class CellSpec(Choice, abc.ABC):
    """Settings of a network's cell. Subclasses have those of their cell, and ``layer``, which makes it.

    Errors start with the name of the field.
    """

    hidden_size: int = 80
    """Number of units per layer, N."""
    _: dataclasses.KW_ONLY
    layers: int = 1
    """Cells stacked on top of each other."""
    readout_gain: float | None = None
    """Standard deviation of the readout; 1 by default."""

    def __post_init__(self) -> None:
        settle_integers(self, hidden_size=1, layers=1)
        if self.readout_gain is not None:
            check_positive("readout_gain", self.readout_gain, zero=True)
            check_single(readout_gain=self.readout_gain)

    @abc.abstractmethod
    def layer(self, input_size: int, *, key: PRNGKeyArray) -> Cell:
        """One cell with fresh weights."""

    def build(self, input_size: int, *, key: PRNGKeyArray) -> Cell:
        """A step with fresh weights: the cell, or a ``Stack`` of them for more than one layer.

        Args:
            input_size: number of inputs.
            key: random key; the same one gives the same weights.
        """
        check_key("key", key)
        sizes = [input_size] + [self.hidden_size] * (self.layers - 1)
        keys = jax.random.split(key, self.layers)
        built = [self.layer(size, key=k) for size, k in zip(sizes, keys, strict=True)]
        return built[0] if self.layers == 1 else Stack(built)

    @property
    def readout_std(self) -> float:
        """Standard deviation of the readout weights."""
        return 1.0 if self.readout_gain is None else self.readout_gain


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecurrentSpec(CellSpec):
    """Settings that all cells with a recurrent matrix share."""

    recurrent: InitialiserName = "gaussian"
    """Recurrent matrix at the start. Each is a class of ``fl.initialisers``."""
    gain: float = 1.0
    """Gain g of the recurrent matrix."""
    input_gain: float = 1.0
    """Scale of the input weights. They are drawn from N(0, (input_gain / input_size)^2)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("recurrent", self.recurrent, tuple(initialisers.BY_NAME))
        check_positive("gain", self.gain, zero=True)
        check_single(gain=self.gain, input_gain=self.input_gain)

    def _matrices(self) -> dict[str, Any]:
        """Arguments of the cell that say how its weights start."""
        recurrent = initialisers.BY_NAME[self.recurrent](self.gain)
        return {"recurrent": recurrent, "input_gain": self.input_gain}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpikingSpec(RecurrentSpec):
    """Settings that all cells with a surrogate derivative share."""

    readout_gain: float | None = None
    """Standard deviation of the readout. By default 1 / sqrt(N)."""
    surrogate: SurrogateName = "super-spike"
    """Surrogate derivative. Each is a class of ``fl.surrogates``."""
    sharpness: float = 1.0
    """Sharpness of the surrogate derivative. Its inverse width, in units of one over the membrane."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("surrogate", self.surrogate, tuple(surrogates.by_name()))
        check_positive("sharpness", self.sharpness)
        check_single(sharpness=self.sharpness)

    def _units(self) -> dict[str, Any]:
        """Arguments of the cell: how its weights start, and the surrogate."""
        surrogate = surrogates.by_name()[self.surrogate](self.sharpness)
        return {"surrogate": surrogate, **self._matrices()}

    @property
    def readout_std(self) -> float:
        """Standard deviation of the readout weights."""
        return self.hidden_size**-0.5 if self.readout_gain is None else self.readout_gain


@functools.cache
def spec_for(make: Any) -> type[CellSpec]:
    """The specification of a user's own cell, made from the signature of its class.

    Args:
        make: a class (or function) that is called as ``Name(input_size, hidden_size, *, key, ...)`` and
            makes a cell. Further arguments that are numbers, booleans or text (``int``, ``float``, ``bool``,
            ``str``, perhaps ``| None``) become fields, described by the docstring of the class if it has
            ``Args:``; others keep their defaults. A class that is a ``CellSpec`` is returned as it is.

    Raises:
        TypeError: ``make`` cannot be called in this way, an argument has no default, or it has the name of a
            setting that all cells have.
    """
    if isinstance(make, type) and issubclass(make, CellSpec):
        return make
    name = getattr(make, "__name__", type(make).__name__)
    size, options = _arguments(make, name)
    hints = get_type_hints(make.__init__ if isinstance(make, type) else make)
    plain = [option for option in options if _is_plain(hints.get(option.name))]
    fields = [
        (p.name, hints[p.name], dataclasses.field(default=p.default, kw_only=True)) for p in plain
    ]
    if size.default is not size.empty:
        fields.append(("hidden_size", int, dataclasses.field(default=size.default)))

    def layer(self: Any, input_size: int, *, key: PRNGKeyArray) -> Cell:
        own = {option.name: getattr(self, option.name) for option in plain}
        cell = make(input_size, self.hidden_size, key=key, **own)
        check_cell(name, cell)
        return cell

    return dataclasses.make_dataclass(
        f"{name}Spec",
        fields,
        bases=(CellSpec,),
        namespace={"layer": layer, "__doc__": inspect.getdoc(make), "__module__": make.__module__},
        frozen=True,
    )


def _arguments(make: Any, name: str) -> tuple[inspect.Parameter, list[inspect.Parameter]]:
    """The argument that is the number of units, and those that are options; raises as ``spec_for``."""
    wanted = f"{name}: expected a class that is called as {name}(input_size, hidden_size, key=key)"
    if not callable(make):
        raise TypeError(f"{wanted}, got {make!r} ({type(make).__name__}).")
    given = inspect.signature(make).parameters
    takes = f"it takes ({', '.join(given)})"
    plain = [p for p in given.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    sizes = [p for p in plain if p.kind is not p.KEYWORD_ONLY and p.name != "key"][:2]
    if len(sizes) < 2 or "key" not in given:
        missing = "key" if len(sizes) == 2 else "two sizes first"
        raise TypeError(f"{wanted}; {takes}, without {missing}.")
    options = [p for p in plain if p not in sizes and p.name != "key"]
    for option in options:
        if option.default is option.empty:
            raise TypeError(f"{wanted}; its argument {option.name} has no default.")
        if option.name in ("layers", "readout_gain"):
            raise TypeError(
                f"{name}: the argument {option.name} has the name of a setting of all cells; rename it."
            )
    return sizes[1], options


def _is_plain(hint: Any) -> bool:
    """Whether values of this type can be written in files and on the command line."""
    kinds = get_args(hint) or (hint,)
    return all(kind in (int, float, bool, str, type(None)) for kind in kinds)
