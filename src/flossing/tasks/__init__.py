"""Tasks: bits with a known horizon, spike times on manifolds, pictures, spoken digits, frozen noise."""

from .bits import Copy as Copy, DelayedXOR as DelayedXOR, Parity as Parity
from .heidelberg import (
    DamagedFileError as DamagedFileError,
    SpikeFile as SpikeFile,
    open_heidelberg as open_heidelberg,
)
from .losses import (
    binary_accuracy as binary_accuracy,
    binary_cross_entropy as binary_cross_entropy,
)
from .poisson import frozen_poisson as frozen_poisson
from .randman import Randman as Randman, SpikeTimes as SpikeTimes
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
from .spike_raster import picture as picture, spike_raster as spike_raster
from .spiking_bits import SpikingBits as SpikingBits
from .task import Metric as Metric, Task as Task, Trial as Trial
