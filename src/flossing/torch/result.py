"""What a spectrum of a PyTorch step is; the fields are those of ``fl.LyapunovSpectrum``."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from .._warn import warn
from ..lyapunov.result import LostDirectionsWarning, lost_directions


@dataclasses.dataclass(frozen=True)
class LyapunovSpectrum:
    """Lyapunov exponents, largest first as the algorithm finds them, and how well they are known.

    Exponents are in nats per step, or per unit of time when a ``time_step`` was given (see ``unit``).
    Of a batch, each field has the batch as its first axis: one spectrum per example.
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

    @property
    def num_steps(self) -> int:
        """Number of counted steps."""
        return sum(self.window_steps)

    @property
    def unit(self) -> str:
        """``"nats per step"`` or ``"nats per unit time"``."""
        return "nats per step" if self.time_step is None else "nats per unit time"

    @property
    def kaplan_yorke_dimension(self) -> Tensor:
        """The Kaplan-Yorke dimension; see ``fl.kaplan_yorke_dimension``. NaN where k is too small to "
        "tell.
        """
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

    def __str__(self) -> str:
        k, batch = self.exponents.shape[-1], self.exponents.shape[:-1]
        of = f", {batch[0]} examples (means and spreads over them)" if batch else ""
        lines = [f"{k} of {self.state_dimension} Lyapunov exponents, {self.unit}{of}"]
        lines += _rows(self.exponents, self.standard_errors)
        if bool(self.lost.any()):
            lines.append(f"{int(self.lost.sum())} directions were lost")
        lines.append(f"{self.num_steps} steps counted; {self.engine}")
        return "\n".join(lines)


_SHOWN = 8


def _rows(exponents: Tensor, errors: Tensor) -> list[str]:
    if exponents.ndim > 1:
        errors = exponents.std(0)
        exponents = exponents.mean(0)
    pairs = list(zip(exponents.tolist(), errors.tolist(), strict=True))
    kept = pairs if len(pairs) <= _SHOWN else pairs[: _SHOWN - 1]
    rows = [f"  {i + 1:>4}  {value: .4f} +- {error:.4f}" for i, (value, error) in enumerate(kept)]
    if len(kept) < len(pairs):
        rows += ["   ...", f"  {len(pairs):>4}  {pairs[-1][0]: .4f} +- {pairs[-1][1]:.4f}"]
    return rows


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
