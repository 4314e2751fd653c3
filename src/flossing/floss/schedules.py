"""What to floss, how, and when: the configuration of gradient flossing around a training run."""

import dataclasses
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from .._checks import check_choice, check_finite, check_integer, check_positive
from .._warn import refuse_old_names
from ..lyapunov._propagate import RenormaliseEvery, check_renormalise_every
from .adaptive import Adaptive
from .objective import Penalty

Schedule = Literal["none", "before", "between", "both", "adaptive", "joint"]


@dataclasses.dataclass(frozen=True)
class Flossing:
    """How a network is flossed around its training.

    ``Flossing.published()`` has the settings of the published example call (Engelken 2023). Its window of
    55 steps, of which 39 count, leaves exponents at about -0.045 that it believes to be 0; the defaults
    have a longer window and larger steps.
    """

    schedule: Schedule = "adaptive"
    """When: never, before training, at intervals during training, both, before and when needed, or before
    and in every update of the training (``joint``), which then minimises the sum of both losses."""
    num_exponents: int = 75
    """k, how many leading exponents are flossed; cut to the dimension of the state."""
    targets: tuple[float, ...] = (0.0,)
    """One target for all, or one per exponent, in nats per step."""
    which: tuple[int, ...] = ()
    """Indices of the exponents that count; empty for all k."""
    penalty: Penalty = "two-sided"
    """Count exponents on both sides of the target, only those above, or only those below."""
    window: int = 100
    """Steps of tangent propagation in each flossing step, basis warm-up included."""
    warmup: int = 25
    """First steps of the window, which turn the random basis and are not counted."""
    detach_warmup: bool = False
    """Flossing gradients go through counted steps only: not through the turning of the basis, nor the
    steps of the state before the window. Then the warm-up may be long."""
    detach_states: bool = False
    """Flossing gradients go back through each state for one step only: they see what parameters do to the
    Jacobians, and not how changes of the states add up over time. Steadier for binary networks."""
    state_warmup: int = 50
    """Steps before the window in which only the state moves, from the network's initial state."""
    starts: int = 1
    """Trajectories, with inputs and bases of their own, over which exponents are averaged."""
    renormalise_every: RenormaliseEvery = "auto"
    """Steps between orthonormalisations, or auto: as rarely as precision allows."""
    steps_before: int = 200
    """Flossing steps before training."""
    every: int = 100
    """Training epochs between flossing phases during training."""
    max_times: int = 2
    """At most so many flossing phases during training."""
    steps_between: int = 500
    """Flossing steps in each of those."""
    optimiser: Literal["adam", "polyak"] = "adam"
    """Adam, or steps that take the loss to zero to first order (``polyak_descent``): for one exponent, and
    gradients that are averaged over many starts."""
    learning_rate: float = 5e-3
    """Of flossing's own Adam, at its first step; with polyak the greatest length of a step."""
    final_learning_rate: float | None = None
    """To which it falls along a cosine over ``steps_before`` steps, and where it stays; none: a tenth."""
    clip_norm: float = 0.03
    """Largest gradient norm of each array in a flossing step; 0 for no limit. For Adam only.

    The gradient of an exponent can explode, and Adam needs hundreds of steps to forget it.
    """
    parameters: tuple[str, ...] = ()
    """Names of the parameters of the cell that are flossed, such as recurrent_weight; empty for all."""
    centred: bool = False
    """Flossing steps leave the means of the rows of matrices as they are, so that no unit gets more input
    from all others; else units that are never negative can get one large exponent and many small ones."""
    adaptive: Adaptive = Adaptive()
    """The rules of the adaptive schedule."""
    joint_weight: float = 1.0
    """Of the flossing loss in the sum that the joint schedule minimises; the training loss has 1."""

    def __post_init__(self) -> None:
        check_choice("flossing.schedule", self.schedule, get_args(Schedule))
        check_choice("flossing.optimiser", self.optimiser, ("adam", "polyak"))
        check_choice("flossing.penalty", self.penalty, ("two-sided", "above", "below"))
        for name, minimum in [
            ("num_exponents", 1),
            ("window", 1),
            ("warmup", 0),
            ("state_warmup", 0),
            ("starts", 1),
            ("steps_before", 0),
            ("every", 1),
            ("max_times", 0),
            ("steps_between", 0),
        ]:
            check_integer(f"flossing.{name}", getattr(self, name), minimum)
        check_renormalise_every("flossing.renormalise_every", self.renormalise_every)
        check_positive("flossing.learning_rate", self.learning_rate)
        if self.final_learning_rate is not None:
            check_positive("flossing.final_learning_rate", self.final_learning_rate)
        check_positive("flossing.clip_norm", self.clip_norm, zero=True)
        check_positive("flossing.joint_weight", self.joint_weight)
        check_finite("flossing.targets", self.targets)
        if len(self.targets) not in (1, self.num_exponents):
            raise ValueError(
                f"flossing.targets: expected 1 or {self.num_exponents} numbers (num_exponents), "
                f"got {len(self.targets)}."
            )
        for index in self.which:
            check_integer("flossing.which", index, 0, self.num_exponents - 1)
        if self.warmup >= self.window:
            raise ValueError(
                f"flossing.warmup: {self.warmup} steps leave none of the window of "
                f"{self.window} to count."
            )

    @classmethod
    def published(cls) -> "Flossing":
        """The settings of the published example call (Engelken 2023)."""
        return cls(
            schedule="both",
            window=55,
            warmup=16,
            state_warmup=0,
            steps_before=500,
            learning_rate=1e-3,
            final_learning_rate=1e-3,
            clip_norm=0.0,
        )

    @property
    def before(self) -> bool:
        """Whether networks are flossed before training."""
        return self.schedule in ("before", "both", "adaptive", "joint")

    @property
    def steps(self) -> int:
        """Steps of input that one flossing step needs per trajectory."""
        return self.state_warmup + self.window


# Refused with the new names, where Python's own message would only say that they are unknown.
Flossing.__init__ = refuse_old_names(Flossing.__init__)


class Phase(NamedTuple):
    """One stretch of a run: ``steps`` flossing steps, or the training epochs ``start`` to ``stop``."""

    kind: Literal["floss", "train"]
    start: int
    stop: int


def plan(flossing: Flossing, epochs: int) -> Iterator[Phase]:
    """The phases of a run in order.

    Flossing phases count their own steps from 0 (``stop`` is their number); ``start`` of a flossing phase
    is 0, and it takes place at the epoch where the training phase after it starts.
    """
    if flossing.before and flossing.steps_before:
        yield Phase("floss", 0, flossing.steps_before)
    start = 0
    if flossing.schedule in ("between", "both") and flossing.steps_between:
        for _ in range(flossing.max_times):
            stop = start + flossing.every
            if stop >= epochs:
                break
            yield Phase("train", start, stop)
            yield Phase("floss", 0, flossing.steps_between)
            start = stop
    if start < epochs:
        yield Phase("train", start, epochs)
