"""Numbers as words for people: what was not measured, not reached or lost is said, not left blank."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..runs.summary import Headline


def percent(value: float | None) -> str:
    """A fraction as percentage."""
    if value is None:
        return "not measured"
    return f"{100 * value:.1f}\u00a0%" if math.isfinite(value) else "not a number"


def measured(value: float | None, main: Headline) -> str:
    """A value of the headline metric with its unit; fractions in percent."""
    if main.is_fraction:
        return percent(value)
    return "not measured" if value is None else main.show(value)


def exponent(value: float | None) -> str:
    """A Lyapunov exponent with its sign."""
    if value is None:
        return "not measured"
    if value == -math.inf:
        return "lost (minus infinity)"
    return f"{value:+.3f}" if math.isfinite(value) else "not a number"


def scientific(value: float | None) -> str:
    """A number that spans orders of magnitude, such as a gradient norm."""
    if value is None:
        return "not measured"
    return f"{value:.1e}" if math.isfinite(value) else "not finite"


def size(count: int) -> str:
    """Bytes of a file."""
    for unit, factor in (("MB", 1e6), ("kB", 1e3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} bytes"


def rows_of(content: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested dictionaries as rows of dotted name and text; dictionaries in lists are counted from 1."""
    if isinstance(content, dict):
        return [
            row
            for name, value in content.items()
            for row in rows_of(value, f"{prefix}.{name}" if prefix else str(name))
        ]
    if isinstance(content, list) and any(isinstance(part, dict) for part in content):
        return rows_of({str(i): part for i, part in enumerate(content, 1)}, prefix)
    if isinstance(content, list):
        content = ", ".join(map(str, content))
    return [(prefix, "not known" if content is None else str(content))]


def as_csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A table as CSV text; ``None`` is an empty field."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(["" if value is None else value for value in row] for row in rows)
    return text.getvalue()


def rounded(values: Any, digits: int = 4) -> Any:
    """Nested lists of numbers with so many significant digits; ``None`` where not finite."""
    array = np.asarray(values, dtype=float)
    if array.ndim:
        return [rounded(part, digits) for part in array]
    if not np.isfinite(array):
        return None
    number = float(f"{float(array):.{digits}g}")
    return int(number) if number.is_integer() and abs(number) < 1e15 else number
