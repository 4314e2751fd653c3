"""Surrogate Lyapunov spectra of binary networks before and after flossing (Engelken & Abbott 2024).

The first k = 1, 16 or 32 of 80 exponents are flossed. Published: the flossed ones end within 0.06 of
zero, a gap opens behind the k-th, and the rest stays near where it was. The published caption says
sharpness 1; its spectrum before flossing is that of sharpness 0.5, which is used here. Gradients go through
the counted steps only, not through those that turn the basis, and leave the means of rows as they are:
both flatten the flossed exponents. Steps are small and their gradients clipped: one exploding window would
otherwise push all exponents away for hundreds of steps. Each network is taken from where the mean of its
flossing loss was lowest, in case it ran away later. Many exponents come in equal pairs, those of a
rotation: where the k-th and the next are one, both go to zero and the gap is behind the second.
"""

import dataclasses
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..floss import Flossing
from ..runs.config import CellConfig, TaskConfig
from ..runs.plots import COLOURS, style
from ._flossed import Networks
from ._published import curves
from ._result import Claim, Result


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    hidden_size: int = 80
    flossed: tuple[int, ...] = (1, 16, 32)
    """Numbers k of flossed exponents: those of the published panels."""
    networks: int = 9
    steps: int = 600
    learning_rate: float = 1e-3
    """At the first step; it falls to a tenth."""
    clip_norm: float = 0.01
    starts: int = 16
    window: int = 175
    basis_warmup: int = 100
    """Steps of the window that turn the basis; no gradient goes through them."""
    sharpness: float = 0.5
    delay: int = 18
    measured_steps: int = 2000
    seed: int = 1


QUICK = Settings(networks=3, steps=150, starts=1, window=100, basis_warmup=50, measured_steps=500)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has three networks and fewer steps."""
    settings = settings or (QUICK if quick else Settings())
    published = curves(
        "binary_spectrum", "flossed_exponents_k", "realisation", "index", "exponent_per_step"
    )
    cell = CellConfig("binary", settings.hidden_size, sharpness=settings.sharpness)
    networks = Networks(cell, TaskConfig("xor", settings.delay), settings.networks, settings.seed)
    spectra = {0: _measure(networks, networks.fresh, settings)}
    for k in settings.flossed:
        flossing = Flossing(
            num_exponents=k,
            steps_before=settings.steps,
            learning_rate=settings.learning_rate,
            clip_norm=settings.clip_norm,
            starts=settings.starts,
            window=settings.window,
            basis_warmup=settings.basis_warmup,
            detach_warmup=True,
            centred=True,
        )
        flossed, _ = networks.flossed(flossing, settings.steps, best=True)
        spectra[k] = _measure(networks, flossed, settings)
    return Result(
        name="binary-spectra",
        title="surrogate spectra of binary networks before and after flossing",
        source="Engelken & Abbott 2024 (surrogate gradient flossing), curves read from the figure",
        settings=dataclasses.asdict(settings),
        numbers={
            "spectra": {str(k): s.round(4).tolist() for k, s in spectra.items()},
            "published_mean": {str(int(k)): c["mean"].tolist() for k, c in published.items()},
        },
        claims=_claims(spectra, published),
        figure=_figure(spectra, published),
    )


def _measure(networks: Networks, current: Any, settings: Settings) -> np.ndarray:
    return networks.spectra(current, settings.hidden_size, settings.measured_steps)


def _claims(
    spectra: dict[int, np.ndarray], published: dict[float, dict[str, np.ndarray]]
) -> list[Claim]:
    mean = {k: s.mean(0) for k, s in spectra.items()}
    theirs = {k: published[k]["mean"][:, 1] for k in spectra}
    upper = len(mean[0]) // 2
    claims = [
        Claim(
            f"before: mean |lambda_i - published|, i <= {upper}",
            float(np.abs(mean[0][:upper] - theirs[0][:upper]).mean()),
            0.05,
        )
    ]
    for k in spectra:
        if k == 0:
            continue
        gap = float(mean[k][k - 1] - mean[k][k])
        known = float(theirs[k][k - 1] - theirs[k][k])
        drop = float(mean[k][k - 1] - mean[k][k + 1])
        fall = float(theirs[k][k - 1] - theirs[k][k + 1])
        claims += [
            Claim(
                f"k = {k}: largest |lambda_i| of the flossed (mean of networks)",
                float(np.abs(mean[k][:k]).max()),
                0.06,
                float(np.abs(theirs[k][:k]).max()),
            ),
            Claim(
                f"k = {k}: largest |lambda_i| of the flossed, worst network",
                float(np.abs(spectra[k][:, :k]).max()),
                0.12,
            ),
            Claim(f"k = {k}: gap behind the k-th exponent", gap, known / 2, known, below=False),
            Claim(
                f"k = {k}: fall from the k-th exponent to the second behind it",
                drop,
                fall / 2,
                fall,
                below=False,
            ),
            Claim(
                f"k = {k}: mean |change| of the exponents behind the gap, {k + 3} to {upper + k // 2}",
                float(np.abs(mean[k] - mean[0])[k + 2 : upper + k // 2].mean()),
                0.1,
                float(np.abs(theirs[k] - theirs[0])[k + 2 : upper + k // 2].mean()),
            ),
        ]
    return claims


def _figure(
    spectra: dict[int, np.ndarray], published: dict[float, dict[str, np.ndarray]]
) -> Figure:
    with style():
        figure = Figure(figsize=(10.5, 3.3), layout="constrained")
        axes = figure.subplots(1, len(spectra) - 1, sharey=True, squeeze=False)[0]
        for axis, k, colour in zip(axes, [k for k in spectra if k], COLOURS, strict=False):
            axis.plot(
                *published[0]["mean"].T, color="0.7", linewidth=2.6, label="published, before"
            )
            axis.plot(*published[k]["mean"].T, color="0.4", linewidth=2.6, label="published, after")
            index = np.arange(1, len(spectra[k][0]) + 1)
            axis.plot(index, spectra[0].mean(0), "--", color=colour, linewidth=1.2, label="before")
            axis.plot(index, spectra[k].T, color=colour, linewidth=0.5, alpha=0.6)
            axis.plot(index, spectra[k].mean(0), color=colour, linewidth=1.4, label="after")
            axis.axvline(k + 0.5, color="k", linewidth=0.6, linestyle=":")
            axis.axhline(0, color="k", linewidth=0.6, linestyle=":")
            axis.set(xlabel="index i", title=f"k = {k} flossed", ylim=(-2.0, 0.2))
        axes[0].set_ylabel("surrogate exponent $\\lambda_i$ (nats per step)")
        axes[0].legend(loc="lower left")
    return figure
