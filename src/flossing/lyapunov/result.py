"""What a spectrum is: exponents, how well they are known, and what users are told about them."""

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree

from .._checks import has_values
from .._readable import readable
from .._warn import warn
from ._shown import ShownSpectrum
from .measures import entropy_rate, kaplan_yorke_dimension


class LostDirectionsWarning(UserWarning):
    """Some tangent directions were mapped to zero: their exponents are minus infinity."""


@readable
class LyapunovSpectrum(ShownSpectrum, eqx.Module):
    """Lyapunov exponents, largest first as the algorithm finds them, and how well they are known.

    Exponents are in nats per step, or per unit of time when a ``time_step`` was given (see ``unit``). Prints
    itself as a table; ``plot()`` draws it, ``to_xarray()`` is for plots of one's own.
    """

    exponents: Float[Array, " k"]
    """Mean over the counted steps; minus infinity for a lost direction."""
    standard_errors: Float[Array, " k"]
    """From the spread of the windows, taken as independent; infinite with one window. No gradient."""
    finite_time: Float[Array, "windows k"]
    """Local exponents of each window; their mean weighted by ``window_steps`` is ``exponents``."""
    window_steps: tuple[int, ...] = eqx.field(static=True)
    lost: Bool[Array, " k"]
    """Which directions were lost, for example to an exact reset."""
    final_state: PyTree
    final_basis: Float[Array, "n k"]
    """Orthonormal tangent basis at the end; zero columns for lost directions."""
    state_dimension: int = eqx.field(static=True)
    time_step: float | None = eqx.field(static=True)

    @property
    def kaplan_yorke_dimension(self) -> Float[Array, ""]:
        """See ``fl.kaplan_yorke_dimension``."""
        return kaplan_yorke_dimension(self.exponents, self.state_dimension)

    @property
    def entropy_rate(self) -> Float[Array, ""]:
        """See ``fl.entropy_rate``; in ``unit``."""
        return entropy_rate(self.exponents, self.state_dimension)

    def _known(self) -> bool:
        return has_values(self.exponents, self.standard_errors, self.lost)


def check_result(spectrum: LyapunovSpectrum, log_growth: Array, start: int, every: int) -> None:
    """Raises ``ValueError`` where a trajectory or its tangents did not stay finite.

    Args:
        spectrum: with known values.
        log_growth: of each interval, by which a step is found that went wrong.
        start: steps that were not counted.
        every: steps in an interval.
    """
    bad = np.argwhere(~np.isfinite(np.asarray(log_growth)))
    finite_state = all(
        np.isfinite(np.asarray(x)).all()
        for x in jax.tree.leaves(eqx.filter(spectrum.final_state, eqx.is_inexact_array))
    )
    if bad.size or not finite_state:
        end = min(int(bad[0][0] + 1) * every, spectrum.num_steps) if bad.size else 0
        when = f"by step {start + end}" if bad.size else "at the end"
        raise ValueError(
            f"step: the state or its tangents became NaN or infinite {when}; "
            "look at the step, its parameters and its inputs there."
        )


def warn_of_lost(lost: Any) -> None:
    """Warns if any direction was lost; takes an array of flags with known values."""
    if np.any(lost):
        warn(lost_directions(np.asarray(lost)), LostDirectionsWarning)


def lost_directions(lost: np.ndarray) -> str:
    """What users are told of the directions with these flags."""
    numbers = np.flatnonzero(lost)
    return (
        f"{numbers.size} of {lost.size} tangent directions were lost (mapped to zero, or too small next "
        f"to the others): exponents number {_ranges(numbers + 1)} are minus infinity. At most "
        f"{lost.size - numbers.size} exponents are finite here; use that many, renormalise more often, "
        "or use another reset."
    )


def _ranges(numbers: np.ndarray) -> str:
    first, last = int(numbers[0]), int(numbers[-1])
    if last - first + 1 == numbers.size:
        return str(first) if first == last else f"{first} to {last}"
    return ", ".join(map(str, numbers.tolist()))
