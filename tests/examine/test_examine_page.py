"""docs/examine.md: its example runs, and its tables say what the code does."""

import re
from pathlib import Path

import pytest

from flossing.examine import RULES, gradients, units

_TEXT = (Path(__file__).parents[2] / "docs" / "examine.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_runs_and_finds_that_gradients_vanish(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", _TEXT, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert "vanishing" in names["report"]
    assert "Gradients vanish" in capsys.readouterr().out


def test_every_rule_is_in_the_table_with_its_severity():
    table = _TEXT.split("## What it looks for")[1].split("## Is it right?")[0]
    rows = re.findall(r"^\| ([^|]+) \| (fault|warning|note|fine) \|", table, re.MULTILINE)
    listed = {name.strip(): severity for names, severity in rows for name in names.split(",")}
    assert listed == {rule.find.__name__.replace("_", " "): rule.severity for rule in RULES}


def test_the_limits_are_those_of_the_rules():
    assert (gradients.USABLE, gradients.LIMIT) == (1, 3)
    for number in (units.SILENT, units.KEPT, units.MOVED, units.ERASED, units.LOUD, units.SHARP):
        assert number in (0.9, 0.05, 0.2, 100, 0.01)
