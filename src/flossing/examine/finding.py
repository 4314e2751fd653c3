"""A finding, and the rule that leads to it."""

import dataclasses
from collections.abc import Callable
from typing import Literal

from .measured import Measured

Severity = Literal["fault", "warning", "note", "fine"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What a rule found."""

    sentence: str
    """What is the case, in one sentence."""
    evidence: str
    """The numbers that say so."""
    advice: str = ""
    """What to do, in words."""
    code: str = ""
    """The same as code, for names ``step``, ``state``, ``inputs`` and ``key`` as given to ``examine``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding(Found):
    """What was found, how serious it is, and what the rule rests on."""

    name: str
    """Of the rule."""
    severity: Severity
    """``fault``: it will not learn, or was measured wrong; ``warning``; ``note``; ``fine``."""
    source: str
    """The paper or the finding that the rule rests on."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule of the table."""

    find: Callable[[Measured], Found | None]
    severity: Severity
    source: str
    hides: tuple[str, ...] = ()
    """Rules that have nothing to add where this one has found something."""
