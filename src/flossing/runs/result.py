"""What a run leaves, and how that reads."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from .._checks import check_integer, check_seed
from .._readable import Summary, chosen, library, readable, with_dots
from .._system import command_line
from .config import RunConfig, is_in_files
from .summary import result_table

if TYPE_CHECKING:
    from .examining import Driven


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
    """False after an interrupt; ``data`` then has no held-out numbers yet (``test_...``)."""
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

    def driven(self, network: int = 1, *, steps: int | None = None, seed: int = 1) -> "Driven":
        """One of the networks with inputs of the task, for ``fl.examine``.

        ``step, state, inputs, key = result.driven(1)``; ``fl.examine(step, state, inputs, key=key)`` then
        says how gradients travel in it.

        Args:
            network: which of them, counted from 1.
            steps: of the inputs; default 400, or the horizon of the task if that is longer.
            seed: random seed of inputs and key.

        Raises:
            ValueError: there is no network of this number.
        """
        from .examining import drive

        check_integer("network", network, 1, self.config.realisations)
        check_seed("seed", seed)
        return drive(self.config, self.networks, network, steps=steps, seed=seed)

    def _summary(self) -> Summary:
        table = result_table({"": self.data})
        shown = chosen(len(table.rows), 5)
        names, *columns = zip(*(table.rows[i] for i in shown), strict=True) if shown else [()]
        header = [f"{above} {below}".strip() for above, below in table.header]
        notes = [] if table.note is None else [table.note]
        if self.directory is not None:
            notes.append(f"directory: {self.directory}")
        epochs = self.data.sizes.get("epoch", 0)
        if not self.finished:
            notes.append(
                f"stopped early: {epochs} of {self.config.epochs} epochs; {_how_to_go_on(self)}"
            )
        took = "" if self.seconds is None else f", {duration(self.seconds)}"
        title = f"{self.config.describe()}\n{epochs} epochs, networks: {len(table.rows)}{took}"
        return Summary(title, header, with_dots(names, columns), notes)


def _how_to_go_on(result: RunResult) -> str:
    """What continues a run that was stopped in Python."""
    if result.directory is None:
        return "nothing was written, as there was no directory"
    again = "call fl.train again with the same arguments"
    if not is_in_files(result.config):
        return f"to go on, {again}"
    command = command_line(["floss", "train", "--resume", str(result.directory)])
    return f"to go on, {again}, or:  {command}"


def duration(seconds: float) -> str:
    """So much time, in the unit that suits it."""
    if seconds < 100:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"
