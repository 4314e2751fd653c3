"""Training networks, with flossing around it, many realisations at a time."""

from .adapting import Adaptation as Adaptation, free_surrogates as free_surrogates
from .configuration import Training as Training
from .devices import any_process as any_process
from .loop import (
    Evaluation as Evaluation,
    TrainState as TrainState,
    begin as begin,
    evaluate as evaluate,
    floss_block as floss_block,
    measure_exponents as measure_exponents,
    train_block as train_block,
)
from .losses import binary_accuracy as binary_accuracy, binary_cross_entropy as binary_cross_entropy
from .network import Network as Network
from .optimisers import all_finite as all_finite, clip_by_array_norm as clip_by_array_norm
from .updates import FlossMetrics as FlossMetrics, TrainMetrics as TrainMetrics
