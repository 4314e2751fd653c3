"""The examples of docs/spiking.md run, one after the other."""

import re
from pathlib import Path

import numpy as np
import pytest

_PAGE = Path(__file__).parents[1] / "docs" / "spiking.md"


@pytest.mark.slow
def test_examples_run_and_the_loss_falls(capsys, untyped):
    blocks = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    names: dict = {}
    for block in blocks:
        exec(block, names)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("Hz")
    assert names["result"].data["test_accuracy"].item() > 0.8  # of two classes
    assert lines[-3].startswith("LIFCell: state of 128 numbers, horizon of 140 steps")
    losses = [float(line.split()[-1]) for line in lines[-2:]]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert losses[1] < losses[0]
