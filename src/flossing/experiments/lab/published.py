"""Curves and tables read from published figures, as they lie beside the experiments."""

import csv
import functools
from collections.abc import Sequence
from importlib import resources

import numpy as np


class Published:
    """The published tables of an experiment, by name.

    Args:
        names: of files ``published/NAME.csv``.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def __init__(self, names: Sequence[str] = ()):
        self._tables = {name: _rows(name) for name in names}

    def rows(self, name: str) -> list[dict[str, str]]:
        """The rows of a table, texts by column."""
        return self._tables[name]

    def curve(self, name: str, x: str, y: str, **chosen: str) -> np.ndarray:
        """A curve, shape (points, 2), ordered by ``x``; points that are listed twice count once.

        Args:
            name: of the table.
            x, y: columns.
            chosen: values of other columns that tell the curve from others.
        """
        rows = [r for r in self.rows(name) if all(r[c] == v for c, v in chosen.items())]
        return np.unique([(float(r[x]), float(r[y])) for r in rows], axis=0)

    def curves(
        self, name: str, group: str, curve: str, x: str, y: str
    ) -> dict[float, dict[str, np.ndarray]]:
        """Curves by group and name, each of shape (points, 2), in the order of the table.

        Args:
            name: of the table.
            group: column of numbers that tells panels or colours apart.
            curve: column that tells curves apart (a network's number, or ``mean``).
            x, y: columns.
        """
        groups: dict[float, dict[str, list]] = {}
        for row in self.rows(name):
            by_name = groups.setdefault(float(row[group]), {})
            by_name.setdefault(row[curve], []).append((float(row[x]), float(row[y])))
        return {g: {c: np.array(p) for c, p in by_name.items()} for g, by_name in groups.items()}


@functools.cache
def _rows(name: str) -> list[dict[str, str]]:
    path = resources.files("flossing.experiments") / "published" / f"{name}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
