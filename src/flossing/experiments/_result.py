"""What an experiment returns: numbers, a figure, and how they compare with what was published."""

import dataclasses
from typing import Any

from matplotlib.figure import Figure


@dataclasses.dataclass(frozen=True)
class Claim:
    """One number that should come out, and what did."""

    text: str
    measured: float
    limit: float
    published: float | None = None
    below: bool = True
    """Whether the measured number must be below the limit (else above)."""

    @property
    def holds(self) -> bool:
        """Whether it came out."""
        return self.measured < self.limit if self.below else self.measured > self.limit


@dataclasses.dataclass(frozen=True)
class Result:
    """The outcome of an experiment."""

    name: str
    title: str
    source: str
    """Whom the published numbers come from."""
    settings: dict[str, Any]
    numbers: dict[str, Any]
    """Plain numbers and lists, for JSON."""
    claims: list[Claim]
    figure: Figure
