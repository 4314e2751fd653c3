"""How results read: a few lines of text, a small table in notebooks, numbers with the digits they deserve."""

import functools
import html
import importlib
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

T = TypeVar("T", bound=type)

_MOST = 7
"""Rows of a table, so that a result has ten lines at most."""


class Summary(NamedTuple):
    """What a result says of itself."""

    title: str
    """One line, or two."""
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    notes: Sequence[str] = ()
    """One line each, below the table."""

    def text(self) -> str:
        """Title, table with aligned columns, notes."""
        table = [self.header, *self.rows] if self.rows else []
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in table
        ]
        return "\n".join([self.title, *(f"  {line}" for line in lines), *self.notes])

    def html(self) -> str:
        """The same for a notebook, in the colours of its theme, dark or light."""
        cell = 'style="padding: 0.1em 0.8em; text-align: right; font-variant-numeric: tabular-nums"'
        rows = [(self.header, "th"), *((row, "td") for row in self.rows)] if self.rows else []
        table = "".join(
            f"<tr>{''.join(f'<{kind} {cell}>{html.escape(x)}</{kind}>' for x in row)}</tr>"
            for row, kind in rows
        )
        notes = "".join(f"<div>{html.escape(note)}</div>" for note in self.notes)
        margin = 'style="border-collapse: collapse; margin: 0.3em 0"'
        return (
            f"<div><strong>{html.escape(self.title).replace(chr(10), '<br>')}</strong></div>"
            + (f"<table {margin}>{table}</table>" if table else "")
            + notes
        )


def readable(cls: T) -> T:
    """Gives a class ``repr`` and HTML made of its ``_summary()``; where that is ``None``, it is as it was.

    ``_summary`` returns ``None`` where numbers are not known, as those of a result within ``jax.jit``.
    """
    plain = cls.__repr__

    @functools.wraps(plain)
    def text(self: Any) -> str:
        summary = self._summary()
        return plain(self) if summary is None else summary.text()

    def markup(self: Any) -> str | None:
        summary = self._summary()
        return None if summary is None else summary.html()

    made: Any = cls
    made.__repr__ = made.__str__ = text
    made._repr_html_ = markup
    return cls


def chosen(count: int, most: int = _MOST) -> list[int]:
    """Of so many rows those that are shown: all, or the first ones and the last."""
    return list(range(count)) if count <= most else [*range(most - 2), count - 1]


def with_dots(names: Sequence[str], columns: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows of the ``chosen`` columns, with dots where numbers are left out."""
    rows = [list(row) for row in zip(names, *columns, strict=True)]
    if rows and int(rows[-1][0]) > len(rows):
        rows.insert(-1, ["..."] * len(rows[0]))
    return rows


def aligned(values: Any, errors: Any = None) -> list[str]:
    """Numbers with a sign and the same number of decimals, at most six; tiny and huge ones as powers of ten.

    There are two digits of the smallest error, and no more than four of the smallest number.

    Args:
        values: shape (n,).
        errors: shape (n,).
    """
    return [f"{x:+{_form(values, errors)}}" for x in _floats(values)]


def aligned_errors(values: Any, errors: Any) -> list[str]:
    """The errors of ``aligned`` numbers, with as many decimals."""
    return [f"{x:{_form(values, errors)}}" for x in _floats(errors)]


def _floats(values: Any) -> list[float]:
    return np.asarray(values, dtype=float).tolist()


def _form(values: Any, errors: Any) -> str:
    sizes = [abs(x) for x in _floats(values) if math.isfinite(x) and x != 0]
    if sizes and (max(sizes) < 1e-3 or max(sizes) >= 1e5):
        return ".3e"
    digits = [3 - math.floor(math.log10(min(sizes)))] if sizes else [4]
    known = [x for x in _floats(errors) if 0 < x < math.inf] if errors is not None else []
    if known:
        digits.append(1 - math.floor(math.log10(min(known))))
    return f".{min(6, max(2, min(digits)))}f"


def short(value: Any, digits: int = 3) -> str:
    """A number with so many significant digits."""
    return f"{float(value):.{digits}g}"


def in_a_line(result: Any) -> Summary | None:
    """A named tuple with its exponents as the first and the last one; ``None`` for several of them."""
    if as_numpy(result.exponents).ndim != 1:
        return None
    texts = [f"{name}={_in_short(as_numpy(value))}" for name, value in result._asdict().items()]
    return Summary(f"{type(result).__name__}({', '.join(texts)})")


def _in_short(values: np.ndarray) -> str:
    if values.ndim:
        return f"{short(values[0], 4)} to {short(values[-1], 4)} ({values.size})"
    return short(values, 4) if values.dtype.kind == "f" else str(values)


def as_numpy(values: Any) -> np.ndarray:
    """An array of JAX, PyTorch or NumPy as one of NumPy; half precision becomes single precision."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        half = values.is_floating_point() and values.element_size() < 4
        values = values.float() if half else values
    array = np.asarray(values)
    return array if array.dtype.kind in "biuf" else array.astype(np.float32)


def leading_dims(count: int, name: str) -> tuple[str, ...]:
    """Names of so many leading axes: that name, numbered if there are several."""
    return (name,) if count == 1 else tuple(f"{name}_{i + 1}" for i in range(count))


def library(name: str, task: str, packages: str | None = None) -> Any:
    """A module that is loaded when it is needed.

    Args:
        name: of the module.
        task: what needs it.
        packages: what pip installs for this task, which also works in a clone; default the module's name.

    Raises:
        ModuleNotFoundError: it is not installed; says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise ModuleNotFoundError(
            f"{task} needs {error.name}, which is not installed; install with: "
            f"pip install {packages or error.name}",
            name=error.name,
        ) from None


def as_dataset(variables: dict[str, tuple], coordinates: dict[str, Any], **attributes: Any) -> Any:
    """An ``xarray.Dataset``; attributes that are ``None`` are left out, as files cannot hold them.

    Args:
        variables: dimensions, values, long name and unit of each.
        coordinates: values by dimension.
        attributes: of the whole.
    """
    xr = library("xarray", "to_xarray")
    made = {
        name: (dims, as_numpy(values), {"long_name": text, "units": unit})
        for name, (dims, values, text, unit) in variables.items()
    }
    return xr.Dataset(made, coordinates, {k: v for k, v in attributes.items() if v is not None})
