"""When to floss around a training: each schedule is a class with its settings."""

import abc
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple, get_args

import equinox as eqx
import optax

from .._checks import check_choice, check_finite, check_integer, check_positive
from .._choices import Choice
from ..cells.opening import opened
from .adaptive import AdaptiveFlosser, SurrogateHeights, free_heights
from .flosser import Flosser, flossing_optimiser
from .objective import Penalty
from .window import check_window


class Phase(NamedTuple):
    """One stretch of a run: flossing steps, or training epochs, from number ``start`` to before ``stop``."""

    kind: Literal["floss", "train"]
    start: int
    stop: int


class Schedule(Choice, abc.ABC):
    """When networks are flossed around their training, and how."""

    @abc.abstractmethod
    def control(
        self, step: Callable[[Any], Any], horizon: int | None, chance_loss: float | None
    ) -> Flosser | AdaptiveFlosser:
        """What flosses: a ``Flosser``, or an ``AdaptiveFlosser`` that is called before every epoch.

        Args:
            step: makes the step from the network.
            horizon: of the task, in steps; ``None`` if it has none.
            chance_loss: loss of a network that has learned nothing; ``None`` if it is not known.
        """

    def prepared(self, networks: Any) -> Any:
        """Networks (along a leading axis) as this schedule needs them."""
        return networks

    def phases(self, epochs: int) -> Iterator[Phase]:
        """The phases of a run of so many training epochs, in order."""
        yield Phase("train", 0, epochs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Before(Schedule, name="before"):
    """Floss before training."""

    steps_before: int = 200
    """Flossing steps before training."""
    num_exponents: int | None = None
    """Leading exponents that are flossed. By default 94 % of the units, such as 75 of 80, and 512 at most."""
    targets: tuple[float, ...] = (0.0,)
    """Where they are moved, in nats per step. One number for all, or one per exponent."""
    penalty: Penalty = "two-sided"
    """Side of the targets on which exponents count."""
    window: int = 100
    """Steps of tangents in a flossing step. The warm-up is among them."""
    warmup: int = 25
    """First steps of the window, which do not count. They turn the random basis."""
    state_warmup: int = 50
    """Steps of the state alone before the window. It starts at the network's initial state."""
    num_starts: int = 1
    """Trajectories over which exponents are averaged. Each has inputs and a basis of its own."""
    learning_rate: float = 5e-3
    """Learning rate of the first flossing step."""
    final_learning_rate: float | None = None
    """Rate to which it falls; a tenth by default. It falls along a cosine over the steps before training, and
    stays there."""
    clip_norm: float | None = 0.03
    """Largest gradient norm of each array."""

    def __post_init__(self) -> None:
        check_choice("penalty", self.penalty, get_args(Penalty))
        check_integer("steps_before", self.steps_before, 0)
        if self.num_exponents is not None:
            check_integer("num_exponents", self.num_exponents, 1)
        check_window(self)
        check_positive("learning_rate", self.learning_rate)
        for name in ("final_learning_rate", "clip_norm"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        check_finite("targets", self.targets)
        count = self.num_exponents
        if len(self.targets) not in (1, count):
            wanted = "1 number" if count is None else f"1 or {count} numbers"
            raise ValueError(
                f"targets: expected {wanted} (num_exponents = {count}), got {len(self.targets)}."
            )

    def optimiser(self) -> optax.GradientTransformation:
        """The optimiser of the flossing steps."""
        return flossing_optimiser(
            self.learning_rate,
            self.final_learning_rate,
            steps=self.steps_before,
            clip_norm=self.clip_norm,
        )

    def flosser(self, step: Callable[[Any], Any]) -> Flosser:
        """What takes the flossing steps."""
        return Flosser(
            self.num_exponents,
            targets=self.targets,
            window=self.window,
            warmup=self.warmup,
            state_warmup=self.state_warmup,
            num_starts=self.num_starts,
            penalty=self.penalty,
            optimiser=self.optimiser(),
            step=step,
        )

    def control(
        self, step: Callable[[Any], Any], horizon: int | None, chance_loss: float | None
    ) -> Flosser | AdaptiveFlosser:
        """The flosser alone."""
        del horizon, chance_loss
        return self.flosser(step)

    def prepared(self, networks: Any) -> Any:
        """Networks whose gated cells start with open gates, unless their biases were chosen."""
        return opened(networks)

    def phases(self, epochs: int) -> Iterator[Phase]:
        """Flossing, then training."""
        if self.steps_before:
            yield Phase("floss", 0, self.steps_before)
        yield Phase("train", 0, epochs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phases(Before, name="phases"):
    """Floss before training and again at intervals during it, whatever the exponents are.

    ``Phases.published()`` has the settings of the published example call (Engelken 2023). Its window of 55
    steps, of which 39 count, leaves exponents at about -0.045 that it believes to be 0; the defaults have
    a longer window and larger steps.
    """

    every: int = 100
    """Epochs between phases during training."""
    max_times: int = 2
    """Number of phases during training, at most."""
    steps_between: int = 500
    """Flossing steps in each of those."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("every", self.every, 1)
        check_integer("max_times", self.max_times, 0)
        check_integer("steps_between", self.steps_between, 1)

    @classmethod
    def published(cls) -> "Phases":
        """The settings of the published example call (Engelken 2023)."""
        return cls(
            num_exponents=75,
            window=55,
            warmup=16,
            state_warmup=0,
            steps_before=500,
            learning_rate=1e-3,
            final_learning_rate=1e-3,
            clip_norm=None,
        )

    def phases(self, epochs: int) -> Iterator[Phase]:
        """Flossing, then training and flossing in turn."""
        done, start = self.steps_before, 0
        if done:
            yield Phase("floss", 0, done)
        for stop in range(self.every, min(epochs, self.every * self.max_times + 1), self.every):
            yield Phase("train", start, stop)
            yield Phase("floss", done, done + self.steps_between)
            start, done = stop, done + self.steps_between
        yield Phase("train", start, epochs)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adaptive(Before, name="adaptive"):
    """Floss before training, and during it whenever a network needs it (``fl.AdaptiveFlosser``)."""

    every: int = 20
    """Epochs between looks at the exponents."""
    band: float = 2.0
    """Half the width of the band of lambda_1. In units of one over the horizon of the task, and at least what
    a look resolves; a network whose first exponent leaves the band is flossed."""
    learned: float = 0.5
    """Loss, of that at chance, that counts as learned. A network below it is no longer moved upwards."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_integer("every", self.every, 1)
        check_positive("band", self.band)
        check_positive("learned", self.learned, zero=True)

    def control(
        self, step: Callable[[Any], Any], horizon: int | None, chance_loss: float | None
    ) -> Flosser | AdaptiveFlosser:
        """The keeper of the band."""
        return AdaptiveFlosser(
            self.flosser(step),
            horizon=needed(horizon),
            band=self.band,
            every=self.every,
            learned=self.learned,
            chance=chance_loss,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Joint(Before, name="joint"):
    """Floss before training, and minimise the sum of both losses in every update of the training."""

    weight: float = 1.0
    """Weight of the flossing loss in that sum. That of the training loss is 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("weight", self.weight)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heights(Schedule, name="heights"):
    """Keep the first surrogate exponent in a band by the heights of surrogate derivatives alone.

    For binary and spiking networks, whose activity does not depend on these heights
    (``fl.SurrogateHeights``).
    """

    every: int = 20
    """Epochs between looks at the exponent."""
    band: float = 2.0
    """Half the width of the band of lambda_1. In units of one over the horizon of the task."""
    level: float = 0.0
    """Middle of the band, in the same units. -1 is a time constant as long as the horizon."""
    response: float = 1.0
    """How far heights are scaled per missing exponent. About (tau_mem + tau_syn) / time_step for LIF neurons,
    1 for binary ones."""
    num_starts: int = 1
    """Trajectories over which a look averages."""
    window: int = 100
    """Steps of tangents in a look. The warm-up is among them."""
    warmup: int = 25
    """First steps of the window, which do not count. They turn the random basis."""
    state_warmup: int = 50
    """Steps of the state alone before the window."""

    def __post_init__(self) -> None:
        check_integer("every", self.every, 1)
        check_positive("band", self.band)
        check_finite("level", self.level)
        check_positive("response", self.response)
        check_window(self)

    def control(
        self, step: Callable[[Any], Any], horizon: int | None, chance_loss: float | None
    ) -> Flosser | AdaptiveFlosser:
        """The keeper of the band."""
        heights = SurrogateHeights(
            self.response,
            targets=self.level / needed(horizon),
            window=self.window,
            warmup=self.warmup,
            state_warmup=self.state_warmup,
            num_starts=self.num_starts,
            step=step,
        )
        return AdaptiveFlosser(
            heights, horizon=needed(horizon), band=self.band, every=self.every, chance=chance_loss
        )

    def prepared(self, networks: Any) -> Any:
        """Networks whose surrogates have heights of their own."""
        return eqx.filter_vmap(free_heights)(networks)


def needed(horizon: int | None) -> int:
    """The horizon of a task, which a band is measured in."""
    if horizon is None:
        raise ValueError(
            "schedule: this one needs the horizon of the task, in steps, and the task has none; give the "
            "task a property horizon, or choose the schedule before."
        )
    return horizon
