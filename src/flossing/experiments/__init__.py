"""Published figures as experiments: parameters, run, and comparison with the published numbers."""

from collections.abc import Callable
from importlib import import_module

from ._result import Claim as Claim, Result as Result

NAMES = (
    "target-exponents",
    "spectra",
    "condition-number",
    "chaos",
    "xor",
    "copy",
    "parity",
    "ablation",
    "architectures",
    "baselines",
    "binary-first-exponent",
    "binary-spectra",
    "binary-xor",
    "spiking-spectrum",
    "spiking-gradients",
    "stochastic",
    "closed-loop",
    "bias",
    "single-neuron",
    "surrogate-fields",
    "spiking-stack",
    "spiking-xor",
    "classification",
    "classification-shd",
    "spike-train-matching",
)
"""As ``floss reproduce`` takes them."""


def experiment(name: str) -> Callable[..., Result]:
    """The function of an experiment, called with ``quick``."""
    return import_module(f"flossing.experiments.{name.replace('-', '_')}").run
