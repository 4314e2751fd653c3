"""The surrogates that are tested, and their shapes written once more with numpy."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

from flossing.surrogates import (
    Arctan,
    Boxcar,
    Custom,
    Erf,
    Exponential,
    Gaussian,
    Sigmoid,
    StraightThrough,
    SuperSpike,
    Triangular,
)


def sech(u):
    return 1 / jnp.cosh(u)


def sech_integral(u):
    return 2 * jnp.arctan(jnp.tanh(u / 2))


def custom(**kwargs):
    return Custom(sech, **kwargs)


def custom_with_integral(**kwargs):
    return Custom(sech, sech_integral, **kwargs)


# The formulas of the docstrings, written once more with numpy.
SHAPES = {
    SuperSpike: lambda u: (np.abs(u) + 1) ** -2.0,
    Sigmoid: lambda u: np.cosh(u / 2) ** -2.0,
    Arctan: lambda u: 1 / (1 + u**2),
    Triangular: lambda u: np.maximum(1 - np.abs(u), 0),
    Gaussian: lambda u: np.exp(-(u**2) / 2),
    Erf: lambda u: np.exp(-(u**2)),
    Exponential: lambda u: np.exp(-np.abs(u)),
    Boxcar: lambda u: np.where(np.abs(u) < 0.5, 1.0, 0.0),
    custom: lambda u: 1 / np.cosh(u),
    custom_with_integral: lambda u: 1 / np.cosh(u),
}
SHARP = list(SHAPES)
SMOOTH = [make for make in SHARP if make is not Boxcar]
EVERY = [*SHARP, StraightThrough]
SHIPPED = [make for make in EVERY if inspect.isclass(make)]

# Threshold, both sides of it, near and far; no kink or edge of a shape at sharpness 1.7.
POINTS = [-3.1, -0.7, -0.11, -1e-9, 0.0, 1e-9, 0.05, 0.4, 2.2]
# A shape is evaluated at |u| <= 20 here. Rounding u by one eps changes exp(-u^2) by up to
# 2 u^2 eps = 2e-13 of itself; 1e-12 leaves room for the few operations around it.
ROUNDING = 1e-12

over = pytest.mark.parametrize
named = {"ids": lambda make: make.__name__}


def make_with_peak(make, peak, sharpness=1.7):
    return make(peak=peak) if make is StraightThrough else make(sharpness=sharpness, peak=peak)
