"""Surrogate gradients bias even differentiable networks: minima move, signs flip (Gygax & Zenke 2025).

A smooth network of steepness 100 with one free weight, and the surrogate gradients of steepness 15 and 30:
output, integrated surrogate gradient, signs. Then two free weights, steepness 20 against 2 and 4.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from ... import theory
from ...runs.plots import COLOURS, style
from ...surrogates import Sigmoid
from ..lab.claims import Claim, Result

PUBLISHED = {15.0: (0.2, 48.3), 30.0: (0.0088, 6.4)}
"""By steepness: position of the integrated surrogate gradient's minimum, wrong signs in per cent."""
MINIMUM = -0.0131


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    steepness: float = 100.0
    extent: float = 0.2
    """The weight w goes from minus this to this."""
    num_points: int = 4001
    negligible: float = 1e-6
    """Signs count where the true gradient exceeds this fraction of its largest value."""
    map_steepness: float = 20.0
    map_surrogates: tuple[float, ...] = (2.0, 4.0)
    map_extent: float = 2.0
    map_points: int = 81
    map_weight: float = 0.05
    """The value of w in the plane of v1 and v2."""


QUICK = Settings(num_points=1001, map_points=31)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has coarser grids."""
    settings = settings or (QUICK if quick else Settings())
    with jax.enable_x64(True):
        profiles = {beta: _profile(beta, settings) for beta in PUBLISHED}
        maps = {beta: _map(beta, settings) for beta in settings.map_surrogates}
    claims, numbers = [], {}
    for beta, (known, share) in PUBLISHED.items():
        profile = profiles[beta]
        minimum, moved = (_w(p, settings) for p in (profile.minimum, profile.surrogate_minimum))
        if beta == 15.0:
            text = f"|minimum of the output - published| (ours {minimum:+.4f})"
            claims.append(Claim(text, abs(minimum - MINIMUM), 2e-4, MINIMUM))
        text = f"beta_SG = {beta:g}: |minimum of the integral - published| (ours {moved:+.4f})"
        claims.append(Claim(text, abs(moved - known), 2e-4, known))
        wrong = 100 * profile.wrong_sign(settings.negligible)
        text = f"beta_SG = {beta:g}: |wrong signs - published|, points of % (ours {wrong:.2f} %)"
        claims.append(Claim(text, abs(wrong - share), 0.2, share))
        numbers[str(beta)] = {
            "minimum_of_output": minimum,
            "minimum_of_integral": moved,
            "wrong_sign_percent": wrong,
            "wrong_sign_percent_everywhere": 100 * profile.wrong_sign(),
        }
    for beta, found in maps.items():
        numbers[f"map {beta:g}"] = {
            "wrong_sign_percent": (100 * found.wrong_sign).tolist(),
            "negative_cosine_percent": 100 * float(np.mean(found.cosine < 0)),
        }
    return Result(
        name="bias",
        title="bias of surrogate gradients in differentiable networks",
        source="Gygax & Zenke 2025",
        settings=dataclasses.asdict(settings),
        numbers=numbers,
        claims=claims,
        figure=_figure(profiles, maps, settings),
    )


def _output(network: theory.TwoPathNet) -> Any:
    return network()


def _logistic(sharpness: float) -> Sigmoid:
    # An array: fields that differ in it are compiled once.
    return Sigmoid(jnp.asarray(sharpness, float), normalise="area")


def _profile(beta: float, settings: Settings) -> theory.BiasProfile:
    step = theory.SmoothStep(_logistic(settings.steepness))
    ends = (
        theory.TwoPathNet(jnp.array([w, 0.05, 0.1, 1.0, -1.0]), step)
        for w in (-settings.extent, settings.extent)
    )
    return theory.bias_profile(
        _output,
        theory.segment(*ends),
        surrogate=_logistic(beta),
        num_points=settings.num_points,
    )


def _map(beta: float, settings: Settings) -> theory.BiasMap:
    step = theory.SmoothStep(_logistic(settings.map_steepness))
    centre, first, second = (
        theory.TwoPathNet(jnp.array(p, float), step)
        for p in ([settings.map_weight, 0, 0, 1, -1], [0, 1, 0, 0, 0], [0, 0, 1, 0, 0])
    )
    return theory.bias_map(
        _output,
        centre,
        first,
        second,
        extent=settings.map_extent,
        surrogate=_logistic(beta),
        num_points=settings.map_points,
    )


def _w(position: float, settings: Settings) -> float:
    return settings.extent * (2 * position - 1)


def _figure(profiles: dict, maps: dict, settings: Settings) -> Figure:
    with style():
        figure = Figure(figsize=(10.5, 6.0), layout="constrained")
        top, bottom = figure.subplots(2, 3)
        output, integrated, slope = top
        shown = profiles[15.0]
        w = _w(shown.positions, settings)
        output.plot(w, shown.output, color="0.3")
        output.axvline(_w(shown.minimum, settings), color="0.3", linestyle=":", linewidth=1)
        output.set(xlabel="weight w", ylabel="output y", title="the function")
        scale = np.abs(shown.gradient).max()
        slope.plot(w, shown.gradient / scale, color="0.3", label="true")
        for (beta, profile), colour in zip(profiles.items(), COLOURS, strict=False):
            label = f"$\\beta_{{SG}} = {beta:g}$"
            integrated.plot(w, profile.integrated, color=colour, label=label)
            integrated.axvline(
                _w(profile.surrogate_minimum, settings), color=colour, linestyle=":", linewidth=1
            )
            values = profile.surrogate / np.abs(profile.surrogate).max()
            slope.plot(w, values, color=colour, label=label)
        integrated.set(
            xlabel="weight w",
            ylabel="integral of the surrogate gradient",
            title="where descent would end (dotted)",
        )
        integrated.legend(loc="best")
        slope.axhline(0, color="k", linewidth=0.6, linestyle=":")
        slope.set(
            xlabel="weight w", ylabel="gradient / largest |gradient|", title="gradients along w"
        )
        slope.legend(loc="best")
        _maps(figure, bottom, maps)
    return figure


def _maps(figure: Figure, axes: Any, maps: dict) -> None:
    first = next(iter(maps.values()))
    image = axes[0].pcolormesh(
        first.first, first.second, first.output.T, cmap="viridis", rasterized=True
    )
    axes[0].set(xlabel="$v_1$", ylabel="$v_2$", aspect="equal", title="output y")
    figure.colorbar(image, ax=axes[0], shrink=0.85, label="y")
    thin = slice(len(first.first) // 20, None, max(len(first.first) // 10, 1))
    for axis, (beta, found) in zip(axes[1:], maps.items(), strict=False):
        image = axis.pcolormesh(
            found.first, found.second, found.cosine.T, cmap="Blues_r", vmin=0, vmax=1,
            rasterized=True,
        )  # fmt: skip
        for values, colour in ((found.gradient, "0.1"), (found.surrogate, COLOURS[4])):
            arrows = -values[thin, thin]
            lengths = np.linalg.norm(arrows, axis=-1, keepdims=True)
            arrows = np.divide(arrows, lengths, out=np.zeros_like(arrows), where=lengths > 0)
            grid = np.meshgrid(found.first[thin], found.second[thin], indexing="ij")
            axis.quiver(*grid, arrows[..., 0], arrows[..., 1], color=colour, scale=16, width=0.006)
        axis.set(
            xlabel="$v_1$", ylabel="$v_2$", aspect="equal",
            title=f"$\\beta_{{SG}} = {beta:g}$: true (black), surrogate (orange)",
        )  # fmt: skip
        figure.colorbar(image, ax=axis, shrink=0.85, label="cosine of the angle")
