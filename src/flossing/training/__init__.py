"""Training networks, with flossing around it, many realisations at a time."""

from .adapting import Adaptation as Adaptation, free_surrogates as free_surrogates
from .configuration import Training as Training
from .devices import any_process as any_process
from .jacobian_penalty import jacobian_penalty as jacobian_penalty
from .loop import (
    TrainState as TrainState,
    begin as begin,
    floss_block as floss_block,
    train_block as train_block,
)
from .losses import binary_accuracy as binary_accuracy, binary_cross_entropy as binary_cross_entropy
from .measuring import (
    Evaluation as Evaluation,
    evaluate as evaluate,
    measure_exponents as measure_exponents,
)
from .network import Network as Network
from .optimisers import (
    all_finite as all_finite,
    clip_by_array_norm as clip_by_array_norm,
    normalised_descent as normalised_descent,
    polyak_descent as polyak_descent,
    smorms3 as smorms3,
)
from .spike_losses import (
    lower_rate_penalty as lower_rate_penalty,
    max_over_time_accuracy as max_over_time_accuracy,
    max_over_time_cross_entropy as max_over_time_cross_entropy,
    population_rate_penalty as population_rate_penalty,
    softmax_sum_cross_entropy as softmax_sum_cross_entropy,
    spike_count_loss as spike_count_loss,
    squared_distance as squared_distance,
    upper_rate_penalty as upper_rate_penalty,
    van_rossum_distance as van_rossum_distance,
)
from .tuning import networks_starting_at as networks_starting_at
from .updates import FlossMetrics as FlossMetrics, TrainMetrics as TrainMetrics
