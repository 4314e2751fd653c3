"""Gradient flossing: the loss on the exponents, and when to minimise it."""

from .adaptive import Adaptive as Adaptive
from .objective import FlossingInfo as FlossingInfo, flossing_loss as flossing_loss
from .schedules import Flossing as Flossing, Phase as Phase, plan as plan
