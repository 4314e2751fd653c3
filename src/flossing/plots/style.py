"""The look of all figures: readable in print, safe for colour-blind readers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._readable import library

mpl = library("matplotlib", "a figure")
mpl_axes = library("matplotlib.axes", "a figure")
ticker = library("matplotlib.ticker", "a figure")

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
}


@contextmanager
def style() -> Iterator[None]:
    """The look of all figures, within a context."""
    # Not mpl.rc_context, which takes back all that a notebook's backend sets when a first figure loads it.
    before = {name: mpl.rcParams[name] for name in _STYLE}
    mpl.rcParams.update(_STYLE)
    try:
        yield
    finally:
        mpl.rcParams.update(before)


def drawn(ax: Any, panel: Any, *numbers: Any, **options: Any) -> Any:
    """Draws a panel in our style, on given Axes or on those of a new figure, and returns them."""
    with style():
        if ax is None:  # of pyplot, which notebooks show
            pyplot = library("matplotlib.pyplot", "a figure")
            ax = pyplot.subplots(figsize=(4.2, 3.3), layout="constrained")[1]
        (ax,) = given_axes(ax)
        panel(ax, *numbers, **options)
    return ax


class _PlainLog(ticker.LogFormatter):
    """Labels where a logarithmic axis has them, as plain numbers: 0.5 and 20, not powers of ten."""

    def __call__(self, x: float, pos: Any = None) -> str:
        return f"{x:g}" if super().__call__(x, pos) else ""


def plain_log(side: Any) -> None:
    """Makes an axis logarithmic, with plain numbers."""
    side.axes.set(**{f"{side.axis_name}scale": "log"})
    side.set_major_formatter(_PlainLog())
    side.set_minor_formatter(_PlainLog(labelOnlyBase=False))


def whole_numbers(side: Any) -> None:
    """Ticks of an axis at whole numbers: one, two or five apart, or ten times that."""
    side.set_major_locator(ticker.MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def given_axes(ax: Any, count: int = 1) -> list[Any]:
    """What was given as ``ax``, as a list of Axes.

    Raises:
        TypeError: these are no Axes of Matplotlib. ValueError: there are not so many.
    """
    axes = np.ravel(np.asarray(ax, dtype=object)).tolist()
    for axis in axes:
        if not isinstance(axis, mpl_axes.Axes):
            got = f"{axis!r} ({type(axis).__name__})"
            raise TypeError(f"ax: expected Axes of Matplotlib, as plt.subplots() makes, got {got}.")
    if len(axes) != count:
        raise ValueError(f"ax: expected {count} Axes, one for each panel, got {len(axes)}.")
    return axes


def zero_line(axis: Any, level: float = 0) -> None:
    """A dotted line for reference: exponents of zero, or chance."""
    axis.axhline(level, color="0.6", linewidth=0.8, linestyle=":", zorder=0)


def letter_panels(axes: Any) -> None:
    """Letters a, b, c, ... at the upper left of panels."""
    for axis, letter in zip(axes, "abcdefghijklmnop", strict=False):
        axis.text(-0.17, 1.03, letter, transform=axis.transAxes, fontweight="bold", fontsize=11)
