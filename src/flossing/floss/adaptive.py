"""When the adaptive schedule flosses during training."""

import dataclasses
from typing import Literal

from .._checks import check_choice, check_finite, check_fraction, check_integer, check_positive


@dataclasses.dataclass(frozen=True)
class Adaptive:
    """A band that the leading exponents must not leave while a network learns.

    Every ``every`` epochs each network's leading exponents are measured on its current trajectory, with
    fresh inputs and a fresh tangent basis. The band is ``band / horizon`` wide to either side of its
    centre, ``target + centre / horizon``, where the horizon is the longest delay of the task in steps: an
    exponent of size ``1 / horizon`` shrinks or grows an error signal by a factor of e over the delay.
    Every network decides for itself. With ``control="parameters"`` it is flossed when

    - an exponent is above the band: its gradients are about to explode; or
    - the first is below the band and the network has not learned yet: its gradients have vanished.
      A network that has learned needs no slower directions than it uses, and is left alone.

    With ``control="surrogate"`` the heights of its surrogate derivatives are scaled instead, whenever an
    exponent is outside the band. The activity of a spiking network does not depend on them, so
    nothing that was learned is disturbed. Where every path of the tangents crosses one surrogate per step
    (binary units), a factor c adds log c to each exponent.

    With ``control="both"`` heights are scaled in this way, and as long as the network has not learned each
    look is followed by one flossing step of its parameters: heights move all exponents together, and
    parameters keep them together.

    Either is repeated until the exponents that are watched are back within ``settle`` of the band's
    width, or for ``max_steps`` steps.
    """

    control: Literal["parameters", "surrogate", "both"] = "parameters"
    """What is changed to move the exponents."""
    response: float = 1.0
    """How far heights are scaled: by ``exp(response * miss)`` per step if an exponent misses the centre so.

    One over the number of surrogates that a path crosses per step: for LIF neurons, whose signals stay in
    membrane and synapse, about ``(tau_mem + tau_syn) / time_step``.
    """
    every: int = 20
    """Training epochs between looks at the exponents."""
    watched: int = 1
    """How many leading exponents are watched."""
    look_starts: int | None = None
    """Trajectories over which a look averages; none: as many as a flossing step. The exponents along one
    scatter more than a narrow band is wide."""
    band: float = 2.0
    """Half the width of the band, times the task's horizon."""
    centre: float = 0.0
    """Middle of the band, relative to the target and times the task's horizon."""
    settle: float = 0.5
    """A phase ends when the exponents are within this fraction of the band around its centre."""
    max_steps: int = 20
    """A phase ends after so many steps."""
    learned: float = 0.5
    """A network has learned when its training loss is below this fraction of the loss at chance."""
    memory: int = 10
    """Epochs over which that loss is averaged, with exponentially decaying weights."""

    def __post_init__(self) -> None:
        check_choice("flossing.adaptive.control", self.control, ("parameters", "surrogate", "both"))
        check_finite("flossing.adaptive.centre", self.centre)
        check_positive("flossing.adaptive.response", self.response)
        check_integer("flossing.adaptive.every", self.every, 1)
        check_integer("flossing.adaptive.watched", self.watched, 1)
        if self.look_starts is not None:
            check_integer("flossing.adaptive.look_starts", self.look_starts, 1)
        check_positive("flossing.adaptive.band", self.band)
        check_fraction("flossing.adaptive.settle", self.settle)
        check_integer("flossing.adaptive.max_steps", self.max_steps, 1)
        check_positive("flossing.adaptive.learned", self.learned, zero=True)
        check_integer("flossing.adaptive.memory", self.memory, 1)
