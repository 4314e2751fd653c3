"""The kinds of binary networks that learn delayed XOR."""

import dataclasses

from ..floss import Adaptive, Flossing
from ..floss.schedules import Schedule
from ..runs import CellConfig, RunConfig, TaskConfig
from ..training import Training


@dataclasses.dataclass(frozen=True)
class Kind:
    """Networks of one kind: how they start, are trained and are flossed."""

    name: str
    cell: CellConfig
    training: Training = Training()
    adaptive: Adaptive = Adaptive("both", every=5, band=0.3, look_starts=8)
    rate: float = 1e-3
    """Of the flossing steps of the weights, if they are flossed, up to a delay of ``full_rate_until``;
    beyond, it falls with the square of the delay, or flossing outruns what training learns."""
    full_rate_until: int = 18
    steps_before: int = 800
    """Flossing steps of the weights, in networks that are flossed before training alone."""
    rate_before: float = 4e-3
    """Of these; it falls to a tenth."""
    level: float = -1.0
    """Where exponents are held, times the delay."""

    def run(
        self, delay: int, schedule: Schedule, epochs: int, networks: int, seed: int
    ) -> RunConfig:
        """One of the runs; gradients of flossing steps go through one step of the states.

        Before training it is the weights that are flossed, whatever adaptive flossing moves.
        """
        before = schedule == "before"
        weights = before or self.adaptive.control == "both"
        during = self.rate * min(1, self.full_rate_until / delay) ** 2
        rate = self.rate_before if before else during
        flossing = Flossing(
            schedule,
            20 if weights else 1,
            targets=(self.level / delay,),
            steps_before=self.steps_before if before else 0,
            learning_rate=rate,
            final_learning_rate=rate / 10 if before else rate,
            clip_norm=0.0,
            detach_states=True,
            detach_warmup=True,
            renormalise_every=1,
            adaptive=self.adaptive,
        )
        return RunConfig(
            task=TaskConfig("xor", delay),
            cell=self.cell,
            flossing=flossing,
            training=dataclasses.replace(self.training, epochs=epochs),
            realisations=networks,
            seed=seed,
            measure_every=0,
        )


_BINARY = CellConfig("binary", 80, sharpness=1.0, centred=True)
_MEMBRANES = dataclasses.replace(_BINARY, centred_inputs=False, membrane_readout=True)

KINDS = {
    "gaussian": Kind(
        "Gaussian",
        dataclasses.replace(_MEMBRANES, input_gain=0.6),
        Training(batch_size=32),
        rate=1.5e-3,
    ),
    "ring": Kind(
        "ring",
        dataclasses.replace(_MEMBRANES, recurrent="ring", gain=0.6, input_gain=0.36),
        Training(slow_below=0.3),
        Adaptive("both", every=2, band=0.3, look_starts=8),
        rate=4e-4,
    ),
    "lines": Kind(
        "lines",
        dataclasses.replace(
            _BINARY,
            membrane_readout=True,
            recurrent="ring",
            gain=0.38,
            shortcuts=0.01,
            density=0.3,
            lines=5,
            line_start=3.0,
            input_gain=0.114,
            bias_range=0.015,
            readout_gain=0.4,
        ),
        Training(
            learning_rate=1.8e-3,
            final_learning_rate=1.8e-3,
            slow_below=0.3,
            roll_back=0.5,
            keep_zeros=True,
        ),
        Adaptive("surrogate", every=1, band=0.3, look_starts=16),
    ),
}
"""Gaussian weights, a ring, and a sparse ring that its inputs cut into lines of equal length."""

VARIANTS = {
    f"{kind},{schedule}": f"{values.name}, {text}"
    for kind, values in KINDS.items()
    for schedule, text in (("none", "not flossed"), ("adaptive", "adaptive"))
} | {"lines,before": "lines, before training"}
