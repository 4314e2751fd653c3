"""Surrogate Lyapunov spectra of binary networks before and after flossing (Engelken & Abbott 2024).

The first k = 1, 16 or 32 of 80 exponents are flossed. Published: the flossed ones end within 0.06 of
zero, a gap opens behind the k-th, and the rest stays near where it was. The published caption says
sharpness 1; its spectrum before flossing is that of sharpness 0.5, which is used here. All steps of a
window count, from the network's initial state, and Adam's gradients are clipped at 1/k. For k = 1 flossing is
that of ``binary-first-exponent``, as in the publication. Many exponents come in equal pairs, those of a
rotation: where the k-th and the next are one, both go to zero and the gap is behind the second. Gaps so
depend on the networks, and the mean of nine, as published, on chance: here there are 36.
"""

import dataclasses
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ...floss import Before
from ...runs.plots import COLOURS, style
from ...tasks import DelayedXOR
from ..lab.claims import Claim, Result
from ..lab.flossed import Networks, binary_cell
from ..lab.published import curves
from . import first_exponent as binary_first_exponent


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied."""

    hidden_size: int = 80
    flossed: tuple[int, ...] = (1, 16, 32)
    """Numbers k of flossed exponents: those of the published panels."""
    networks: int = 36
    steps: int = 300
    learning_rate: float = 1e-3
    """At the first step; it falls to a tenth."""
    starts: int = 4
    clip_norm: float = 1.0
    """Divided by k, as gradients of a mean over k exponents are."""
    window: int = 90
    of_one: binary_first_exponent.Settings = binary_first_exponent.Settings()
    """Whose flossing is used for k = 1."""
    sharpness: float = 0.5
    delay: int = 18
    measured_steps: int = 2000
    seed: int = 1

    def schedule(self, k: int) -> Before:
        """Flossing of the first k exponents: all steps of a window count, at a rate that falls."""
        return Before(
            num_exponents=k,
            steps_before=self.steps,
            learning_rate=self.learning_rate,
            clip_norm=self.clip_norm / k,
            num_starts=self.starts,
            window=self.window,
            warmup=0,
            state_warmup=0,
        )


QUICK = Settings(networks=9, steps=150, starts=2, measured_steps=500)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has nine networks and fewer steps, too few for k = 32."""
    settings = settings or (QUICK if quick else Settings())
    published = curves(
        "binary_spectrum", "flossed_exponents_k", "realisation", "index", "exponent_per_step"
    )
    cell = binary_cell(settings.hidden_size, settings.sharpness)
    networks = Networks(cell, DelayedXOR(settings.delay), settings.networks, settings.seed)
    spectra = {0: _measure(networks, networks.fresh, settings)}
    for k in settings.flossed:
        steps = settings.of_one.epochs if k == 1 else settings.steps
        schedule = settings.of_one.schedule() if k == 1 else settings.schedule(k)
        flossed, _ = networks.flossed(schedule, steps)
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
        each = _networks(published[k], k + 2)
        largest = np.abs(spectra[k][:, :k]).max(1)
        behind = slice(k + 2, upper + k // 2)
        claims += [
            Claim(
                f"k = {k}: largest |lambda_i| of the flossed (mean of networks)",
                float(np.abs(mean[k][:k]).max()),
                0.06,
                float(np.abs(theirs[k][:k]).max()),
            ),
            Claim(
                f"k = {k}: largest |lambda_i| of the flossed, median network",
                float(np.median(largest)),
                0.06,
                float(np.median(np.abs(each[:, :k]).max(1))),
            ),
            *_falls(k, 1, "gap behind the k-th exponent", spectra[k], each),
            _single(k, spectra[k], each),
            *_falls(k, 2, "fall from the k-th exponent to the second behind it", spectra[k], each),
            Claim(
                f"k = {k}: mean |change| of the exponents behind the gap, "
                f"{behind.start + 1} to {behind.stop}",
                float(np.abs(mean[k] - mean[0])[behind].mean()),
                0.1,
                float(np.abs(theirs[k] - theirs[0])[behind].mean()),
            ),
        ]
    return claims


def _networks(published: dict[str, np.ndarray], count: int) -> np.ndarray:
    """The first exponents of the published networks, one row each."""
    rows = [dict(curve) for name, curve in published.items() if name != "mean"]
    return np.array([[row.get(i, np.nan) for i in range(1, count + 1)] for row in rows])


def _falls(k: int, over: int, text: str, ours: np.ndarray, theirs: np.ndarray) -> list[Claim]:
    """How far exponents fall from the k-th to one behind it, and whether it is the published fall.

    Networks differ much, so the difference of means is compared with its standard error.
    """
    falls = [each[:, k - 1] - each[:, k - 1 + over] for each in (ours, theirs)]
    mean, known = (float(fall.mean()) for fall in falls)
    error = float(np.sqrt(sum(fall.var(ddof=1) / len(fall) for fall in falls)))
    return [
        Claim(f"k = {k}: {text}", mean, known / 2, known, below=False),
        Claim(f"k = {k}: its |ours - published| in standard errors", abs(mean - known) / error, 2),
    ]


def _single(k: int, ours: np.ndarray, theirs: np.ndarray) -> Claim:
    """Whether as many networks have a gap right behind the k-th exponent as published ones."""
    ours, theirs = ((each[:, k - 1] - each[:, k]) > 0.05 for each in (ours, theirs))
    share, known = float(ours.mean()), float(theirs.mean())
    error = np.sqrt(share * (1 - share) / len(ours) + known * (1 - known) / len(theirs))
    return Claim(
        f"k = {k}: share of networks with a gap above 0.05 (ours {share:.2f}, published {known:.2f}): "
        "difference in standard errors",
        abs(share - known) / float(max(error, 1e-9)),
        2,
    )


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
            axis.plot(index, spectra[k].T, color=colour, linewidth=0.4, alpha=0.35)
            axis.plot(index, spectra[k].mean(0), color=colour, linewidth=1.4, label="after")
            axis.axvline(k + 0.5, color="k", linewidth=0.6, linestyle=":")
            axis.axhline(0, color="k", linewidth=0.6, linestyle=":")
            axis.set(xlabel="index i", title=f"k = {k} flossed", ylim=(-2.0, 0.2))
        axes[0].set_ylabel("surrogate exponent $\\lambda_i$ (nats per step)")
        axes[0].legend(loc="lower left")
    return figure
