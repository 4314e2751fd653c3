"""Who is told how a run goes, and in which words."""

from typing import Protocol

COMPILING = "compiling"
"""What a reporter hears as status before the first block of a kind, which takes up to a minute."""
KEPT = "done before"
"""What it hears of the blocks that a run which goes on has done already."""


class Reporter(Protocol):
    """Who is told how a run goes."""

    def progress(self, phase: str, done: int, total: int, status: str) -> None:
        """``done`` of ``total`` epochs (``training``) or flossing steps are over; told after each block.

        Also told, with the status ``COMPILING``, before the first block of flossing and of training; and once
        of each with the status ``KEPT``, where a run goes on.
        """
        ...

    def message(self, text: str) -> None:
        """Something worth a line."""
        ...


class Silent:
    """A reporter that says nothing."""

    def progress(self, phase: str, done: int, total: int, status: str) -> None:
        """Nothing."""

    def message(self, text: str) -> None:
        """Nothing."""
