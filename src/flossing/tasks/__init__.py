"""Tasks: bits with a known horizon, spike times on manifolds, pictures, spoken digits, frozen noise."""

from .bits import Copy as Copy, DelayedXOR as DelayedXOR, Parity as Parity, Sample as Sample
from .heidelberg import (
    DamagedFileError as DamagedFileError,
    SpikeFile as SpikeFile,
    open_heidelberg as open_heidelberg,
)
from .poisson import frozen_poisson as frozen_poisson
from .randman import Randman as Randman, SpikeTimes as SpikeTimes
from .spike_raster import picture as picture, spike_raster as spike_raster
from .spiking_bits import SpikingBits as SpikingBits
