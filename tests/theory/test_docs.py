"""The examples of docs/theory.md run as they stand."""

import re
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[2] / "docs" / "theory.md"


@pytest.mark.slow
def test_examples_of_the_page_run(capsys, untyped):
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)
    printed = capsys.readouterr().out
    assert "around a loop: LineIntegral" in printed
    assert 0 < names["theory"].sign_agreement(names["wide"], names["narrow"]) <= 1
    assert names["found"].passes == 3
    exact, found = names["exact"][1][-1], names["found"]
    assert abs(found.exact[-1] - exact[0]) < 1e-6
