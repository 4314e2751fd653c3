"""Where surrogate gradients point, compared with where the function falls: along a line and on a plane.

Source: Gygax & Zenke 2025: surrogate gradients are biased even for differentiable networks.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PyTree

from .._checks import check_fraction, check_integer, check_positive, check_single
from .._readable import Summary, as_dataset, readable, short
from ._parts import as_network, as_vector, split
from .line_integrals import along_path, inner
from .paths import move
from .surrogate_gradient import Choice, GradientField, surrogate_gradient, true_gradient


def sign_agreement(first: PyTree, second: PyTree) -> float:
    """Share of entries in which two gradients have the same sign (0 agrees with 0 only).

    Args:
        first, second: arrays, or pytrees of one structure, of which only floating-point arrays count.

    Raises:
        ValueError: other structures or shapes, or nothing to compare.
    """
    pairs = [
        [np.asarray(x, float) for x in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array_like))]
        for tree in (as_vector("first", first), as_vector("second", second))
    ]
    shapes = [[x.shape for x in leaves] for leaves in pairs]
    if shapes[0] != shapes[1] or not shapes[0]:
        raise ValueError(
            f"second: expected arrays of shapes {shapes[0]} like the first, got {shapes[1]}."
        )
    first_signs, second_signs = (
        np.sign(np.concatenate([x.ravel() for x in leaves])) for leaves in pairs
    )
    return float(np.mean(first_signs == second_signs))


@readable
class BiasProfile(NamedTuple):
    """The result of ``bias_profile``; arrays along the path. Prints itself in a few lines."""

    positions: np.ndarray
    """The path's argument, 0 to 1."""
    output: np.ndarray
    """The function itself."""
    gradient: np.ndarray
    """Its true derivative along the path, per unit of the path's argument."""
    surrogate: np.ndarray
    """The surrogate gradient along the path, likewise."""
    integrated: np.ndarray
    """The integral of the surrogate gradient from the start, plus the output there."""

    @property
    def minimum(self) -> float:
        """Position of the lowest output."""
        return float(self.positions[np.argmin(self.output)])

    @property
    def surrogate_minimum(self) -> float:
        """Position of the minimum of the integrated surrogate gradient: where descent would end."""
        return float(self.positions[np.argmin(self.integrated)])

    @property
    def displacement(self) -> float:
        """From the true minimum to that of the integrated surrogate gradient."""
        return self.surrogate_minimum - self.minimum

    def wrong_sign(self, negligible: float = 0.0) -> float:
        """Share of the positions at which the surrogate gradient has not the sign of the true one.

        Args:
            negligible: positions count only if the true gradient is larger than this fraction of its
                largest absolute value. NaN if none does.
        """
        check_fraction("negligible", negligible)
        check_single(negligible=negligible)
        sizes = np.abs(self.gradient)
        counted = sizes > negligible * sizes.max() if negligible else sizes >= 0
        wrong = (np.sign(self.gradient) != np.sign(self.surrogate))[counted]
        return float(wrong.mean()) if wrong.size else float("nan")

    def plot(self, ax: Any = None) -> Any:
        """Draws output and integral, with a dotted line at the minimum of each.

        Around a closed path, such as ``circle``, the output comes back to where it began; where the integral
        ends beside it, the surrogate gradient is no gradient.

        Args:
            ax: Axes of Matplotlib; default new ones.

        Returns:
            The Axes.

        Raises:
            ModuleNotFoundError: Matplotlib is not installed.
        """
        from .. import plots

        curves = {"integral of the surrogate gradient": self.integrated}
        return plots.drawn(
            ax, plots.path_integrals, self.positions, self.output, curves, minima=True
        )

    def to_xarray(self) -> Any:
        """All fields but ``positions`` as an ``xarray.Dataset`` along the dimension ``position``.

        Raises:
            ModuleNotFoundError: xarray is not installed.
        """
        texts = {
            "output": "the function",
            "gradient": "true derivative along the path",
            "surrogate": "surrogate gradient along the path",
            "integrated": "integral of the surrogate gradient",
        }
        variables = {n: (("position",), getattr(self, n), text, "1") for n, text in texts.items()}
        return as_dataset(variables, {"position": self.positions}, title="bias along a path")

    def _summary(self) -> Summary:
        lines = [
            f"{name}: {_number(values[0])} at the start, {_number(values[-1])} at the end, lowest at "
            f"position {_number(lowest)}"
            for name, values, lowest in (
                ("output", self.output, self.minimum),
                ("integral", self.integrated, self.surrogate_minimum),
            )
        ]
        lines.append(f"wrong sign: {_percent(self.wrong_sign())} of the positions")
        title = f"surrogate gradient integrated along a path, {self.positions.size} points"
        return Summary(title, notes=lines)


def bias_profile(
    function: Callable[[PyTree], Array],
    path: Callable[[Array], PyTree],
    *,
    surrogate: Choice | None = None,
    num_points: int = 1001,
) -> BiasProfile:
    """Integrates the surrogate gradient along a path and compares it with the function itself.

    Args:
        function: from a network to a number: its output, or a loss.
        path: from a number between 0 and 1 to a network, as ``segment(start, stop)``.
        surrogate: as for ``surrogate_gradient``.
        num_points: equally spaced positions; integrals are trapezoidal. For networks of spikes the
            true gradient is zero away from jumps, and only minima can be compared.

    Raises:
        ValueError, TypeError: as ``surrogate_gradient`` and ``line_integral``.
    """
    check_integer("num_points", num_points, 2)
    s = np.linspace(0, 1, num_points)
    output = np.asarray(_outputs(function, path, jnp.asarray(s, float)), float)
    gradient = along_path(GradientField(function, true=True), path, s)
    declared = along_path(GradientField(function, surrogate), path, s)
    steps = (declared[1:] + declared[:-1]) / 2 * np.diff(s)
    integrated = output[0] + np.concatenate([[0.0], np.cumsum(steps)])
    return BiasProfile(s, output, gradient, declared, integrated)


