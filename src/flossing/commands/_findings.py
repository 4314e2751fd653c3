"""Findings on a terminal: coloured by severity, with code that can be copied as it stands."""

from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from ..examine import Finding, Report
from ..runs.examining import dimension, entropy

_STYLES = {"fault": "bold red", "warning": "bold yellow", "note": "bold cyan", "fine": "bold green"}
_LABEL = 9
"""Columns of the word that says how serious a finding is."""


def show(console: Console, report: Report, about: Sequence[str], names: str | None) -> None:
    """Prints a report: findings first, then numbers, then evidence and advice of each finding.

    Args:
        console: where it goes.
        report: what was found.
        about: lines on what was examined.
        names: code that makes the names which code of findings uses; ``None`` where nothing is to be done,
            for findings without advice.
    """
    console.print(Text(report.headline, "bold"))
    for line in about:
        console.print(Text(line))
    console.print()
    console.print(_overview(report.advice))
    console.print()
    console.print(_numbers(report))
    if names is None:
        console.print()
        return
    shown = [finding for finding in report.advice if finding.advice or finding.severity != "fine"]
    if names and any(finding.code for finding in shown):
        console.print()
        console.print(Text("Names in the code below", "bold"))
        console.print()
        _code(console, names)
    for finding in shown:
        _explain(console, finding)
    console.print()


def _overview(findings: Sequence[Finding]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=_LABEL - 1, no_wrap=True)
    table.add_column()
    for finding in findings:
        table.add_row(Text(finding.severity, _STYLES[finding.severity]), Text(finding.sentence))
    return table


def _numbers(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column()
    for name, text in [*report.rows, *_of_attractor(report)]:
        table.add_row(Text(name), Text(text))
    return table


def _of_attractor(report: Report) -> list[tuple[str, str]]:
    """Kaplan-Yorke dimension and entropy rate, or how to find them."""
    numbers = {
        "Kaplan-Yorke dimension": dimension(report),
        "entropy rate (nats per step)": entropy(report),
    }
    missing = "takes more exponents: --num-exponents all"
    return [(name, missing if x is None else f"{x:.4g}") for name, x in numbers.items()]


def _explain(console: Console, finding: Finding) -> None:
    console.print()
    console.print(Text(finding.name.capitalize(), _STYLES[finding.severity]))
    for text in filter(None, (finding.evidence, finding.advice)):
        console.print(Padding(Text(text), (0, 0, 0, 2)))
    console.print(Padding(Text(finding.source, "dim"), (0, 0, 0, 2)))
    if finding.code:
        console.print()
        _code(console, finding.code)


def _code(console: Console, code: str) -> None:
    """Code at the left edge, on a line where it has one, so that it can be pasted."""
    text = Syntax("", "python", theme="ansi_light", background_color="default").highlight(code)
    text.rstrip()
    console.print(text, soft_wrap=True)
