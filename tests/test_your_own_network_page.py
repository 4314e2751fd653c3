"""The examples of docs/tutorials/your_own_network.md run and do what the page says."""

import re
from pathlib import Path

import pytest

_PAGE = Path(__file__).parents[1] / "docs" / "tutorials" / "your_own_network.md"
_TEXT = _PAGE.read_text(encoding="utf-8")
_SECTIONS = {
    section.split("\n")[0]: re.findall(r"```\{code-cell\} python\n(.*?)```", section, re.DOTALL)
    for section in _TEXT.split("\n## ")[1:]
}
_EXAMPLES = {title: blocks for title, blocks in _SECTIONS.items() if blocks}
_IMPORTS = _EXAMPLES[next(iter(_EXAMPLES))][0].split("\n\n")[0]


def test_there_are_three_and_all_are_short():
    assert len(_EXAMPLES) == 3
    for blocks in _EXAMPLES.values():
        lines = [line for block in blocks for line in block.splitlines() if line]
        assert len(lines) < 60


def printed(word, capsys):
    """The numbers that the example prints whose title has that word."""
    (blocks,) = [blocks for title, blocks in _EXAMPLES.items() if word in title]
    names: dict = {}
    for block in (_IMPORTS, *blocks):
        exec(block, names)
    text = capsys.readouterr().out
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


@pytest.mark.slow
def test_a_gru_of_equinox_is_flossed_and_learns_to_add(capsys, untyped):
    steps, first, last = printed("Equinox", capsys)
    assert steps > 0
    assert last < 0.1 / 6 < first


@pytest.mark.slow
def test_a_module_of_nnx_remembers_a_sign(capsys, untyped):
    pytest.importorskip("flax")
    steps, right = printed("NNX", capsys)
    assert steps > 0
    assert right > 95


@pytest.mark.slow
def test_a_dict_of_arrays_learns_with_a_joint_loss(capsys, untyped):
    first, last = printed("joint", capsys)
    assert last < 0.5 * first
