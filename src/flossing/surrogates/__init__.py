"""Spike nonlinearities: the value of a step function with a derivative that we declare.

A spike is ``1`` where ``x > 0`` and ``0`` elsewhere. Its true derivative is zero almost everywhere, so
automatic differentiation is given another one, the *surrogate derivative*. Every surrogate here is
``peak * shape(sharpness * x)`` with ``shape(0) = 1``: the name of the class fixes the shape, and nothing
but the numbers ``sharpness`` and ``peak`` fixes height and width. Libraries disagree silently on those
(the same "arctan" has a peak of 1 in one and of 0.318 in another), so state them and record
``describe()`` with every result.

All of them work under ``jvp``, ``grad``, ``vmap``, ``jit`` and their compositions. Lyapunov exponents of
a spiking network taken through a surrogate are its *surrogate* Lyapunov exponents.

Sources: Zenke & Ganguli 2018 (SuperSpike); Esser et al. 2016 (exponential and triangular shapes);
Neftci, Mostafa & Zenke 2019 (review); Gygax & Zenke 2025 (theory).
"""

from ._base import (
    NoSecondDerivativeWarning as NoSecondDerivativeWarning,
    Surrogate as Surrogate,
    by_name as by_name,
    check_surrogate as check_surrogate,
    second_derivative_needed as second_derivative_needed,
)
from .custom import Custom as Custom
from .shapes import (
    Arctan as Arctan,
    Boxcar as Boxcar,
    Erf as Erf,
    Exponential as Exponential,
    Gaussian as Gaussian,
    Sigmoid as Sigmoid,
    StraightThrough as StraightThrough,
    SuperSpike as SuperSpike,
    Triangular as Triangular,
)
