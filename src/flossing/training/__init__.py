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
from .tuning import networks_starting_at as networks_starting_at
from .updates import FlossMetrics as FlossMetrics, TrainMetrics as TrainMetrics
