"""JSON files: NumPy numbers are plain numbers in them, and nothing half written stays."""

import json

import numpy as np
import pytest

from flossing.runs.directory import write_json


def test_numpy_numbers_are_written_as_plain_ones(tmp_path):
    content = {"f": np.float32(0.5), "b": np.bool_(True), "a": np.arange(3), "n": [np.int64(2)]}
    write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "f": 0.5, "b": True, "a": [0, 1, 2], "n": [2],
    }  # fmt: skip


def test_what_is_no_number_raises_and_leaves_no_file(tmp_path):
    with pytest.raises(TypeError, match="object cannot be written as JSON"):
        write_json(tmp_path / "x.json", {"x": object()})
    assert list(tmp_path.iterdir()) == []
