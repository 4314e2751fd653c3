"""``floss report``: figures for publication and one HTML page, of a run or a sweep."""

import dataclasses
import sys
from collections.abc import Sequence

import tyro
from rich.console import Console

from ..reports.write import report_figures, write_report


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Figures (PNG, PDF) and one HTML page, readable without network, of a run or a sweep.

    The page of a run begins with what fl.examine says of its networks, which examine.json keeps.
    """

    directory: tyro.conf.Positional[str]
    """Of a run or a sweep; report.html and figures/report-* are written into it."""
    figures: bool = True
    """Draw the figures; without them the page is written alone."""


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    options = tyro.cli(Arguments, args=list(arguments), prog="floss report")
    try:
        with Console(stderr=True).status("examining and drawing"):
            page = write_report(options.directory, options.figures)
    except ModuleNotFoundError as error:
        print(f"floss report: {error}", file=sys.stderr)
        return 2
    for path in report_figures(options.directory) if options.figures else []:
        print(f"figure:  {path}")
    print(f"report:  {page}")
    return 0
