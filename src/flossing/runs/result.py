"""What a run leaves, and how that reads."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .._readable import Summary, chosen, library, readable, with_dots
from .config import RunConfig
from .summary import NetworkSummary, headline, summarise


@readable
@dataclasses.dataclass(repr=False)
class RunResult:
    """What a run leaves: the numbers, the trained networks, and where they are. Prints itself as a table."""

    config: RunConfig
    data: xr.Dataset
    networks: Any
    """Realisations along the leading axis."""
    directory: Path | None
    finished: bool
    """False after an interrupt."""
    seconds: float | None = None
    """Time on the clock of all flossing and training, with compilation; ``None`` if it was not recorded."""

    def plot(self, ax: Any = None) -> Any:
        """Draws metric and gradient norm against the epoch, and spectra, as far as the run has them.

        Args:
            ax: as many Axes of Matplotlib, in that order; default those of a new figure.

        Returns:
            An array of the Axes.

        Raises:
            ValueError, TypeError: other Axes than there are panels, or nothing was measured.
        """
        from ..plots import given_axes
        from .plots import draw, panels_of, run_figure

        runs = {"": self.data}
        panels = panels_of(runs)
        if not panels:
            raise ValueError("RunResult: nothing was measured yet that could be drawn.")
        if ax is None:
            figure = library("matplotlib.pyplot", "a figure").figure
            ax = run_figure(runs, self.config.describe(), panels, make=figure).axes
        else:
            draw(given_axes(ax, len(panels)), panels, runs)
        return np.ravel(np.asarray(ax, dtype=object))

    def to_xarray(self) -> xr.Dataset:
        """``data``, as other results give it."""
        return self.data

    def _summary(self) -> Summary:
        epochs, networks = self.data.sizes.get("epoch", 0), summarise(self.data)
        shown = chosen(len(networks), 5)
        rows = [_row(networks[i], self.data) for i in shown]
        names, *columns = zip(*rows, strict=True) if rows else [()]
        notes = []
        if self.directory is not None:
            notes.append(f"directory: {self.directory}")
        if not self.finished:
            notes.append(f"stopped early: {epochs} of {self.config.epochs} epochs")
        took = "" if self.seconds is None else f", {duration(self.seconds)}"
        count = len(networks)
        title = f"{self.config.describe()}\n{epochs} epochs, networks: {count}{took}"
        return Summary(title, _header(self.data), with_dots(names, columns), notes)


def _header(data: xr.Dataset) -> list[str]:
    main = headline(data)
    reached = ["epochs to 95 %"] if main.is_fraction else []
    moments = ["lambda_1 start", "lambda_1 end", "|dL/dh_0| first", "|dL/dh_0| last"]
    return ["network", f"held-out {main.name}", *reached, *moments]


def _row(found: NetworkSummary, data: xr.Dataset) -> list[str]:
    main = headline(data)
    return [
        str(found.network),
        "-" if found.test is None else main.show(found.test),
        *([_or_dash(found.epochs_to_95, "d")] if main.is_fraction else []),
        *(_or_dash(x, "+.3f") for x in (found.leading_start, found.leading_end)),
        *(_or_dash(x, ".1e") for x in (found.gradient_first, found.gradient_last)),
    ]


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def duration(seconds: float) -> str:
    """So much time, in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"
