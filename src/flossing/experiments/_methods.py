"""What adaptive flossing is compared with: every method as the settings of a run."""

import dataclasses
from typing import Any

from ..floss import Flossing
from ..runs import CellConfig, RunConfig, TaskConfig
from ..training import Training


@dataclasses.dataclass(frozen=True)
class Method:
    """What distinguishes a method from a tanh network that is trained with clipped gradients."""

    label: str
    """In figures and tables."""
    cell: CellConfig = CellConfig()
    schedule: str = "none"
    training: tuple[tuple[str, Any], ...] = ()
    """Fields of ``Training`` with other values."""
    chrono: bool = False
    """Whether the delay is given to the chrono initialisation."""
    penalty: bool = False
    """Whether the penalty on Jacobians is on."""


_IRNN = CellConfig("relu", recurrent="identity", input_gain=1e-3, readout_gain=1e-3)
METHODS = {
    "nothing": Method("nothing", training=(("clip", "none"),)),
    "clipping": Method("clipping"),
    "gain": Method("gain tuned", CellConfig(first_exponent=0.0)),
    "orthogonal": Method("orthogonal", CellConfig(recurrent="orthogonal")),
    "identity": Method("identity (ReLU)", _IRNN),
    "linear": Method("linear recurrent", CellConfig("linear", min_radius=0.9, max_radius=0.999)),
    "gru": Method("GRU (bias 1)", CellConfig("gru", gate_bias=1.0)),
    "lstm": Method("LSTM (bias 1)", CellConfig("lstm", gate_bias=1.0)),
    "gru-chrono": Method("GRU (chrono)", CellConfig("gru"), chrono=True),
    "lstm-chrono": Method("LSTM (chrono)", CellConfig("lstm"), chrono=True),
    "penalty": Method("Jacobian penalty", penalty=True),
    "before": Method("flossed before", schedule="before"),
    "adaptive": Method("adaptive flossing", schedule="adaptive"),
}
"""All by name. What is not said is that of a tanh network whose gradient is clipped array by array."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What may be varied.

    The full settings take about 1500 s of processor time, half of it for the four gated networks.
    """

    methods: tuple[str, ...] = tuple(METHODS)
    task: str = "xor"
    delay: int = 40
    hidden_size: int = 80
    networks: int = 5
    epochs: int = 2001
    learning_rate: float = 1e-3
    """Constant, so that what a method reaches early does not depend on when it stops."""
    penalty: float = 1.0
    """Weight of the penalty on Jacobians."""
    steps_before: int = 200
    num_exponents: int | None = None
    """How many are flossed; default five less than units."""
    averaged: int = 50
    """Epochs over which accuracies on fresh batches are averaged."""
    seed: int = 1

    def runs(self) -> dict[str, RunConfig]:
        """The run of each method."""
        return {name: self._run(METHODS[name]) for name in self.methods}

    def _run(self, method: Method) -> RunConfig:
        chrono = float(self.delay) if method.chrono else None
        options: dict[str, Any] = dict(method.training)
        if method.penalty:
            options["jacobian_penalty"] = self.penalty
        return RunConfig(
            task=TaskConfig(self.task, self.delay),  # pyright: ignore[reportArgumentType]
            cell=dataclasses.replace(method.cell, hidden_size=self.hidden_size, chrono=chrono),
            flossing=Flossing(
                schedule=method.schedule,  # pyright: ignore[reportArgumentType]
                num_exponents=self.num_exponents or max(1, self.hidden_size - 5),
                steps_before=self.steps_before,
            ),
            training=Training(epochs=self.epochs, learning_rate=self.learning_rate, **options),
            realisations=self.networks,
            seed=self.seed,
            measure_every=0,
            measure_exponents=1,
        )
