"""The small network that the experiments on fields share, and its derivatives."""

from typing import Any

import jax.numpy as jnp

from ... import theory
from ...surrogates import Sigmoid


def output(network: theory.TwoPathNet) -> Any:
    """The function whose gradient is looked at: what the network returns."""
    return network()


def logistic(sharpness: float) -> Sigmoid:
    """A logistic derivative of area one."""
    # An array: fields that differ in it are compiled once.
    return Sigmoid(jnp.asarray(sharpness, float), normalise="area")
