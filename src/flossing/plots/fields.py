"""Panels of fields in parameter space: surrogate gradients beside the function and its gradient."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from .style import COLOURS


def path_integrals(
    axis: Any,
    positions: Any,
    output: Any,
    integrated: Mapping[str, Any],
    *,
    colours: Any = COLOURS,
    minima: bool = False,
) -> None:
    """A function along a path, and integrals of fields that start at its value.

    Around a closed path the function comes back to where it began; the integral of a surrogate gradient need
    not.

    Args:
        axis: where to draw.
        positions: on the path, shape (points,).
        output: the function, shape (points,).
        integrated: integrals by label, shape (points,).
        colours: one for each label.
        minima: a dotted line at the minimum of each curve.
    """
    curves = [("output", output, "0.4")]
    curves += [
        (label, values, colour)
        for (label, values), colour in zip(integrated.items(), colours, strict=False)
    ]
    for label, values, colour in curves:
        axis.plot(positions, values, color=colour, label=label)
        if minima:
            lowest = np.asarray(positions)[np.argmin(values)]
            axis.axvline(lowest, color=colour, linewidth=1, linestyle=":")
    axis.set(xlabel="position on the path", ylabel="output, or integral of the field")
    axis.legend()


def cosines(axis: Any, first: Any, second: Any, cosine: Any) -> None:
    """The cosine of the angle between two fields in a plane.

    Args:
        axis: where to draw; gets a colour bar beside it.
        first, second: displacements, shape (n,).
        cosine: shape (n, n), first direction leading; NaN is left out.
    """
    values = np.asarray(cosine)
    opposed = bool((values[np.isfinite(values)] < 0).any())
    scale = {"cmap": "RdBu", "vmin": -1} if opposed else {"cmap": "Blues_r", "vmin": 0}
    image = axis.pcolormesh(first, second, values.T, vmax=1, rasterized=True, **scale)
    axis.set(xlabel="first direction", ylabel="second direction", aspect="equal")
    axis.figure.colorbar(image, ax=axis, shrink=0.85, label="cosine of the angle")


def descents(axis: Any, first: Any, second: Any, gradient: Any, surrogate: Any) -> None:
    """Where the true gradient (black) and the surrogate gradient (orange) descend in a plane.

    Args:
        axis: where to draw.
        first, second: displacements, shape (n,).
        gradient, surrogate: components, shape (n, n, 2); arrows are drawn at about ten places per side.
    """
    size = len(first)
    thin = slice(size // 20, None, max(size // 10, 1))
    grid = np.meshgrid(np.asarray(first)[thin], np.asarray(second)[thin], indexing="ij")
    for components, colour in ((gradient, "0.1"), (surrogate, COLOURS[4])):
        arrows = -np.asarray(components)[thin, thin]
        lengths = np.linalg.norm(arrows, axis=-1, keepdims=True)
        arrows = np.divide(arrows, lengths, out=np.zeros_like(arrows), where=lengths > 0)
        axis.quiver(*grid, arrows[..., 0], arrows[..., 1], color=colour, scale=16, width=0.006)
