"""Surrogate gradients bias even differentiable networks: minima move, signs flip (Gygax & Zenke 2025)."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ... import theory
from ...plots import COLOURS, cosines, descents, style
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Report
from ..lab.published import Published
from .two_paths import logistic, output

PUBLISHED = {15.0: (0.2, 48.3), 30.0: (0.0088, 6.4)}
"""By steepness: position of the integrated surrogate gradient's minimum, wrong signs in per cent."""
MINIMUM = -0.0131
"""Published position of the lowest output."""
POINTS = 600
"""Of a curve that is kept, at most."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """One free weight, and surrogate gradients of one steepness."""

    steepness: float


@dataclasses.dataclass(frozen=True)
class Plane:
    """Two free weights, and surrogate gradients of one steepness."""

    steepness: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bias(Experiment):
    """Surrogate gradients along one weight, and in a plane of two.

    A smooth network of steepness 100 with one free weight, and the surrogate gradients of steepness 15 and
    30: output, integrated surrogate gradient, signs. Signs count where the true gradient is larger than 1e-6
    of its largest value; elsewhere the function is flat. Then two free weights, steepness 20 against 2 and 4.
    All in double precision.
    """

    title = "bias of surrogate gradients in differentiable networks"
    source = "Gygax & Zenke 2025"
    shows = (
        "Even in a differentiable network, surrogate gradients have the wrong sign on up to half of the "
        "points that count, and lead to other minima. Positions and shares are the published ones."
    )
    steepness: float = 100.0
    """Of the network with one free weight."""
    extent: float = 0.2
    """The weight w goes from minus this to this."""
    num_points: int = 4001
    """Along w."""
    negligible: float = 1e-6
    """Signs count where the true gradient exceeds this fraction of its largest value."""
    map_steepness: float = 20.0
    """Of the network with two free weights, v1 and v2."""
    map_surrogates: tuple[float, ...] = (2.0, 4.0)
    """Steepnesses of its surrogate gradients."""
    map_extent: float = 2.0
    """Both weights go from minus this to this."""
    map_points: int = 81
    """In each direction."""
    map_weight: float = 0.05
    """The value of w in the plane of v1 and v2."""

    @classmethod
    def quick(cls) -> Self:
        """Coarser grids."""
        return cls(num_points=1001, map_points=31)

    def cases(self) -> dict[Any, Callable[[Report], xr.Dataset]]:
        """Both profiles, and the plane with each surrogate gradient."""
        return {
            **{Profile(beta): functools.partial(self.profile, beta) for beta in PUBLISHED},
            **{Plane(beta): functools.partial(self.plane, beta) for beta in self.map_surrogates},
        }

    @jax.enable_x64(True)
    def profile(self, beta: float, report: Report) -> xr.Dataset:
        """Output and gradients along ``weight``; where both minima are; wrong signs in per cent."""
        step = theory.SmoothStep(logistic(self.steepness))
        ends = (
            theory.TwoPathNet(jnp.array([w, 0.05, 0.1, 1.0, -1.0]), step)
            for w in (-self.extent, self.extent)
        )
        profile = theory.bias_profile(
            output,
            theory.segment(*ends),
            surrogate=logistic(beta),
            num_points=self.num_points,
        )
        kept = slice(None, None, -(-self.num_points // POINTS))
        curves = {
            "output": profile.output,
            "integrated": profile.integrated,
            "gradient": profile.gradient / np.abs(profile.gradient).max(),
            "surrogate": profile.surrogate / np.abs(profile.surrogate).max(),
        }
        return xr.Dataset(
            {name: ("weight", np.asarray(curve)[kept]) for name, curve in curves.items()}
            | {
                "minimum": self._weight(profile.minimum),
                "surrogate_minimum": self._weight(profile.surrogate_minimum),
                "wrong_sign": 100 * profile.wrong_sign(self.negligible),
                "wrong_sign_everywhere": 100 * profile.wrong_sign(),
            },
            coords={"weight": self._weight(profile.positions)[kept]},
        )

    def _weight(self, position: Any) -> Any:
        """The weight at a position along the segment, 0 to 1."""
        return self.extent * (2 * position - 1)

    @jax.enable_x64(True)
    def plane(self, beta: float, report: Report) -> xr.Dataset:
        """Output and cosine between both gradients, on a grid; gradients themselves on a coarser one."""
        step = theory.SmoothStep(logistic(self.map_steepness))
        nets = (
            theory.TwoPathNet(jnp.array(p, float), step)
            for p in ([self.map_weight, 0, 0, 1, -1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0])
        )
        plane = theory.bias_map(
            output,
            *nets,
            extent=self.map_extent,
            surrogate=logistic(beta),
            num_points=self.map_points,
        )
        size = self.map_points
        thin = slice(size // 20, None, max(size // 10, 1))
        grid, arrows = ("first", "second"), ("arrow_first", "arrow_second", "component")
        return xr.Dataset(
            {
                "output": (grid, plane.output.astype("f4")),
                "cosine": (grid, plane.cosine.astype("f4")),
                "gradient": (arrows, plane.gradient[thin, thin]),
                "surrogate": (arrows, plane.surrogate[thin, thin]),
            },
            coords={
                "first": plane.first, "second": plane.second,
                "arrow_first": plane.first[thin], "arrow_second": plane.second[thin],
            },
        )  # fmt: skip

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Published minima, and published shares of wrong signs."""
        for beta, (moved, share) in PUBLISHED.items():
            numbers = {name: x.item() for name, x in data[Profile(beta)].items() if not x.ndim}
            if beta == 15.0:
                text = "minimum of the output"
                yield Claim.near(text, numbers["minimum"], MINIMUM, within=2e-4, source=self.source)
            for text, name, known, within in (
                ("minimum of the integral", "surrogate_minimum", moved, 2e-4),
                ("wrong signs, %", "wrong_sign", share, 0.2),
            ):
                text, ours = f"beta_SG = {beta:g}: {text}", numbers[name]
                yield Claim.near(text, ours, known, within=within, source=self.source)

    def figure(self, data: Data, published: Published) -> Figure:
        """Output, integrals and gradients along a weight; output and directions in a plane."""
        profiles = {case.steepness: part for case, part in data.where(Profile).items()}
        planes = {case.steepness: part for case, part in data.where(Plane).items()}
        with style():
            figure = Figure(figsize=(10.5, 6.0), layout="constrained")
            top, bottom = figure.subplots(2, 3)
            _profiles(top, profiles)
            _output_panel(figure, bottom[0], next(iter(planes.values())))
            for axis, (beta, part) in zip(bottom[1:], planes.items(), strict=False):
                _directions(axis, part)
                axis.set_title(f"$\\beta_{{SG}} = {beta:g}$: true (black), surrogate (orange)")
        return figure


