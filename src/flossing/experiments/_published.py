"""Curves read from published figures, as they lie beside the experiments."""

import csv
from importlib import resources

import numpy as np


def rows(name: str) -> list[dict[str, str]]:
    """The rows of ``published/NAME.csv``."""
    path = resources.files("flossing.experiments") / "published" / f"{name}.csv"
    return list(csv.DictReader(path.read_text().splitlines()))


def curves(name: str, group: str, curve: str, x: str, y: str) -> dict[float, dict[str, np.ndarray]]:
    """Curves by group and name, each with rows ``(x, y)``.

    Args:
        name: of the file.
        group: column of numbers that tells panels or colours apart.
        curve: column that tells curves apart (a network's number, or ``mean``).
        x: column.
        y: column.
    """
    found: dict[float, dict[str, list]] = {}
    for row in rows(name):
        curves = found.setdefault(float(row[group]), {})
        curves.setdefault(row[curve], []).append((float(row[x]), float(row[y])))
    return {g: {c: np.array(points) for c, points in curves.items()} for g, curves in found.items()}
