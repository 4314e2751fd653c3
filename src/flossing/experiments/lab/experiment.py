"""What an experiment is: its cases, what is measured, what should come out, and a figure."""

import abc
import dataclasses
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, ClassVar, Self

import xarray as xr
from matplotlib.figure import Figure

from ...runs import RunConfig
from .claims import Claim
from .data import Data
from .published import Published

Report = Callable[[str], None]
"""Takes a short text that says how far a case is."""
Work = RunConfig | Callable[[Report], xr.Dataset]
"""What a case does: a training run, or a function that returns numbers."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Experiment(abc.ABC):
    """A published figure, or a question of our own, as settings and what to do with them.

    A subclass is a frozen dataclass whose fields are the settings. Its defaults are the full
    experiment; ``quick()`` returns a small one. ``cases()`` says what has to be computed, piece by piece, so
    that pieces run in parallel and each is computed once; ``measure`` keeps of each what claims and figure
    need. Claims and figure see nothing else, and are made again without computing anything.
    """

    title: ClassVar[str]
    source: ClassVar[str]
    """Whom the idea and the published numbers come from."""
    shows: ClassVar[str]
    """What it shows, in two sentences."""
    tables: ClassVar[tuple[str, ...]] = ()
    """Names of published tables, as files ``published/NAME.csv``."""
    timed: ClassVar[bool] = False
    """Whether claims are about time: then cases run one after another, and compile before they begin."""

    @classmethod
    @abc.abstractmethod
    def quick(cls) -> Self:
        """A small version, for a first look in a few minutes; its verdict is indicative."""

    @abc.abstractmethod
    def cases(self) -> Mapping[Any, Work]:
        """What has to be done, by case: frozen dataclasses that say what distinguishes it.

        A function must be picklable: a bound method of the experiment, or a ``functools.partial`` of one.
        """

    def measure(self, case: Hashable, outcome: Any) -> xr.Dataset:
        """The numbers of a case that are kept.

        Args:
            case: a key of ``cases()``.
            outcome: a finished ``RunResult`` with its directory, or what the function returned.
        """
        del case
        return outcome

    @abc.abstractmethod
    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """What should come out, with what did."""

    @abc.abstractmethod
    def figure(self, data: Data, published: Published) -> Figure:
        """All that is worth a look, with published curves in grey."""

    def verdict(self, data: Data) -> list[Claim]:
        """The claims, with the published tables of this experiment."""
        return list(self.claims(data, Published(self.tables)))

    def drawn(self, data: Data) -> Figure:
        """The figure, with the published tables of this experiment."""
        return self.figure(data, Published(self.tables))
