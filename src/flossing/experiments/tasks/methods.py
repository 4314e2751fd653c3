"""Remedies for vanishing and exploding gradients: what a network starts with, and how it is flossed."""

import dataclasses
from typing import Any

from ...cells import CellSpec, GRUSpec, LIFSpec, LinearSpec, LSTMSpec, TanhSpec
from ...floss import Adaptive, Before, Heights, Joint, Schedule
from ..lab.jacobian_penalty import PenalisedSpec

BATCH_SIZE = 32
"""Trials in an update."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Method:
    """What distinguishes one remedy from another."""

    cell: CellSpec
    schedule: Schedule | None = None
    clip: bool = True
    """Whether the gradient of each array is clipped in training."""
    first_exponent: float | None = None
    """The gain of the recurrent weights is chosen so that the first exponent has this value."""
    error_directions: int | None = None
    """So many directions of errors that come from the readout are flossed before training (``errors.py``)."""
    flosses: bool = False
    """Whether it is a kind of flossing."""


def remedies(cell: CellSpec, horizon: int | None) -> dict[str, Method]:
    """All remedies that keep the architecture of a network, by name.

    Args:
        cell: the network as it is without any of them.
        horizon: of the task, in steps; without one, what needs it is left out.
    """
    methods = {"nothing": Method(cell=cell, clip=False), "clipping": Method(cell=cell)}
    if isinstance(cell, GRUSpec | LSTMSpec):
        if horizon is not None:
            methods["chrono gates"] = Method(cell=_with(cell, chrono=float(horizon)))
        methods["open gates"] = Method(cell=_with(cell, openness=3.0))
    if isinstance(cell, TanhSpec | GRUSpec | LSTMSpec):
        methods["orthogonal"] = Method(cell=_with(cell, recurrent="orthogonal"))
    if isinstance(cell, TanhSpec) and cell.layers == 1:
        methods["gain tuned"] = Method(cell=cell, first_exponent=0.0)
        penalised = PenalisedSpec(cell.hidden_size, weight=1 / BATCH_SIZE)
        methods["Jacobian penalty"] = Method(cell=penalised)
    return methods | flossings(cell, horizon)


def flossings(cell: CellSpec, horizon: int | None) -> dict[str, Method]:
    """The kinds of flossing, by name."""
    if isinstance(cell, LIFSpec):
        return _spiking(cell, horizon)
    total = cell.hidden_size * cell.layers
    few, half, nearly_all = 8, total // 2, total - 4
    kinds: dict[str, tuple[CellSpec, Schedule]] = {
        "flossed, all": (cell, Before(num_exponents=nearly_all))
    }
    if horizon is not None:
        kinds["adaptive, all"] = cell, Adaptive(num_exponents=nearly_all)
    if not isinstance(cell, LinearSpec):
        kinds["flossed, half"] = cell, Before(num_exponents=half)
    if isinstance(cell, TanhSpec):
        orthogonal = _with(cell, recurrent="orthogonal")
        kinds["orthogonal, flossed"] = orthogonal, Before(num_exponents=nearly_all)
    if isinstance(cell, TanhSpec) and cell.layers == 1 and horizon is not None:
        below = (-1 / horizon,)
        kinds |= {
            "flossed, few": (cell, Before(num_exponents=few)),
            "joint, all": (cell, Joint(num_exponents=nearly_all)),
            "flossed, slightly below": (cell, Before(num_exponents=nearly_all, targets=below)),
            "flossed, lifted only": (cell, Before(num_exponents=nearly_all, penalty="below")),
            "adaptive, held only": (cell, Adaptive(num_exponents=nearly_all, penalty="above")),
        }
    methods = {n: Method(cell=c, schedule=s, flosses=True) for n, (c, s) in kinds.items()}
    if isinstance(cell, TanhSpec) and cell.layers == 1:
        methods["errors flossed, few"] = Method(cell=cell, error_directions=few, flosses=True)
    return methods


def _spiking(cell: LIFSpec, horizon: int | None) -> dict[str, Method]:
    """Of spiking networks: weights, or the heights of surrogate derivatives alone."""
    weights = Before(num_exponents=cell.hidden_size // 2)
    methods = {"flossed, half": Method(cell=cell, schedule=weights, flosses=True)}
    if horizon is not None:
        response = (cell.membrane_time_constant + cell.synapse_time_constant) / cell.time_step
        heights = Heights(response=response)
        methods["heights"] = Method(cell=cell, schedule=heights, flosses=True)
    return methods


def _with(cell: CellSpec, **changes: Any) -> CellSpec:
    return dataclasses.replace(cell, **changes)
