"""Lyapunov spectra of tanh networks before and after flossing, and what training does to them.

Gradient flossing controls one exponent or many (Engelken 2023): the first k = 1, 16, 32 or 75 of 80 are
flossed. The flossed networks are then trained on delayed XOR without any further flossing, to see how long
their spectra stay.
"""

import dataclasses

import numpy as np
from matplotlib.figure import Figure

from ...runs.plots import COLOURS, style
from ...training import Network, begin, train_block
from ..lab.claims import Claim, Result
from ..lab.flossed import FlossingSettings, Networks


@dataclasses.dataclass(frozen=True)
class Settings(FlossingSettings):
    """What may be varied."""

    rate_of_many: float | None = 5e-3
    flossed: tuple[int, ...] = (1, 16, 32, 75)
    """Numbers k of flossed exponents."""
    steps: int = 400
    measured_steps: int = 2000
    epochs: int = 1000
    epochs_between: int = 100


QUICK = Settings(
    networks=3, steps=100, learning_rate=5e-3, measured_steps=500, epochs=100, epochs_between=25
)


def run(quick: bool = False, settings: Settings | None = None) -> Result:
    """Runs the experiment; the quick version has three networks and fewer steps and epochs."""
    settings = settings or (QUICK if quick else Settings())
    networks = settings.build()
    flossed = {0: networks.fresh}
    for k in settings.flossed:
        flossed[k] = networks.flossed(settings.schedule(k, settings.steps), settings.steps)[0]
    spectra = {
        k: networks.spectra(nets, settings.hidden_size, settings.measured_steps)
        for k, nets in flossed.items()
    }
    tracks = {k: _train(networks, flossed[k], settings) for k in (0, max(settings.flossed))}
    return Result(
        name="spectra",
        title="spectra of tanh networks before and after flossing, and during training",
        source="Engelken 2023 (gradient flossing); no published numbers",
        settings=dataclasses.asdict(settings),
        numbers={
            "spectra": {str(k): s.round(4).tolist() for k, s in spectra.items()},
            "during_training": {
                str(k): {str(e): s.round(4).tolist() for e, s in track.items()}
                for k, track in tracks.items()
            },
        },
        claims=_claims(spectra, settings),
        figure=_figure(spectra, tracks),
    )


def _train(networks: Networks, start: Network, settings: Settings) -> dict[int, np.ndarray]:
    """Spectra at intervals of training without flossing, by epoch."""
    trainer = networks.trainer(None)
    state = begin(start, trainer)
    count = settings.epochs_between
    found = {0: networks.spectra(start, settings.hidden_size, 500)}
    for epoch in range(count, settings.epochs + 1, count):
        state, _ = train_block(state, networks.keys, count, count, trainer)
        found[epoch] = networks.spectra(state.networks, settings.hidden_size, 500)
    return found


def _claims(spectra: dict[int, np.ndarray], settings: Settings) -> list[Claim]:
    claims = []
    for k in settings.flossed:
        median = np.median(np.abs(spectra[k][:, :k]), axis=0)
        claims.append(
            Claim(
                f"k = {k}: largest |lambda_i|, i <= {k} (median of networks), after flossing; "
                f"before {np.abs(np.median(spectra[0][:, :k], axis=0)).max():.2f}",
                float(median.max()),
                0.06,
            )
        )
    return claims


def _figure(spectra: dict[int, np.ndarray], tracks: dict[int, dict[int, np.ndarray]]) -> Figure:
    with style():
        figure = Figure(figsize=(10.5, 3.4), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        for (k, values), colour in zip(spectra.items(), ("0.4", *COLOURS), strict=False):
            index = np.arange(1, values.shape[1] + 1)
            label = "before" if k == 0 else f"k = {k}"
            for axis in (left, middle):
                axis.plot(index, values.T, color=colour, linewidth=0.4, alpha=0.5)
                axis.plot(index, np.median(values, 0), color=colour, linewidth=1.6, label=label)
        for axis in (left, middle):
            axis.axhline(0, color="k", linewidth=0.6, linestyle=":")
            axis.set(xlabel="index i", ylabel="exponent $\\lambda_i$ (nats per step)")
        left.legend(loc="lower left")
        left.set_title("spectra of 80 exponents")
        middle.set(ylim=(-0.5, 0.1), title="the same, near zero")
        for (k, track), colour in zip(tracks.items(), ("0.4", COLOURS[3]), strict=True):
            epochs = list(track)
            name = "not flossed" if k == 0 else f"k = {k}"
            for index, line in ((0, "-"), (15, "--"), (39, ":")):
                if index >= track[0].shape[1]:
                    continue
                values = np.array([s[:, index] for s in track.values()])
                right.plot(
                    epochs, np.median(values, 1), line, color=colour, linewidth=1.5,
                    label=f"{name}, $\\lambda_{{{index + 1}}}$",
                )  # fmt: skip
        right.axhline(0, color="k", linewidth=0.6, linestyle=":")
        right.set(
            xlabel="training epoch, no flossing",
            ylabel="exponent (median of networks)",
            title="during training on delayed XOR",
        )
        right.set_ylim(1.35 * right.get_ylim()[0], None)
        right.legend(loc="lower left", ncols=2, fontsize=7)
    return figure
