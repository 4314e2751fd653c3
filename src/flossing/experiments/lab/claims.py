"""Statements about numbers: what should come out, what did, and what was published."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One number that should lie within limits. A number that is NaN is in no limits."""

    text: str
    """What the number is."""
    measured: float
    low: float | None = None
    """Smallest value with which the claim holds; ``None`` for no limit."""
    high: float | None = None
    """Largest value with which the claim holds; ``None`` for no limit."""
    published: float | None = None
    """The published value; ``None`` where none is known."""
    source: str = ""
    """Where the published value or the limit comes from."""

    @property
    def holds(self) -> bool:
        """Whether the number lies within its limits."""
        above = self.low is None or self.measured >= self.low
        below = self.high is None or self.measured <= self.high
        return above and below and self.measured == self.measured

    @property
    def limits(self) -> str:
        """The limits in words, such as ``>= 0.95``."""
        if self.low is not None and self.high is not None:
            return f"{self.low:.4g} to {self.high:.4g}"
        return f">= {self.low:.4g}" if self.low is not None else f"<= {self.high:.4g}"

    @classmethod
    def at_least(
        cls,
        text: str,
        measured: float,
        low: float,
        *,
        published: float | None = None,
        source: str = "",
    ) -> "Claim":
        """The number is ``low`` or more."""
        return cls(
            text=text, measured=float(measured), low=float(low), published=published, source=source
        )

    @classmethod
    def at_most(
        cls,
        text: str,
        measured: float,
        high: float,
        *,
        published: float | None = None,
        source: str = "",
    ) -> "Claim":
        """The number is ``high`` or less."""
        return cls(
            text=text,
            measured=float(measured),
            high=float(high),
            published=published,
            source=source,
        )

    @classmethod
    def near(
        cls,
        text: str,
        measured: float,
        published: float,
        *,
        within: float | None = None,
        relative: float | None = None,
        source: str = "",
    ) -> "Claim":
        """The number is the published one up to ``within``, or up to a share ``relative`` of it.

        Raises:
            ValueError: not exactly one of the two is given.
        """
        if within is not None and relative is None:
            distance = float(within)
        elif relative is not None and within is None:
            distance = float(abs(published) * relative)
        else:
            raise ValueError("within, relative: expected exactly one of them.")
        return cls(
            text=text,
            measured=float(measured),
            low=float(published) - distance,
            high=float(published) + distance,
            published=float(published),
            source=source,
        )
