"""A small run to sweep over."""

import flossing as fl
from flossing.runs import CellConfig, RunConfig, TaskConfig

SMALL = RunConfig(
    task=TaskConfig("copy", 3),
    cell=CellConfig(hidden_size=8, gain=0.8),
    flossing=fl.Flossing(
        schedule="none",
        num_exponents=3,
        window=8,
        warmup=2,
        renormalise_every=1,
        steps_before=10,
        max_times=0,
    ),
    training=fl.Training(epochs=60, batch_size=2, num_steps=12),
    realisations=2,
    measure_every=0,
    test_trials=8,
)
