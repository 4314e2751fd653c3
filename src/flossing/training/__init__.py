"""Training networks, with flossing around it, many realisations at a time."""

from .blocks import (
    TrainState as TrainState,
    begin as begin,
    floss_block as floss_block,
    train_block as train_block,
)
from .devices import any_process as any_process
from .evaluation import (
    Evaluation as Evaluation,
    evaluate as evaluate,
    measure_exponents as measure_exponents,
)
from .network import Network as Network
from .trainer import (
    FlossMetrics as FlossMetrics,
    Realisation as Realisation,
    Trainer as Trainer,
    TrainMetrics as TrainMetrics,
    floss_step as floss_step,
    train_epoch as train_epoch,
)
