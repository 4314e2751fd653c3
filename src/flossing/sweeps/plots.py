"""Publication figures of a sweep: results against each swept field, and learning curves."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .._readable import library
from ..plots import COLOURS, given_axes, style, zero_line
from ..plots.series import average, quartiles
from ..runs.summary import Headline, headline
from .data import (
    METRICS,
    Field,
    fields_of,
    indices_of,
    is_list,
    labels,
    never_reached,
    results_of,
    statistics,
)

_MOST_PANELS = 6


def sweep_figures(data: xr.Dataset) -> dict[str, Figure]:
    """The figures that the data allow, by file name without its ending.

    Held-out result and epochs to 95 % against every numeric field (every field, if none is numeric), with a
    colour per value of another field and a panel per value of the remaining ones; learning curves
    with a panel per setting of all fields but the coloured one.
    """
    fields = fields_of(data)
    figures = {}
    results, never = results_of(data), never_reached(data)
    main, names = headline(data), labels(data)
    for x in [f for f in fields if f.numeric] or fields:
        for metric, name in (("test", main.name), ("epochs_to_95", "epochs-to-95")):
            if metric not in names:
                continue
            if np.isfinite(results[metric]).any() or (metric == "epochs_to_95" and never.any()):
                shown = Shown(data, x, metric, results[metric], never)
                figures[f"report-{name}-{x.name.replace('/', '-')}"] = field_figure(shown)
    if main.name in data and np.isfinite(data[main.name].values).any():
        if is_list(data):
            fields = [Field("setting", list(range(data.sizes["setting"])), False)]
        figures["report-learning-curves"] = curves_figure(data, fields)
    return figures


def colour_field(fields: list[Field], x: Field | None = None) -> Field | None:
    """The field that gets colours: a categorical one if there is, else another than ``x``."""
    others = [f for f in fields if f != x and 1 < len(f.values) <= len(COLOURS)]
    return next((f for f in others if not f.numeric), others[0] if others else None)


def _panels(fields: list[Field], apart: list[Field | None]) -> list[tuple[dict[str, int], str]]:
    """Index and name of each combination of the fields that are not set apart."""
    rest = [f for f in fields if f not in apart]
    panels = []
    for index in product(*(range(len(f.values)) for f in rest)):
        at = {f.name: i for f, i in zip(rest, index, strict=True)}
        panels.append((at, ", ".join(f"{f.name} = {f.values[at[f.name]]}" for f in rest)))
    return panels


class Shown(NamedTuple):
    """One metric of the networks of a sweep, and the field that it is drawn against."""

    data: xr.Dataset
    x: Field
    metric: str
    """A key of ``METRICS``."""
    values: np.ndarray
    """Shape (swept..., realisations)."""
    never: np.ndarray
    """Networks that did not reach 95 %, same shape; drawn on a line of their own."""

    @property
    def main(self) -> Headline:
        """The headline of the sweep."""
        return headline(self.data)

    @property
    def top(self) -> float | None:
        """Where networks are drawn that never got there."""
        late = self.metric == "epochs_to_95" and bool(self.never.any())
        return _top(self.values) if late else None

    @property
    def panels(self) -> list[tuple[dict[str, int], str]]:
        """Index and name of what each panel shows."""
        if is_list(self.data):
            return [({}, "")]
        fields = fields_of(self.data)
        return _panels(fields, [self.x, colour_field(fields, self.x)])

    def draw(self, axes: Sequence[Any]) -> None:
        """Draws all panels."""
        if is_list(self.data):
            _draw_list(axes[0], self)
        else:
            _draw_grid(axes, self)

    def caption(self) -> str:
        """What points, lines and shades are."""
        if is_list(self.data):
            return "small: single networks, large: median of a setting"
        return _caption(len(self.panels), self.values.shape[-1])


def draw_results(data: xr.Dataset, x: Field, ax: Any = None) -> np.ndarray:
    """The held-out result against a field, on given Axes or on those of a new figure; an array of them.

    Raises:
        ValueError: another number of Axes than there are panels.
    """
    shown = Shown(data, x, "test", results_of(data)["test"], never_reached(data))
    count = min(len(shown.panels), _MOST_PANELS)
    with style():
        if ax is None:
            figure, axes = _grid(count, (4.2, 3.4), library("matplotlib.pyplot", "a figure").figure)
            figure.suptitle(shown.caption(), fontsize=9)
        else:
            axes = given_axes(ax, count)
        shown.draw(axes)
    return np.asarray(axes, dtype=object)


def _grid(
    panels: int, size: tuple[float, float], make: Callable[..., Figure] = Figure
) -> tuple[Figure, list[Any]]:
    count = min(panels, _MOST_PANELS)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = make(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axis in grid.flat[count:]:
        axis.remove()
    return figure, list(grid.flat[:count])


def field_figure(shown: Shown) -> Figure:
    """One metric against one field: single networks as points, median, quartiles shaded."""
    with style():
        figure, axes = _grid(len(shown.panels), (4.4, 3.4))
        shown.draw(axes)
        figure.suptitle(shown.caption(), fontsize=9)
    return figure


def _draw_grid(axes: Sequence[Any], shown: Shown) -> None:
    fields = fields_of(shown.data)
    by_colour = colour_field(fields, shown.x)
    for (at, title), axis in zip(shown.panels, axes, strict=False):
        for c in range(len(by_colour.values)) if by_colour else [None]:
            chosen = at if by_colour is None or c is None else at | {by_colour.name: c}
            index = tuple(chosen.get(f.name, slice(None)) for f in fields)
            label = "" if by_colour is None or c is None else str(by_colour.values[c])
            named = (c or 0, label, _top(shown.values))
            _points(axis, shown.x, shown.metric, shown.values[index], shown.never[index], named)
        _axes(axis, shown)
        axis.set_title(title, fontsize=8, fontweight="normal")
        if axis is axes[0] and by_colour:
            axis.legend(title=by_colour.name, title_fontsize=8, loc="best")


def _draw_list(axis: Any, shown: Shown) -> None:
    """Single networks small, medians large."""
    x, fields = shown.x, fields_of(shown.data)
    by_colour = colour_field(fields, x)
    ticks = x.values if x.numeric else np.arange(len(x.values))
    seen = set()
    for index, row, lost in zip(
        indices_of(shown.data, fields), shown.values, shown.never, strict=True
    ):
        c = index[fields.index(by_colour)] if by_colour else 0
        at = ticks[index[fields.index(x)]]
        colour = COLOURS[c]
        label = str(by_colour.values[c]) if by_colour and c not in seen else ""
        seen.add(c)
        axis.plot([at] * len(row), row, "o", color=colour, markersize=3, alpha=0.5, mew=0)
        if shown.metric == "epochs_to_95":
            top = _top(shown.values)
            axis.plot([at] * lost.sum(), [top] * lost.sum(), "x", color=colour, markersize=4)
            row = row[np.isfinite(row) | lost]
        median = statistics(shown.metric, row)[1]
        axis.plot(at, median, "o", color=colour, markersize=6, label=label)
    _axes(axis, shown)
    if by_colour:
        axis.legend(title=by_colour.name, title_fontsize=8, loc="best")


def _caption(panels: int, networks: int) -> str:
    text = f"points: {networks} single networks, line: median, shaded: quartiles"
    left = panels - _MOST_PANELS
    return text + (f" ({left} more panels in the HTML report)" if left > 0 else "")


def _points(
    axis: Any,
    x: Field,
    metric: str,
    values: np.ndarray,
    never: np.ndarray,
    named: tuple[int, str, float],
) -> None:
    number, label, top = named
    colour = COLOURS[number]
    place = places(x)
    spread = place + _spacing(place) * 0.06 * (number - 0.5)
    networks = values.shape[1]
    jitter = _spacing(place) * 0.03 * np.linspace(-1, 1, networks) * (networks > 1)
    points = spread[:, None] + jitter
    to_axis = (lambda p: 10**p) if x.log else (lambda p: p)
    axis.plot(to_axis(points), values, "o", color=colour, markersize=3.5, alpha=0.5, mew=0)
    if metric == "epochs_to_95":
        axis.plot(
            to_axis(points)[never], np.full(never.sum(), top), "x", color=colour, markersize=4
        )
        counted = [row[np.isfinite(row) | lost] for row, lost in zip(values, never, strict=True)]
        low, median, high = np.array([statistics(metric, row) for row in counted]).T
        high = np.where(np.isnan(high), top, high)
    else:
        low, median, high = statistics(metric, values)
    axis.fill_between(to_axis(place), low, high, color=colour, alpha=0.18, linewidth=0)
    axis.plot(to_axis(place), median, "-o", color=colour, markersize=4, label=label)


def places(x: Field) -> np.ndarray:
    """Where the values of a field stand on its axis: as they are, logarithms, or their number."""
    if not x.numeric:
        return np.arange(len(x.values), dtype=float)
    values = np.asarray(x.values, dtype=float)
    return np.log10(values) if x.log else values


def _spacing(place: np.ndarray) -> float:
    gaps = np.diff(np.sort(place))
    return float(gaps.min()) if gaps.size and gaps.min() > 0 else 1.0


def _top(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return 1.12 * float(finite.max() if finite.size else 1)


def _axes(axis: Any, shown: Shown) -> None:
    x, metric, main, values, never_at = shown.x, shown.metric, shown.main, shown.values, shown.top
    label = f"held-out {main.label}" if metric == "test" else METRICS[metric]
    place = places(x)
    room = 0.4 * _spacing(place)
    low, high = place.min() - room, place.max() + room
    if x.log:
        axis.set_xscale("log")
        low, high = 10**low, 10**high
    ticks = x.values if x.numeric else range(len(x.values))
    axis.set_xticks(ticks, [f"{v:g}" if x.numeric else v for v in x.values])
    axis.minorticks_off()
    axis.set(xlabel=x.name, ylabel=label, xlim=(low, high))
    if metric == "test":
        _chance(axis, main)
        if main.is_fraction:
            least = 0.9 * main.factor * (main.chance or 0)
            finite = values[np.isfinite(values)]
            axis.set_ylim(min(least, float(finite.min()) - 2 if finite.size else least), 102)
    elif never_at is not None:
        marks = [t for t in MaxNLocator(5).tick_values(0, never_at) if t < 0.95 * never_at]
        axis.set_yticks([*marks, never_at], [*(f"{t:g}" for t in marks), "never"])
        axis.set_ylim(0, 1.05 * never_at)
    axis.label_outer(remove_inner_ticks=False)


def _chance(axis: Any, main: Headline) -> None:
    """A line where networks are that have learned nothing."""
    if main.chance is not None:
        zero_line(axis, main.factor * main.chance)


def curves_figure(data: xr.Dataset, fields: list[Field]) -> Figure:
    """Headline metric against epoch of each setting: median, and quartiles of the networks shaded."""
    by_colour, main = colour_field(fields), headline(data)
    panels = _panels(fields, [by_colour])
    with style():
        figure, axes = _grid(len(panels), (3.6, 2.8))
        for (at, title), axis in zip(panels, axes, strict=False):
            for c in range(len(by_colour.values)) if by_colour else [None]:
                chosen = at if by_colour is None or c is None else at | {by_colour.name: c}
                values = data[main.name].isel(chosen).transpose("epoch", "realisation").values
                series = average(main.factor * values, data["epoch"].values, 200)
                low, median, high = quartiles(series.values)
                colour = COLOURS[c or 0]
                label = "" if by_colour is None or c is None else str(by_colour.values[c])
                axis.fill_between(series.epoch, low, high, color=colour, alpha=0.2, linewidth=0)
                axis.plot(series.epoch, median, color=colour, label=label)
                width = series.width
            _chance(axis, main)
            axis.set(xlabel="training epoch", ylabel=main.label)
            axis.set_title(title, fontsize=8, fontweight="normal")
            axis.label_outer()
            if axis is figure.axes[0] and by_colour:
                axis.legend(title=by_colour.name, title_fontsize=8, loc="best")
        averaged = f"; means of {width} epochs" if width > 1 else ""
        left = len(panels) - _MOST_PANELS
        more = f" ({left} more panels in the HTML report)" if left > 0 else ""
        figure.suptitle(f"line: median of networks, shaded: quartiles{averaged}{more}", fontsize=9)
    return figure
