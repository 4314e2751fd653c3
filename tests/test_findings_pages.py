"""docs/findings: a short page for each finding, all of them listed, data linked, sources of advice there."""

import csv
import re
from pathlib import Path

import pytest

from flossing.examine import RULES

_FOLDER = Path(__file__).parents[1] / "docs" / "findings"
_PAGES = sorted(x for x in _FOLDER.glob("*.md") if x.stem != "index")


def _text(name):
    return (_FOLDER / f"{name}.md").read_text(encoding="utf-8")


def test_the_list_has_every_page_once_with_a_sentence_and_in_the_contents():
    before, _, contents = _text("index").partition("```{toctree}")
    listed = re.findall(r"^- .*?\]\((\S+)\.md\)", before, re.MULTILINE)
    assert sorted(listed) == [x.stem for x in _PAGES]
    assert contents.split()[1:-1] == listed


@pytest.mark.parametrize("page", _PAGES, ids=lambda x: x.stem)
def test_a_page_is_short_and_says_what_was_believed_seen_and_follows(page):
    text = page.read_text(encoding="utf-8")
    parts = re.findall(r"^\*\*What (we believed|we saw|follows)\.\*\*", text, re.MULTILINE)
    assert parts == ["we believed", "we saw", "follows"]
    assert 100 <= len(text.split()) <= 420
    assert "| --- |" in text or "![" in text


def test_every_data_file_is_linked_and_is_a_table():
    linked = {x for page in _PAGES for x in re.findall(r"\]\(data/(\S+\.csv)\)", _text(page.stem))}
    assert linked == {x.name for x in (_FOLDER / "data").iterdir()}
    for name in linked:
        with open(_FOLDER / "data" / name, encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        assert rows, name
        assert {len(row) for row in rows} == {len(head)}, name


def test_pages_that_advice_names_as_its_source_exist():
    named = [x for rule in RULES for x in re.findall(r"docs/findings/(\S+)\.md", rule.source)]
    assert named
    assert set(named) <= {x.stem for x in _PAGES}