@readable
class BiasMap(NamedTuple):
    """The result of ``bias_map``; the leading axes are first and second direction. Prints itself."""

    first: np.ndarray
    """Displacements along the first direction, shape ``(n,)``."""
    second: np.ndarray
    """Displacements along the second direction, shape ``(n,)``."""
    output: np.ndarray
    """Shape ``(n, n)``."""
    gradient: np.ndarray
    """The true gradient's components along the two directions, shape ``(n, n, 2)``."""
    surrogate: np.ndarray
    """Those of the surrogate gradient."""

    @property
    def wrong_sign(self) -> np.ndarray:
        """Share of the grid on which each component has the wrong sign, shape ``(2,)``."""
        return np.mean(np.sign(self.gradient) != np.sign(self.surrogate), axis=(0, 1))

    @property
    def cosine(self) -> np.ndarray:
        """Cosine of the angle between the two in the plane; NaN where one of them is zero."""
        dot = (self.gradient * self.surrogate).sum(-1)
        norms = np.linalg.norm(self.gradient, axis=-1) * np.linalg.norm(self.surrogate, axis=-1)
        return np.divide(dot, norms, out=np.full_like(dot, np.nan), where=norms > 0)

    def plot(self, ax: Any = None) -> Any:
        """Draws where both gradients descend (surrogate: orange), over the cosine of their angle.

        Args:
            ax: Axes of Matplotlib; default new ones.

        Returns:
            The Axes.

        Raises:
            ModuleNotFoundError: Matplotlib is not installed.
        """
        from .. import plots

        axis = plots.drawn(ax, plots.cosines, self.first, self.second, self.cosine)
        arrows = self.first, self.second, self.gradient, self.surrogate
        return plots.drawn(axis, plots.descents, *arrows)

    def to_xarray(self) -> Any:
        """Output, both gradients and their cosine as an ``xarray.Dataset``.

        Returns:
            ``output`` and ``cosine`` along ``first`` and ``second``; ``gradient`` and ``surrogate`` along
            these and ``component``.

        Raises:
            ModuleNotFoundError: xarray is not installed.
        """
        plane = ("first", "second")
        variables = {
            "output": (plane, self.output, "the function", "1"),
            "gradient": ((*plane, "component"), self.gradient, "true gradient", "1"),
            "surrogate": ((*plane, "component"), self.surrogate, "surrogate gradient", "1"),
            "cosine": (plane, self.cosine, "cosine of the angle between them", "1"),
        }
        coordinates = {"first": self.first, "second": self.second, "component": [*plane]}
        return as_dataset(variables, coordinates, title="bias in a plane")

    def _summary(self) -> Summary:
        wrong = [_percent(share) for share in self.wrong_sign]
        cosine = self.cosine[np.isfinite(self.cosine)]
        lines = [
            f"output: {_number(self.output.min())} to {_number(self.output.max())}",
            f"wrong sign: {wrong[0]} of the points along the first direction, {wrong[1]} along the second",
        ]
        if cosine.size:
            low, mean = _number(cosine.min()), _number(cosine.mean())
            lines.append(f"cosine of the angle between both gradients: mean {mean}, lowest {low}")
        shape = " x ".join(map(str, self.output.shape))
        return Summary(f"true and surrogate gradient in a plane, {shape} points", notes=lines)


def bias_map(
    function: Callable[[PyTree], Array],
    network: PyTree,
    first: PyTree,
    second: PyTree,
    *,
    extent: float = 1.0,
    surrogate: Choice | None = None,
    num_points: int = 41,
) -> BiasMap:
    """True and surrogate gradient on a square in the plane of two directions around a network.

    Args:
        function: from a network to a number.
        network: the centre.
        first, second: directions, as for ``circle``.
        extent: displacements go from ``-extent`` to ``extent``, in units of the directions.
        surrogate: as for ``surrogate_gradient``.
        num_points: per direction.

    Raises:
        ValueError, TypeError: as ``surrogate_gradient``.
    """
    check_integer("num_points", num_points, 2)
    check_positive("extent", extent)
    check_single(extent=extent)
    network = as_network("network", network)
    first, second = as_network("first", first), as_network("second", second)
    axis = np.linspace(-extent, extent, num_points)
    grid = jnp.asarray(np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2), float)
    fields = _plane(function, network, (first, second), surrogate, grid)
    output, gradient, declared = (np.asarray(x, float) for x in fields)
    square = (num_points, num_points)
    return BiasMap(
        axis, axis, output.reshape(square),
        gradient.reshape(*square, 2), declared.reshape(*square, 2),
    )  # fmt: skip


def _number(value: Any) -> str:
    return short(value, 4)


def _percent(share: Any) -> str:
    return f"{100 * float(share):.1f} %"


@eqx.filter_jit
def _outputs(function: Callable, path: Callable, s: Array) -> Array:
    return jax.lax.map(lambda s: function(path(s)), s)


@eqx.filter_jit
def _plane(
    function: Callable, network: PyTree, directions: tuple, surrogate: Choice | None, grid: Array
) -> tuple:
    directions = tuple(split(d).parameters for d in directions)

    def of_point(at: Array) -> tuple:
        net = move(network, *zip(at, directions, strict=True))
        true = true_gradient(function, net)
        declared = surrogate_gradient(function, net, surrogate=surrogate)
        components = [[inner(g, d) for d in directions] for g in (true, declared)]
        return function(net), *(jnp.stack(c) for c in components)

    return jax.lax.map(of_point, grid)
