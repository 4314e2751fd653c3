"""docs/faq.md: the texts in its headings are texts that the library gives."""

import ast
import re
from pathlib import Path

import pytest

import flossing

_ROOT = Path(__file__).parents[1]
_PAGE = (_ROOT / "docs" / "faq.md").read_text(encoding="utf-8")
_TEXTS = re.findall(r"^### `(.*)`$", _PAGE, re.MULTILINE)


def _strings():
    """All texts in the code, what is filled in left out."""
    for file in Path(flossing.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inner = {id(x) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for x in n.values}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [x.value if isinstance(x, ast.Constant) else "\0" for x in node.values]
                yield "".join(map(str, parts))
            elif isinstance(node, ast.Constant) and id(node) not in inner:
                yield node.value if isinstance(node.value, str) else ""


@pytest.fixture(scope="module")
def known():
    errors = (_ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    return "\n".join(" ".join(text.split()) for text in [*_strings(), *errors.splitlines()])


def test_there_are_enough_of_them_and_none_stands_twice():
    assert len(_TEXTS) >= 25
    assert len(set(_TEXTS)) == len(_TEXTS)


@pytest.mark.parametrize("text", _TEXTS)
def test_a_text_is_one_that_the_library_gives(text, known):
    parts = [x for part in text.split("...") if len(x := part.strip(" .,:;?")) > 3]
    assert parts
    assert all(part in known for part in parts), [part for part in parts if part not in known]
