"""What a sweep leaves, and how that reads."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from .._readable import Summary, chosen, readable, with_dots
from ..runs.summary import headline
from .data import Field, fields_of, indices_of, read_sweep, results_of, statistics


@readable
@dataclasses.dataclass(frozen=True, repr=False)
class SweepResult:
    """The runs of a sweep. Prints itself as a table of settings, the best first."""

    data: xr.Dataset
    """As in ``sweep.nc``: swept fields are dimensions (``setting`` for a list of settings)."""
    directory: Path

    def plot(self, ax: Any = None, *, against: str | None = None) -> Any:
        """Draws the held-out result against a field: networks as points, their median, quartiles shaded.

        Values of another field have colours, combinations of the remaining ones a panel each, six at most.

        Args:
            ax: as many Axes of Matplotlib as there are panels; default those of a new figure.
            against: name of the field; default the first that has numbers, else the first.

        Returns:
            An array of the Axes.

        Raises:
            ValueError, TypeError: no field of that name, nothing swept, or other Axes than there are panels.
        """
        from .plots import draw_results

        fields = fields_of(self.data)
        names = [field.name for field in fields]
        if not fields:
            raise ValueError(
                "SweepResult: nothing was swept, so that there is nothing to plot against."
            )
        if against is not None and against not in names:
            raise ValueError(f"against: expected one of {', '.join(names)}, got {against!r}.")
        number = next((i for i, field in enumerate(fields) if field.numeric), 0)
        return draw_results(self.data, fields[names.index(against) if against else number], ax)

    def to_xarray(self) -> xr.Dataset:
        """``data``, as other results give it."""
        return self.data

    def _summary(self) -> Summary:
        data, fields, main = self.data, fields_of(self.data), headline(self.data)
        status = data["status"].values.ravel().tolist()
        results = results_of(data)
        medians = {n: statistics(n, results[n])[1].ravel() for n in ("test", "leading")}
        order = np.argsort(medians["test"] * (-1 if main.higher_is_better else 1), kind="stable")
        shown = chosen(len(order), 6)
        rows = [
            [
                *_values(fields, indices_of(data, fields)[i]),
                status[i]
                if np.isnan(medians["test"][i])
                else main.show(medians["test"][i] / main.factor),
                "-" if np.isnan(medians["leading"][i]) else f"{medians['leading'][i]:+.3f}",
            ]
            for i in order[shown]
        ]
        names = [field.name for field in fields]
        header = ["rank", *names, f"held-out {main.name}", "lambda_1 end"]
        done, networks = status.count("finished"), int(np.isfinite(results["test"]).sum())
        title = f"sweep: {done} of {len(status)} runs finished, networks: {networks} (medians, best first)"
        table = with_dots([str(i + 1) for i in shown], list(zip(*rows, strict=True)))
        return Summary(title, header, table, [f"directory: {self.directory}"])


def _values(fields: list[Field], index: tuple[int, ...]) -> list[str]:
    return [str(field.values[i]) for field, i in zip(fields, index, strict=True)]


def load(directory: str | Path) -> SweepResult:
    """A sweep from its directory.

    Raises:
        ValueError: its results are damaged, or it is not the directory of a sweep.
    """
    return SweepResult(read_sweep(Path(directory)), Path(directory))
