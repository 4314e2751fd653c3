"""Gradient flossing: the loss on the exponents, the objects that minimise it, and when to do it."""

from .adaptive import (
    AdaptiveFlosser as AdaptiveFlosser,
    KeeperState as KeeperState,
    Look as Look,
    SurrogateHeights as SurrogateHeights,
    free_heights as free_heights,
)
from .flosser import (
    Flosser as Flosser,
    FlosserState as FlosserState,
    FlossInfo as FlossInfo,
    flossing_optimiser as flossing_optimiser,
)
from .harm import (
    FlossingHarm as FlossingHarm,
    FlossingHarmWarning as FlossingHarmWarning,
    flossing_harm as flossing_harm,
)
from .objective import FlossingInfo as FlossingInfo, flossing_loss as flossing_loss
from .schedule import (
    Adaptive as Adaptive,
    Before as Before,
    Heights as Heights,
    Joint as Joint,
    Phase as Phase,
    Phases as Phases,
    Schedule as Schedule,
)
