"""The page docs/results_read.md: its example runs and prints what stands there, its panels exist."""

import re
from pathlib import Path

import matplotlib.pyplot as plt

from flossing import plots

_PAGE = (Path(__file__).parents[2] / "docs" / "results_read.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_page_shows(capsys, untyped):
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", _PAGE, re.DOTALL):
        exec(block, names)
    first, *rows = capsys.readouterr().out.splitlines()
    shown_first, *shown = re.search(r"```text\n(.*?)```", _PAGE, re.DOTALL)[1].splitlines()
    assert first == shown_first
    assert [len(row) for row in rows] == [len(row) for row in shown]
    assert rows[0].split() == shown[0].split()
    # The last digits depend on the processor.
    assert abs(float(rows[1].split()[1]) - float(shown[1].split()[1])) < 0.01
    assert [len(axis.get_lines()) for axis in (names["left"], names["right"])] == [2, 2]
    plt.close("all")


def test_the_panels_of_the_page_are_those_that_there_are():
    table = "".join(line.split("|")[3] for line in _PAGE.splitlines() if line.startswith("| `fl"))
    table += "".join(line.split("|")[3] for line in _PAGE.splitlines() if line.startswith("| its"))
    named = set(re.findall(r"`(\w+)`", table))
    helpers = {"drawn", "given_axes", "letter_panels", "networks_and_median", "style", "zero_line"}
    there = {n for n in dir(plots) if callable(getattr(plots, n)) and not n.startswith("_")}
    assert named == there - helpers
