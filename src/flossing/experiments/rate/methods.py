"""What adaptive flossing is compared with: every method as the settings of a run."""

import dataclasses
from collections.abc import Callable

import jax
from jaxtyping import PRNGKeyArray

from ...cells import CellSpec, GRUSpec, LinearSpec, LSTMSpec, ReLUSpec, TanhCell, TanhSpec
from ...floss import Adaptive, Before
from ...optimisers import Adam, Clip
from ...runs import RunConfig
from ...tasks import DelayedXOR, Task
from .gains import starting_at
from .jacobian_penalty import PenalisedSpec

TRIALS = 16
"""In a batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TunedSpec(TanhSpec):
    """A tanh network whose gain gives it a first exponent."""

    first_exponent: float = 0.0
    """First exponent of the network before training, in nats per step."""

    def layer(self, input_size: int, *, key: PRNGKeyArray) -> TanhCell:
        """One cell with fresh weights, scaled."""
        cell = super().layer(input_size, key=key)
        state_key, key = jax.random.split(jax.random.fold_in(key, 1))
        task = DelayedXOR()  # its input is that of all tasks on bits
        return starting_at(
            self.first_exponent, cell, task, lambda c: c.initial_state(key=state_key), key=key
        )


@dataclasses.dataclass(frozen=True)
class Method:
    """What distinguishes a method from a tanh network that is trained with clipped gradients."""

    label: str
    """In figures and tables."""
    cell: Callable[["Settings"], CellSpec] = lambda s: TanhSpec(s.hidden_size)
    schedule: type[Before] | None = None
    clip: Clip | None = "array"


def _irnn(settings: "Settings") -> ReLUSpec:
    return ReLUSpec(settings.hidden_size, recurrent="identity", input_gain=1e-3, readout_gain=1e-3)


METHODS = {
    "nothing": Method("nothing", clip=None),
    "clipping": Method("clipping"),
    "gain": Method("gain tuned", lambda s: TunedSpec(s.hidden_size)),
    "orthogonal": Method("orthogonal", lambda s: TanhSpec(s.hidden_size, recurrent="orthogonal")),
    "identity": Method("identity (ReLU)", _irnn),
    "linear": Method(
        "linear recurrent", lambda s: LinearSpec(s.hidden_size, min_radius=0.9, max_radius=0.999)
    ),
    "gru": Method("GRU (bias 1)", lambda s: GRUSpec(s.hidden_size, update_bias=1.0)),
    "lstm": Method("LSTM (bias 1)", lambda s: LSTMSpec(s.hidden_size, forget_bias=1.0)),
    "gru-chrono": Method("GRU (chrono)", lambda s: GRUSpec(s.hidden_size, chrono=s.delay)),
    "lstm-chrono": Method("LSTM (chrono)", lambda s: LSTMSpec(s.hidden_size, chrono=s.delay)),
    "penalty": Method(
        "Jacobian penalty", lambda s: PenalisedSpec(s.hidden_size, weight=s.penalty / TRIALS)
    ),
    "before": Method("flossed before", schedule=Before),
    "adaptive": Method("adaptive flossing", schedule=Adaptive),
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
        k = self.num_exponents or max(1, self.hidden_size - 5)
        return RunConfig(
            task=Task.members[self.task](self.delay),
            cell=method.cell(self),
            schedule=method.schedule
            and method.schedule(num_exponents=k, steps_before=self.steps_before),
            optimiser=Adam(learning_rate=self.learning_rate, clip=method.clip),
            epochs=self.epochs,
            batch_size=TRIALS,
            realisations=self.networks,
            seed=self.seed,
            measure_every=None,
            measure_exponents=1,
        )
