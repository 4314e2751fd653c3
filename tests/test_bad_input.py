"""The tables of docs/errors.md, run row by row: every wrong use gets the message that stands there."""

import shlex
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import flossing as fl
from flossing.cli import main

_PAGE = Path(__file__).parents[1] / "docs" / "errors.md"


def _rows(columns: int) -> list[list[str]]:
    rows = []
    for line in _PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `") and len(cells) == columns:
            rows.append([cell.strip("`") if i == 0 else cell for i, cell in enumerate(cells)])
    return rows


_CALLS, _COMMANDS = _rows(3), _rows(2)


def test_the_tables_are_there():
    assert len(_CALLS) >= 40
    assert len(_COMMANDS) >= 15


@pytest.mark.slow
@pytest.mark.parametrize(("call", "kind", "message"), _CALLS, ids=[row[0] for row in _CALLS])
def test_calls(call, kind, message, untyped):
    key = jax.random.key(0)
    cell = fl.TanhCell(1, 8, key=key)
    names = {
        "fl": fl,
        "eqx": eqx,
        "jax": jax,
        "jnp": jnp,
        "key": key,
        "cell": cell,
        "state": cell.initial_state(),
        "inputs": jnp.zeros((50, 1)),
        "ones": jnp.ones(2),
    }
    if "nir." in call:
        names["nir"] = pytest.importorskip("nir", minversion="1.0.7")
    with pytest.raises((ValueError, TypeError)) as caught:
        eval(call, names)
    assert (type(caught.value).__name__, " ".join(str(caught.value).split())) == (kind, message)


@pytest.mark.parametrize(("command", "message"), _COMMANDS, ids=[row[0] for row in _COMMANDS])
def test_commands(command, message, untyped, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("taken").mkdir()
    Path("taken/file").touch()
    Path("unknown.yaml").write_text("task: {delays: 20}")
    Path("wrong.yaml").write_text("epochs: many")
    Path("old.yaml").write_text("flossing: {schedule: both, window: 55}")
    Path("mine.py").write_text("class Mine: pass")
    given = {path.name for path in tmp_path.iterdir()}
    assert main(shlex.split(command)[1:]) == 2
    assert " ".join(capsys.readouterr().err.split()) == message
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == given