def _profiles(axes: Any, profiles: dict[float, xr.Dataset]) -> None:
    output, integrated, slope = axes
    shown = next(iter(profiles.values()))
    w = shown["weight"]
    output.plot(w, shown["output"], color="0.3")
    output.axvline(shown["minimum"].item(), color="0.3", linestyle=":", linewidth=1)
    slope.plot(w, shown["gradient"], color="0.3", label="true")
    for (beta, part), colour in zip(profiles.items(), COLOURS, strict=False):
        label, moved = f"$\\beta_{{SG}} = {beta:g}$", part["surrogate_minimum"].item()
        integrated.plot(w, part["integrated"], color=colour, label=label)
        integrated.axvline(moved, color=colour, linestyle=":", linewidth=1)
        slope.plot(w, part["surrogate"], color=colour, label=label)
    slope.axhline(0, color="k", linewidth=0.6, linestyle=":")
    output.set(ylabel="output y", title="the function")
    integrated.set(
        ylabel="integral of the surrogate gradient", title="where descent would end (dotted)"
    )
    slope.set(ylabel="gradient / largest |gradient|", title="gradients along w")
    for axis in axes:
        axis.set_xlabel("weight w")
    for axis in (integrated, slope):
        axis.legend(loc="best")


def _output_panel(figure: Figure, axis: Any, part: xr.Dataset) -> None:
    values = part["output"].values.T
    image = axis.pcolormesh(part["first"], part["second"], values, cmap="viridis", rasterized=True)
    axis.set(xlabel="$v_1$", ylabel="$v_2$", aspect="equal", title="output y")
    figure.colorbar(image, ax=axis, shrink=0.85, label="y")


def _directions(axis: Any, part: xr.Dataset) -> None:
    """Directions in which both gradients descend, over the cosine of the angle between them."""
    cosines(axis, part["first"], part["second"], part["cosine"].values)
    arrows = (part[name].values for name in ("gradient", "surrogate"))
    descents(axis, part["arrow_first"], part["arrow_second"], *arrows)
    axis.set(xlabel="$v_1$", ylabel="$v_2$")
