"""The look of all figures: readable in print, safe for colour-blind readers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .._readable import library

mpl = library("matplotlib", "a figure")

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito's colours, in the order of use."""

_STYLE: Any = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, within a context."""
    with mpl.rc_context(_STYLE):
        yield


def new_axes(columns: int = 1, rows: int = 1, *, size: tuple[float, float] = (4.2, 3.3)) -> Any:
    """Axes of a new figure of ``matplotlib.pyplot``, which notebooks show: one, or an array of several.

    Args:
        columns, rows: of panels. One of both gives one Axes; else an array, of two axes if there are rows.
        size: of a panel, width and height in inches.
    """
    pyplot = library("matplotlib.pyplot", "a figure")
    whole = (size[0] * columns, size[1] * rows)
    return pyplot.subplots(rows, columns, figsize=whole, layout="constrained")[1]


def drawn(ax: Any, panel: Any, *numbers: Any, **options: Any) -> Any:
    """Draws a panel in our style, on given Axes or on new ones, and returns them."""
    with style():
        axis = new_axes() if ax is None else ax
        panel(axis, *numbers, **options)
    return axis


def zero_line(axis: Any, level: float = 0) -> None:
    """A dotted line for reference: exponents of zero, or chance."""
    axis.axhline(level, color="0.6", linewidth=0.8, linestyle=":", zorder=0)


def letter_panels(axes: Any) -> None:
    """Letters a, b, c, ... at the upper left of panels."""
    for axis, letter in zip(axes, "abcdefghijklmnop", strict=False):
        axis.text(-0.17, 1.03, letter, transform=axis.transAxes, fontweight="bold", fontsize=11)
