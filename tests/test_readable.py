"""Results as text and HTML: digits, columns, and what is said when a library is missing."""

import sys
from html.parser import HTMLParser

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

import flossing as fl
from flossing._readable import Summary, aligned, aligned_errors, as_numpy, chosen, with_dots

NUMBERS = st.lists(st.floats(-1e4, 1e4).filter(lambda x: abs(x) > 1e-6 or x == 0), min_size=1)


@given(NUMBERS, st.floats(1e-6, 1.0))
def test_numbers_of_a_column_are_right_to_their_last_digit(values, error):
    errors = [error] * len(values)
    texts = aligned(values, errors)
    powers = "e" in texts[0]
    for text, value in zip(texts, values, strict=True):
        last = (
            10.0 ** (-3 + int(text.partition("e")[2] or 0)) if powers else 10.0 ** -_decimals(text)
        )
        assert abs(float(text) - value) <= 0.5001 * last
    if not powers:
        assert len({_decimals(text) for text in texts + aligned_errors(values, errors)}) == 1


def _decimals(text):
    return len(text.partition(".")[2])


@pytest.mark.parametrize(
    ("values", "errors", "texts"),
    [
        ([0.5, -0.25], [0.1, 0.02], ["+0.500", "-0.250"]),
        ([-0.0412, -35.2], [0.003, 0.05], ["-0.0412", "-35.2000"]),
        ([0.0, 0.0], None, ["+0.0000", "+0.0000"]),
        ([1.0, 1e-9], [1e-9, 1e-9], ["+1.000000", "+0.000000"]),
        ([1e-9, -2e-10], None, ["+1.000e-09", "-2.000e-10"]),
        ([-np.inf, 2.5], [0.0, np.inf], ["-inf", "+2.500"]),
        ([np.nan], None, ["+nan"]),
    ],
)
def test_columns_have_the_digits_that_their_errors_leave(values, errors, texts):
    assert aligned(values, errors) == texts


class Cells(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.cells, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        assert "color" not in dict(attributes).get("style", "")
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells.append(data)


def test_text_and_html_say_the_same():
    names = [str(i + 1) for i in chosen(20)]
    rows = with_dots(names, [[f"<{name}>" for name in names]])
    summary = Summary("a < b\nand c", ["i", "value"], rows, ["a & b"])
    lines = summary.text().splitlines()
    assert lines[:2] == ["a < b", "and c"]
    assert [line.split() for line in lines[2:-1]] == [["i", "value"], *rows]
    assert len({len(line) for line in lines[2:-1]}) == 1
    assert len(rows) == 7
    assert rows[5] == ["...", "..."]
    assert rows[6] == ["20", "<20>"]
    flat = [cell for row in [["i", "value"], *rows] for cell in row]
    assert Cells(summary.html()).cells == ["a < b", "and c", *flat, "a & b"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32", "int32", "bool"])
def test_arrays_of_any_dtype_become_ones_that_files_can_hold(dtype):
    array = as_numpy(jnp.asarray([0.0, 1.0]).astype(dtype))
    assert array.tolist() == [0, 1]
    assert array.dtype.kind in "biuf"


def test_a_missing_library_is_named_with_the_command_that_installs_it(monkeypatch, key):
    spectrum = fl.lyapunov_spectrum(lambda x, u: x / 2, jnp.ones(2), num_steps=4, key=key)
    monkeypatch.setitem(sys.modules, "xarray", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in [name for name in sys.modules if name.startswith("flossing.plots")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(vars(fl), "plots", raising=False)  # asking for the attribute would load it
    with pytest.raises(ModuleNotFoundError, match=r"to_xarray needs xarray.*pip install xarray"):
        spectrum.to_xarray()
    with pytest.raises(ModuleNotFoundError, match=r"a figure needs matplotlib.*install matplotlib"):
        spectrum.plot()
