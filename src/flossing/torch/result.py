"""What a spectrum of a PyTorch step is; the fields are those of ``fl.LyapunovSpectrum``."""

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._readable import Summary, readable
from .._warn import warn
from ..lyapunov._shown import ShownSpectrum
from ..lyapunov.result import LostDirectionsWarning, lost_directions


@readable
@dataclasses.dataclass(frozen=True, repr=False)
class LyapunovSpectrum(ShownSpectrum):
    """Lyapunov exponents, largest first as the algorithm finds them, and how well they are known.

    Exponents are in nats per step, or per unit of time when a ``time_step`` was given (see ``unit``).
    Of a batch, each field has the batch as its first axis: one spectrum per example. Prints itself as a
    table; ``plot()`` draws it, ``to_xarray()`` is for plots of one's own.
    """

    exponents: Tensor
    """Mean over the counted steps, shape (k,); minus infinity for a lost direction."""
    standard_errors: Tensor
    """From the spread of the windows, taken as independent; infinite with one window. No gradient."""
    finite_time: Tensor
    """Local exponents of each window, shape (windows, k); NaN where an example had ended before."""
    window_steps: tuple[int, ...]
    """Steps of each window, of which an example counts those before its end."""
    lost: Tensor
    """Which directions were lost, for example to an exact reset."""
    final_state: Any
    final_basis: Tensor
    """Orthonormal tangent basis at the end, shape (n, k); zero columns for lost directions. In reverse
    mode the basis before the first counted step.
    """
    state_dimension: int
    time_step: float | None
    engine: str
    """How tangents were moved; see ``mode`` of ``ft.lyapunov_spectrum``."""
    _many: ClassVar = ("example", "examples")

    @property
    def kaplan_yorke_dimension(self) -> Tensor:
        """The Kaplan-Yorke dimension; see ``fl.kaplan_yorke_dimension``. NaN where k is too small to tell."""
        ordered = self.exponents.sort(-1, descending=True)[0]
        k = ordered.shape[-1]
        sums = ordered.cumsum(-1)
        count = (sums >= 0).sum(-1)
        total = torch.where(count > 0, sums.gather(-1, _index(count - 1)).squeeze(-1), 0)
        following = ordered.gather(-1, _index(count.clamp(max=k - 1))).squeeze(-1).abs()
        fraction = torch.where(total > 0, total / torch.where(following > 0, following, 1), 0)
        beyond = float(k) if k == self.state_dimension else torch.nan
        return torch.where(count == k, beyond, count + fraction)

    @property
    def entropy_rate(self) -> Tensor:
        """The sum of the positive exponents, in ``unit``; NaN where all are positive and more may be."""
        rate = self.exponents.clamp(min=0).sum(-1)
        if self.exponents.shape[-1] == self.state_dimension:
            return rate
        return torch.where(self.exponents.amin(-1) > 0, torch.nan, rate)

    def _summary(self) -> Summary | None:
        summary = super()._summary()
        assert summary is not None
        return summary._replace(title=f"{summary.title}; {self.engine}")


def _index(number: Tensor) -> Tensor:
    return number.clamp(min=0)[..., None]


def check_result(log_growth: Tensor, rows: Tensor, start: int, every: int, stop: int) -> None:
    """Raises ``ValueError`` where a trajectory or its tangents did not stay finite.

    Args:
        log_growth: of each interval, by which a step is found that went wrong.
        rows: the last states.
        start: steps that were not counted.
        every: steps in an interval.
        stop: the last step.
    """
    bad = (~torch.isfinite(log_growth)).flatten(1).any(1).nonzero()
    if bad.numel() or not bool(torch.isfinite(rows).all()):
        end = min(start + (int(bad[0, 0]) + 1) * every, stop) if bad.numel() else 0
        when = f"by step {end}" if bad.numel() else "at the end"
        raise ValueError(
            f"step: the state or its tangents became NaN or infinite {when}; "
            "look at the step, its parameters and its inputs there."
        )


def warn_of_lost(lost: Tensor) -> None:
    """Warns if any direction was lost; of a batch, of all that were lost in any example."""
    flags = lost if lost.ndim == 1 else lost.any(0)
    if bool(flags.any()):
        warn(lost_directions(flags.cpu().numpy()), LostDirectionsWarning)
