"""How networks are trained."""

import dataclasses
from typing import Literal

from .._checks import check_choice, check_fraction, check_integer, check_positive


@dataclasses.dataclass(frozen=True)
class Training:
    """How networks are trained: every epoch is one update on one fresh batch."""

    epochs: int = 3001
    """Number of updates."""
    batch_size: int = 16
    """Trials per epoch."""
    num_steps: int = 300
    """Steps per trial."""
    optimiser: Literal["adam", "normalised"] = "adam"
    """Adam with clipped gradients, or gradient descent whose gradients are normalised array by array,
    with momentum (``normalised_descent``); flossing uses Adam with either."""
    learning_rate: float = 1e-3
    """At the first epoch; about how far an entry of an array moves in an update, with either optimiser."""
    final_learning_rate: float | None = None
    """To which it falls along a cosine until the last epoch; none: constant, as published."""
    readout_rate: float = 1.0
    """Learning rate of the readout over that of the rest."""
    slow_below: float = 0.0
    """Fraction of the loss at chance below which updates shrink in proportion to the mean loss of the
    last epochs, so that networks that have learned stay as they are; 0: nowhere."""
    roll_back: float = 0.0
    """Rise of that mean loss over its lowest value, as a fraction of the loss at chance, at which a network
    that was below chance by more than that returns to its best weights, to be updated half as fast from
    there; 0: never."""
    beta1: float = 0.9
    """Decay of the mean gradient, for training and flossing."""
    beta2: float = 0.999
    """Adam's decay of the square, for training and flossing."""
    clip: Literal["array", "global", "none"] = "array"
    """Clip the gradient norm of each array (as published), of all together, or not."""
    clip_norm: float = 0.03
    """Largest gradient norm."""
    jacobian_penalty: float = 0.0
    """Weight of the penalty on errors that grow or shrink from step to step (Pascanu et al. 2013)."""
    train_initial_state: bool = True
    """Whether the start state is trained."""
    keep_zeros: bool = False
    """Recurrent weights that start at zero stay there, in training and flossing: units that are not connected
    stay so. For sparse networks, in which fewer weights can add noise of their own."""

    def __post_init__(self) -> None:
        check_integer("epochs", self.epochs, 1)
        check_integer("batch_size", self.batch_size, 1)
        check_integer("num_steps", self.num_steps, 1)
        check_choice("optimiser", self.optimiser, ("adam", "normalised"))
        check_positive("learning_rate", self.learning_rate, zero=True)
        if self.final_learning_rate is not None:
            check_positive("final_learning_rate", self.final_learning_rate, zero=True)
        check_positive("readout_rate", self.readout_rate, zero=True)
        check_positive("slow_below", self.slow_below, zero=True)
        check_positive("roll_back", self.roll_back, zero=True)
        check_fraction("beta1", self.beta1)
        check_fraction("beta2", self.beta2)
        check_choice("clip", self.clip, ("array", "global", "none"))
        check_positive("clip_norm", self.clip_norm)
        check_positive("jacobian_penalty", self.jacobian_penalty, zero=True)
