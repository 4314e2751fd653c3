"""The one line on a whole sweep."""

import io

from rich.console import Console
from sweep_helpers import SMALL

from flossing.sweeps import board as boards, grid as grids


def test_the_line_counts_runs_and_epochs(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(boards.time, "monotonic", lambda: clock[0])
    runs = grids.grid(SMALL, {"seed": [1, 2, 3, 4]}).runs
    out = io.StringIO()
    with boards.sweep_display(Console(file=out, width=100)) as progress:
        board = boards.Board(progress, runs, runs[:1])
        assert board.text() == "1/4 runs"
        board.progress(1, 0, "start")
        clock[0] += 10
        board.progress(1, 50, "training")
        board.progress(2, 30, "continued from a checkpoint")
        assert board.text() == "1/4 runs, 5.0 epochs/s, 0:20 left"
        board.ended(1, "finished")
        board.ended(2, "failed")
        assert board.text() == "2/4 runs, 1 failed, 5.0 epochs/s, 0:12 left"
        board.message("something [odd]")
    lines = out.getvalue().splitlines()
    assert "seed=2: finished" in lines
    assert "something [odd]" in lines
