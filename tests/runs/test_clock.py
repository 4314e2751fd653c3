"""The clock of a run: one line for each block, also over kills and damage."""

import pytest

from flossing.runs.clock import Block, Moment, add_to_clock, read_clock


def test_what_was_done_twice_counts_once(tmp_path):
    """Killed after epoch 100 and resumed from epoch 50, with flossing before."""
    blocks = [
        Block("flossing", 0, 20, 3.0, 4.0),
        Block("training", 0, 50, 1.0, 2.0),
        Block("training", 50, 50, 1.0, 2.0),
        Block("training", 50, 30, 0.5, 1.0),
        Block("training", 80, 50, 1.5, 2.5),
    ]
    for block in blocks:
        add_to_clock(tmp_path, block)
    assert read_clock(tmp_path) == [*blocks[:2], *blocks[3:]]


def test_a_moment_passes():
    block = Moment().block("training", 3, 4)
    assert block[:3] == ("training", 3, 4)
    assert 0 <= block.wall_seconds < 10
    assert 0 <= block.processor_seconds < 10


def test_no_clock_and_damaged_ones_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no clock\.jsonl"):
        read_clock(tmp_path)
    (tmp_path / "clock.jsonl").write_text('{"kind": "training"}\n')
    with pytest.raises(ValueError, match="line 1 is damaged"):
        read_clock(tmp_path)


def test_a_full_disk_costs_no_run(tmp_path):
    add_to_clock(tmp_path / "missing", Block("training", 0, 1, 1.0, 1.0))
    assert list(tmp_path.iterdir()) == []
