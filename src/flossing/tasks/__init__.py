"""Tasks: what to train, how good it is; bits, memories, text, digits, spikes, speech, or data of your own."""

from .adding import AddingProblem as AddingProblem
from .arrays import Arrays as Arrays
from .bits import Copy as Copy, DelayedXOR as DelayedXOR, Parity as Parity
from .continuous_copy import ContinuousCopy as ContinuousCopy
from .data_set import DataSet as DataSet
from .digits import Digits as Digits
from .dyck import DyckWords as DyckWords
from .events import Events as Events
from .flip_flop import FlipFlop as FlipFlop
from .frequency import FrequencyDiscrimination as FrequencyDiscrimination
from .heidelberg import (
    DamagedFileError as DamagedFileError,
    SpikeFile as SpikeFile,
    open_heidelberg as open_heidelberg,
)
from .losses import (
    accuracy as accuracy,
    binary_accuracy as binary_accuracy,
    binary_cross_entropy as binary_cross_entropy,
    cross_entropy as cross_entropy,
    mean_squared_error as mean_squared_error,
    read_out as read_out,
)
from .match_to_sample import MatchToSample as MatchToSample
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
from .spike_raster import (
    SpikeRaster as SpikeRaster,
    picture as picture,
    spike_raster as spike_raster,
)
from .spiking_bits import SpikingBits as SpikingBits
from .spoken import Heidelberg as Heidelberg
from .task import Metric as Metric, Task as Task, Trial as Trial
