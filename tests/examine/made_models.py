"""Measurements of a healthy model, made up, with changes: what each rule is tried on."""

import dataclasses
from typing import Any

import numpy as np

from flossing.examine import Measured
from flossing.examine.measured import Leaf, Spikes

N, T = 20, 60


def healthy(**changes: Any) -> Measured:
    """A network of 20 units with exponents at -0.002 and below, over a horizon of 40 steps."""
    random = np.random.default_rng(0)
    exponents = -0.002 - 0.001 * np.arange(8)
    states = random.uniform(-0.8, 0.8, (T, N))
    model = Measured(
        model="Made up",
        kind="step",
        library="jax",
        horizon=40,
        num_steps=100,
        time_step=None,
        exponents=exponents,
        standard_errors=np.full(8, 1e-4),
        state_dimension=N,
        log_gradient=-0.002 * np.arange(40, -1, -1.0),
        log_singular_values=40 * exponents,
        leaves=(Leaf(name="state", start=0, stop=N),),
        states=states,
        activity=states,
        kept=np.zeros(N),
        change=np.full(N, 1.4),
        response=np.full(N, 0.3),
        sensitivity=np.ones(N),
    )
    return dataclasses.replace(model, **changes)


def spiking(**changes: Any) -> Measured:
    """A healthy network of 20 neurons that spike at 20 Hz, with fields of its ``Spikes`` changed."""
    layer = Spikes(
        layer="",
        rates=np.full(N, 0.02),
        surrogate={
            "name": "SuperSpike",
            "peak": 1.0,
            "half_width": 0.1,
            "area": 0.5,
            "sharpness": 4.0,
        },
        open=0.1,
        within=0.1,
        spread=0.5,
        kept_after_spike=0.9,
        kept_without_spike=0.9,
        response=15.0,
    )
    names = {field.name for field in dataclasses.fields(Spikes)}
    own = {name: value for name, value in changes.items() if name in names}
    rest = {name: value for name, value in changes.items() if name not in names}
    layer = dataclasses.replace(layer, **own)
    return healthy(**({"kind": "spiking", "time_step": 1.0, "spikes": (layer,)} | rest))
