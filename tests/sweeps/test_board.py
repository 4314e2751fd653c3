"""The one line on a whole sweep, and how long it says that is left."""

import dataclasses
import io
from types import SimpleNamespace

import hypothesis
import hypothesis.strategies as st
import pytest
from rich.console import Console
from sweep_helpers import SMALL

import flossing as fl
from flossing.sweeps import board as boards, grid as grids
from flossing.sweeps.worker import _News

FLOSSED = dataclasses.replace(
    SMALL,
    schedule=fl.Before(num_exponents=3, steps_before=100),
    epochs=1000,
)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(boards.time, "monotonic", lambda: now[0])
    return now


def make(base, seeds, finished=0):
    out = io.StringIO()
    runs = grids.grid(base, {"seed": list(range(1, seeds + 1))}).runs
    with boards.sweep_display(Console(file=out, width=100)) as progress:
        return boards.Board(progress, runs, runs[:finished]), out


def test_the_line_counts_runs_and_estimates_from_blocks_that_do_not_compile(clock):
    board, out = make(dataclasses.replace(SMALL, epochs=200), 4, 1)
    assert board.text() == "1/4 runs"
    board.progress(1, 0, "start, compiling")
    board.progress(2, 50, "training, compiling")  # continued from a checkpoint
    clock[0] += 60
    board.progress(1, 50, "training")
    board.progress(2, 100, "training")
    assert board.text() == "1/4 runs, no estimate yet: runs compile first"
    clock[0] += 5
    board.progress(1, 100, "training")
    board.progress(2, 150, "training")
    # 100 + 50 + 200 epochs are left at 0.1 s each, two at a time
    assert board.text() == "1/4 runs, 0:18 left"
    board.ended(2, "failed")
    board.progress(2, 200, "training")  # late news
    assert board.text() == "1/4 runs, 1 failed, 0:30 left; training"
    board.message("something [odd]")
    lines = out.getvalue().splitlines()
    assert "seed=3: failed" in lines
    assert "something [odd]" in lines


@pytest.mark.slow
@hypothesis.settings(deadline=None, max_examples=10)
@hypothesis.given(
    floss=st.floats(0.01, 100),
    train=st.floats(0.001, 10),
    compiling=st.floats(0, 1000),
    runs=st.integers(1, 6),
)
def test_the_estimate_is_right_when_all_runs_go_alike(floss, train, compiling, runs):
    """Flossing steps take another time than epochs; both compile before their first block."""
    all_runs = grids.grid(FLOSSED, {"seed": list(range(runs))}).runs
    pace, now = boards.Pace(all_runs), 0.0
    pace.add(0, 0, now)
    for done in range(50, 1101, 50):
        kind, first = (floss, done == 50) if done <= 100 else (train, done == 150)
        now += 50 * kind + compiling * first
        pace.add(0, done, now)
        left = {0: done} | dict.fromkeys(range(1, runs), 0)
        seconds = pace.seconds_left(left)
        if done < 200:
            assert seconds is None
        else:
            expected = (1100 - done) * train + (runs - 1) * (100 * floss + 1000 * train)
            assert seconds == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_runs_of_one_block_are_estimated_from_whole_runs(clock):
    board, _ = make(dataclasses.replace(SMALL, epochs=50), 3)
    board.progress(0, 0, "start, compiling")
    clock[0] += 20
    board.progress(0, 50, "training")
    assert "left" not in board.text()
    board.ended(0, "finished")
    assert board.text() == "1/3 runs, 0:40 left"


@pytest.mark.parametrize("done", [0, 1, 99, 100, 101, 1099, 1100])
def test_what_is_left_is_told_by_kind(done):
    (run,) = grids.grid(FLOSSED, {"seed": [1]}).runs
    left = run.left(done)
    assert left == (max(0, 100 - done), 1000 - max(0, done - 100))
    assert sum(left) == run.steps - done


def test_news_of_a_run_count_flossing_and_training_together():
    """Also of a run that goes on, which tells first what was done before."""
    told = []
    job = SimpleNamespace(topic="sweep", index=3)
    news = _News(job, lambda topic, content: told.append((content["phase"], content["done"])))
    news.progress("flossing", 60, 60, "done before")
    news.progress("training", 600, 600, "loss 1")
    assert told == [("flossing", 60), ("training", 660)]
