"""What adaptive flossing is compared with: every method as the settings of a run."""

import dataclasses
from collections.abc import Callable

import jax
from jaxtyping import PRNGKeyArray

from ...cells import CellSpec, GRUSpec, LinearSpec, LSTMSpec, ReLUSpec, TanhCell, TanhSpec
from ...floss import Adaptive, Before
from ...optimisers import Clip
from ...tasks import DelayedXOR
from ..lab.gains import starting_at
from ..lab.jacobian_penalty import PenalisedSpec

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
    cell: Callable[[int, int], CellSpec] = lambda units, delay: TanhSpec(units)
    """Makes the cell from the number of units and the delay of the task in steps."""
    schedule: type[Before] | None = None
    clip: Clip | None = "array"


def _irnn(units: int, delay: int) -> ReLUSpec:
    del delay
    return ReLUSpec(units, recurrent="identity", input_gain=1e-3, readout_gain=1e-3)


METHODS = {
    "nothing": Method("nothing", clip=None),
    "clipping": Method("clipping"),
    "gain": Method("gain tuned", lambda units, delay: TunedSpec(units)),
    "orthogonal": Method(
        "orthogonal", lambda units, delay: TanhSpec(units, recurrent="orthogonal")
    ),
    "identity": Method("identity (ReLU)", _irnn),
    "linear": Method(
        "linear recurrent", lambda units, delay: LinearSpec(units, min_radius=0.9, max_radius=0.999)
    ),
    "gru": Method("GRU (bias 1)", lambda units, delay: GRUSpec(units, update_bias=1.0)),
    "lstm": Method("LSTM (bias 1)", lambda units, delay: LSTMSpec(units, forget_bias=1.0)),
    "gru-chrono": Method("GRU (chrono)", lambda units, delay: GRUSpec(units, chrono=delay)),
    "lstm-chrono": Method("LSTM (chrono)", lambda units, delay: LSTMSpec(units, chrono=delay)),
    "penalty": Method(
        "Jacobian penalty", lambda units, delay: PenalisedSpec(units, weight=1 / TRIALS)
    ),
    "before": Method("flossed before", schedule=Before),
    "adaptive": Method("adaptive flossing", schedule=Adaptive),
}
"""All by name. What is not said is that of a tanh network whose gradient is clipped array by array."""
