"""Tasks with a known horizon: ``sample(key, num_steps) -> inputs, targets, mask``."""

from .bits import Copy as Copy, DelayedXOR as DelayedXOR, Parity as Parity, Sample as Sample
