"""Lyapunov spectra of tanh networks before and after flossing, and what training does to them."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from ...plots import COLOURS, spectra, style
from ...training import Network, begin, train_block
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Report
from ..lab.flossed import Networks
from ..lab.published import Published
from .flossed_tanh import Flossed, FlossedTanh

_STEPS_IN_TRAINING = 500
"""Over which exponents are measured between epochs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spectra(FlossedTanh):
    """Spectra of networks with k exponents flossed, and how long they stay in training.

    Gradient flossing controls one exponent or many: the first k = 1, 16, 32 or 75 of 80 are flossed. The
    networks with most of them flossed, and those with none, are then trained on delayed XOR without any
    further flossing.
    """

    title = "spectra of tanh networks before and after flossing, and during training"
    source = "Engelken 2023 (gradient flossing); no published numbers"
    shows = (
        "Flossing brings the first exponent, or the first 75 of 80, near zero and leaves the others. "
        "Training without further flossing lets them fall again, slowly."
    )
    flossed: tuple[int, ...] = (1, 16, 32, 75)
    steps: int = 400
    epochs: int = 1000
    """Of training without flossing."""
    epochs_between: int = 100
    """Between two measurements."""

    @classmethod
    def quick(cls) -> Self:
        """Three networks, fewer steps and epochs."""
        return cls(
            networks=3, steps=100, learning_rate=5e-3, measured_steps=500, epochs=100,
            epochs_between=25,
        )  # fmt: skip

    def cases(self) -> dict[Flossed, Callable[[Report], xr.Dataset]]:
        """Networks by how many exponents are flossed."""
        return {Flossed(k): functools.partial(self.spectrum, k) for k in (0, *self.flossed)}

    def spectrum(self, num_exponents: int, report: Report) -> xr.Dataset:
        """``exponents`` (network, index); of the trained also ``in_training`` (epoch, network, index)."""
        networks = self.fresh()
        report("flossing")
        current = self.after_flossing(networks, num_exponents)
        spectra = networks.spectra(current, self.hidden_size, self.measured_steps)
        variables: dict[str, Any] = {"exponents": (("network", "index"), spectra)}
        if num_exponents in (0, max(self.flossed)):
            track = self._train(networks, current, report)
            variables["in_training"] = (("epoch", "network", "index"), np.array([*track.values()]))
            variables["epoch"] = [*track]
        return xr.Dataset(variables)

    def _train(self, networks: Networks, start: Network, report: Report) -> dict[int, np.ndarray]:
        """Spectra at intervals of training without flossing, by epoch."""
        trainer = networks.trainer(None)
        state = begin(start, trainer)
        count = self.epochs_between
        by_epoch = {0: networks.spectra(start, self.hidden_size, _STEPS_IN_TRAINING)}
        for epoch in range(count, self.epochs + 1, count):
            state, _ = train_block(state, networks.keys, count, count, trainer)
            by_epoch[epoch] = networks.spectra(state.networks, self.hidden_size, _STEPS_IN_TRAINING)
            report(f"epoch {epoch} of {self.epochs}")
        return by_epoch

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Flossed exponents are near zero."""
        before = np.abs(np.median(data[Flossed(0)]["exponents"], 0))
        for k in self.flossed:
            after = np.median(np.abs(data[Flossed(k)]["exponents"][:, :k]), 0)
            text = (
                f"k = {k}: largest |lambda_i|, i <= {k} (median of networks), after flossing; before "
                f"{before[:k].max():.2f}"
            )
            yield Claim.at_most(text, float(after.max()), 0.06)

    def figure(self, data: Data, published: Published) -> Figure:
        """Spectra, the same near zero, and some exponents during training."""
        by_number = {
            "before" if case.num_exponents == 0 else f"k = {case.num_exponents}": part["exponents"]
            for case, part in data.items()
        }
        with style():
            figure = Figure(figsize=(10.5, 3.4), layout="constrained")
            whole, near_zero, training = figure.subplots(1, 3)
            for axis in (whole, near_zero):
                spectra(axis, by_number, colours=("0.4", *COLOURS))
            whole.legend(loc="lower left")
            whole.set_title(f"spectra of {self.hidden_size} exponents")
            near_zero.set(ylim=(-0.5, 0.1), title="the same, near zero")
            for k, colour in ((0, "0.4"), (max(self.flossed), COLOURS[3])):
                name = "not flossed" if k == 0 else f"k = {k}"
                _in_training(training, data[Flossed(k)], name, colour)
            training.axhline(0, color="k", linewidth=0.6, linestyle=":")
            training.set(
                xlabel="training epoch, no flossing", ylabel="exponent (median of networks)",
                title="during training on delayed XOR",
            )  # fmt: skip
            training.set_ylim(1.35 * training.get_ylim()[0], None)
            training.legend(loc="lower left", ncols=2, fontsize=7)
        return figure


def _in_training(axis: Any, part: xr.Dataset, name: str, colour: str) -> None:
    """The 1st, 16th and 40th exponent against the epoch."""
    medians = np.median(part["in_training"], 1)
    for index, line in ((0, "-"), (15, "--"), (39, ":")):
        if index < medians.shape[1]:
            axis.plot(
                part["epoch"], medians[:, index], line, color=colour, linewidth=1.5,
                label=f"{name}, $\\lambda_{{{index + 1}}}$",
            )  # fmt: skip
