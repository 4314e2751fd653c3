"""The rule of adaptive flossing, in arithmetic that NumPy, JAX and PyTorch share: when to floss, and
how long.
"""

from typing import Any, NamedTuple

SETTLE = 0.5
"""A phase ends when the first exponent is within this fraction of the band around the target."""
MOST_STEPS = 20
"""A phase ends after so many steps."""
MEMORY = 10
"""Calls over which the loss is averaged, with exponentially decaying weights."""

RESOLUTION = 3.0
"""Over n steps an exponent is known to about ``RESOLUTION / n``, twice its usual scatter."""
USUALLY_AT_MOST = 512
"""Exponents that are flossed where nobody says how many; a flossing step costs as many products."""


def nearly_all(count: int) -> int:
    """How many of so many exponents are flossed where nobody says so: 94 %, such as 75 of 80.

    Few exponents bring gradients of the right size in too few directions, and nothing is learned, in large
    networks either (docs/findings/large-networks.md); the last ones, which no learning needs, are left
    free.
    """
    return max(1, min(USUALLY_AT_MOST, round(0.94 * count)))


def few_of(neurons: int) -> int:
    """How many exponents of so many spiking neurons are flossed where nobody says so: a tenth, as 4 of 40.

    More of them are too negative to come to zero; flossing raises all neurons instead, and errors then
    explode or vanish as the network learns (docs/findings/spiking-few-exponents.md).
    """
    return max(1, min(USUALLY_AT_MOST, round(0.1 * neurons)))


def half_width(window: Any, band: float, horizon: float) -> float:
    """Half the width of the band around a target, in nats per step.

    It is ``band / horizon``, but no less than what a look can resolve, where flossing disturbs the model. A
    narrower band is left again and again by chance. Flossed tanh networks that had to remember for 100 steps
    scattered by 0.01 from look to look; with a band of 0.02 half of the looks led to flossing and none of
    three learned, with 0.04 all did.
    """
    counted = (window.window - window.warmup) * (window.num_starts or 1) ** 0.5
    return max(band / horizon, RESOLUTION / counted if window.disturbs else 0.0)


class Rule(NamedTuple):
    """Settings of ``fl.AdaptiveFlosser``, and what follows from them; numbers are arrays of any of the
    three.
    """

    target: Any
    half_width: Any
    """Half the width of the band."""
    every: int
    learned: float
    disturbs: bool
    """Whether a flossing step changes what the model computes."""

    def is_due(self, calls: Any) -> Any:
        """Whether to look at the exponent in the call with this number."""
        return (calls > 0) & (calls % self.every == 0)

    def has_learned(self, mean_loss: Any, chance: Any) -> Any:
        """Whether the averaged loss is below the fraction of chance that counts as learned."""
        return mean_loss <= self.learned * chance

    def off(self, exponent: Any) -> Any:
        """How far an exponent is from its target, in half widths of the band."""
        return (exponent - self.target) / self.half_width

    def is_wrong(self, exponent: Any, learned: Any) -> Any:
        """Whether the model has to be flossed for an exponent that was seen; true for NaN, too."""
        off = self.off(exponent)
        below = (off < -1) & ~learned if self.disturbs else off < -1
        return ~(off <= 1) | below

    def goes_on(self, exponent: Any, done: Any) -> Any:
        """Whether a phase that has begun goes on after so many steps."""
        return ~(abs(self.off(exponent)) <= SETTLE) & (done < MOST_STEPS)


def remembered(mean: Any, chance: Any, new: Any, arrays: Any) -> tuple[Any, Any]:
    """The averaged loss and the loss of chance after one more loss.

    ``arrays`` is the module that the numbers belong to: ``numpy`` or ``jax.numpy``.
    """
    change = arrays.where(arrays.isfinite(new), new - mean, 0) / MEMORY
    averaged = arrays.where(arrays.isfinite(mean), mean + change, new)
    known = arrays.isfinite(chance) | ~arrays.isfinite(new)
    return averaged, arrays.where(known, chance, new)
