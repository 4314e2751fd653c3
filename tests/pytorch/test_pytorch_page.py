"""The examples about PyTorch in docs run, smaller than on their pages, and do what these say."""

import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

_ROOT = Path(__file__).parents[2]
_EXAMPLES = [
    example
    for page in ("docs/tutorials/pytorch.md", "docs/pytorch.md", "README.md")
    for example in re.findall(
        r"```python\n(.*?)```", (_ROOT / page).read_text(encoding="utf-8"), re.DOTALL
    )
    if "torch" in example
]
_MODULE, _LSTM, _SNN, _NORSE, _BLOCK, _README = _EXAMPLES


def run(code, **smaller):
    """What an example leaves behind, with other numbers in some places of its text."""
    for old, new in smaller.values():
        assert old in code
        code = code.replace(old, new)
    names: dict = {}
    exec(code, names)
    return names


def test_each_is_shorter_than_forty_lines():
    assert all(len([line for line in code.splitlines() if line]) < 40 for code in _EXAMPLES)


def test_an_lstm_as_it_comes_has_vanishing_gradients(capsys, untyped):
    run(_MODULE)
    text = capsys.readouterr().out
    assert "8 of 128 Lyapunov exponents" in text
    assert "vanish" in text


def test_an_lstm_is_flossed_and_learns(capsys, untyped):
    smaller = {
        "epochs": ("True, 300", "True, 60"),
        "sizes": ("60, 20", "30, 6"),
        "units": ("64", "24"),
        "exponents": ("parameters(), 32, window=50", "parameters(), 12, window=20"),
        "steps": ("range(60)", "range(25)"),
    }
    names = run(_LSTM, **smaller)
    assert abs(float(names["info"].exponents[0])) < 0.2
    assert float(re.findall(r"accuracy ([\d.]+)", capsys.readouterr().out)[0]) > 0.75


def test_a_network_of_snntorch_is_flossed(capsys, untyped):
    pytest.importorskip("snntorch")
    smaller = {
        "epochs": ("True, 200", "True, 3"),
        "units": ("48", "12"),
        "steps": ("range(25 if", "range(8 if"),
    }
    names = run(_SNN, **smaller)
    flosser = names["flosser"]
    assert (flosser.num_skipped, flosser.keep_row_means) == (0, True)
    assert names["keeper"].calls == 3
    assert "accuracy" in capsys.readouterr().out


def test_the_check_tells_the_surrogate_of_norse_that_ignores_its_sharpness(capsys, untyped):
    pytest.importorskip("norse.torch")
    run(_NORSE)
    default, other = capsys.readouterr().out.split("findings: ")[1:]
    assert "ignored-sharpness" in default
    assert "ignored-sharpness" not in other
    assert "fine" in other
    for text in (default, other):
        assert "exact-reset" in text


def test_a_looped_block_has_windows(capsys, untyped):
    run(_BLOCK)
    text = capsys.readouterr().out
    assert "(4, 3, 2)" in text
    assert "2 of 40 Lyapunov exponents, nats per step, 10 steps, 4 examples" in text


def test_the_example_of_the_readme_brings_exponents_to_zero(capsys, untyped):
    torch.manual_seed(0)
    names = run(_README)
    assert re.search(r"Gradients vanish: .* over 40 steps", capsys.readouterr().out)
    assert abs(float(names["info"].exponents[0])) < 0.05
