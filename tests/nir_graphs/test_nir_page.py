"""The example of docs/nir.md runs, and flosses what it has read."""

import re
from pathlib import Path

import pytest

nir = pytest.importorskip("nir", minversion="1.0.7")

_PAGE = Path(__file__).parents[2] / "docs" / "nir.md"


@pytest.mark.slow
def test_the_example_flosses_a_file(capsys, untyped, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    names: dict = {}
    exec(block, names)
    rate, *losses = capsys.readouterr().out.splitlines()
    assert 1 < float(rate.removesuffix(" Hz")) < 200
    assert float(losses[-1]) < 0.5 * float(losses[0])
    before, after = nir.read("network.nir"), nir.read("flossed.nir")
    (loop,) = (node for node in before.nodes.values() if isinstance(node, nir.NIRGraph))
    flossed = after.nodes["layer_0_neurons"].nodes
    assert (flossed["w_rec"].weight != loop.nodes["w_rec"].weight).any()
    assert (flossed["lif"].r == loop.nodes["lif"].r).all()
