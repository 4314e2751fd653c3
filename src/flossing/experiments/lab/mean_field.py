"""Mean-field theory of large random networks, ``x' = J tanh(x)`` with ``J_ij ~ N(0, g^2/N)``, and binary."""

import numpy as np

from ..._checks import check_positive

_NODES = np.linspace(-9, 9, 361)
_WEIGHTS = np.exp(-(_NODES**2) / 2) / np.exp(-(_NODES**2) / 2).sum()
_HALVINGS = 60


def variance(gain: float) -> float:
    """The self-consistent variance q of the state: ``q = g^2 <tanh(x)^2>``, ``x ~ N(0, q)``.

    Zero up to ``g = 1``; above it the positive solution, found by bisection.

    Source: Sompolinsky, Crisanti & Sommers 1988, in discrete time.
    """
    check_positive("gain", gain)
    if gain <= 1:
        return 0.0
    low, high = 0.0, gain**2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        grows = gain**2 * _WEIGHTS @ np.tanh(np.sqrt(middle) * _NODES) ** 2 > middle
        low, high = (middle, high) if grows else (low, middle)
    return low


def first_exponent(gain: float) -> float:
    """``ln(g sqrt(<phi'(x)^2>))`` in nats per step."""
    return float(np.log(gain) + np.log(_WEIGHTS @ _squared_slopes(gain)) / 2)


def spectrum(gain: float, fraction: np.ndarray) -> np.ndarray:
    """The exponent number ``fraction * N`` of an infinite network, nats per step.

    Jacobians are ``J D_t`` with ``D_t = diag(phi'(x_t))``. States of successive steps are uncorrelated in
    mean-field theory, so exponents are taken to be those of a product of free matrices ``J_t D_t``: with
    S the S-transform of the squared singular values, ``lambda(u) = -ln S(-u) / 2``. That of ``J`` is
    ``1 / (g^2 (1 - u))``, and free factors multiply. With ``y(u)`` the solution of ``<y d / (1 + y d)> = u``
    for ``d = phi'(x)^2`` this makes ``lambda(u) = ln g + ln(u / y(u)) / 2``. Below ``g = 1`` it is
    ``ln g + ln(1 - u) / 2``, and at ``u = 0`` the first exponent.

    Args:
        gain: g.
        fraction: u, between 0 and 1 (both excluded).

    Source of the theorem on products: Newman 1986; Kargin 2008 (free matrices).
    """
    fraction = np.asarray(fraction, float)
    slopes = _squared_slopes(gain)
    low, high = np.full(fraction.shape, -50.0), np.full(fraction.shape, 100.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        scaled = np.exp(middle)[..., None] * slopes
        below = (scaled / (1 + scaled)) @ _WEIGHTS < fraction
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.log(gain) + (np.log(fraction) - low) / 2


def densities(gain: float, points: int = 400) -> tuple[float, float, float]:
    """Fraction of positive exponents, entropy rate per unit, and Kaplan-Yorke dimension per unit."""
    fraction = (np.arange(points) + 0.5) / points
    exponents = spectrum(gain, fraction)
    sums = np.cumsum(exponents) / points
    if exponents[0] <= 0:
        return 0.0, 0.0, 0.0
    dimension = np.interp(0, -sums[np.argmax(sums) :], fraction[np.argmax(sums) :] + 0.5 / points)
    positive = np.interp(0, -exponents, fraction)
    return float(positive), float(sums.max()), float(dimension)


def _squared_slopes(gain: float) -> np.ndarray:
    return (1 - np.tanh(np.sqrt(variance(gain)) * _NODES) ** 2) ** 2


def binary_exponent(steepness: float, noisy: bool, bias_range: float = 0.1) -> float:
    """First exponent of large binary networks ``W ~ N(0, 2/N)`` on random bits, matched surrogate.

    ``1/2 log(2 <p'(x)^2>)``, averaged over the bit, with ``x`` Gaussian of the variance that the
    activity of the units brings about (Engelken & Abbott 2024 have such networks; the theory is that of
    Sompolinsky, Crisanti & Sommers 1988). ``noisy`` says whether units spike with probability ``p`` or
    by the sign of ``x``.
    """
    z = np.linspace(-8, 8, 32001)
    weight = np.exp(-np.square(z) / 2)
    weight /= weight.sum()
    mean, spread = bias_range / 2, bias_range**2 / 12
    activity, p = 0.5, [z, z]
    for _ in range(50):
        fields = [mean + np.sqrt(2 * activity + spread + bit) * z for bit in (0, 1)]
        p = [0.5 * (1 + np.tanh(steepness * x / 2)) for x in fields]
        spikes = p if noisy else [x > 0 for x in fields]
        activity = float(np.mean([weight @ s for s in spikes]))
    squares = [weight @ np.square(steepness * s * (1 - s)) for s in p]
    return float(np.mean(0.5 * np.log(2 * np.array(squares))))
