"""A small run to sweep over."""

import flossing as fl
from flossing.runs import RunConfig

SMALL = RunConfig(
    task=fl.tasks.Copy(3, num_steps=12),
    cell=fl.TanhSpec(8, gain=0.8),
    schedule=None,
    epochs=60,
    batch_size=2,
    realisations=2,
    measure_every=None,
    test_trials=8,
)
FLOSSED = fl.Before(num_exponents=3, window=8, warmup=2, steps_before=10)
