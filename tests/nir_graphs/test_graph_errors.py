"""What cells cannot be made of, and what NIR cannot say, is refused by name."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("nir", minversion="1.0.7")

import nir
from graphs import chain, dense, layer, neurons, recurrent

import flossing as fl

ENDS = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([4]))}
WAY = ["input", "map", "lif", "output"]


def graph(extra=(), **nodes):
    """A layer of four neurons, with other nodes and more edges; NIR does not check it."""
    nodes = {**ENDS, "map": dense(3, 4, 1.0), "lif": neurons("LIF", 4)} | nodes
    nodes = {name: node for name, node in nodes.items() if node is not None}
    edges = [edge for edge in itertools.pairwise(WAY) if set(edge) <= set(nodes)]
    return nir.NIRGraph(nodes, edges + list(extra), type_check=False)


def conv():
    return nir.Conv1d(3, np.ones((1, 1, 2)), 1, 0, 1, 1, np.zeros(1))


def without_map():
    """The map is an isolated node."""
    return nir.NIRGraph(
        dict(graph().nodes), [("input", "lif"), ("lif", "output")], type_check=False
    )


BAD = {
    "a delay": (
        lambda: graph(map=nir.Delay(np.ones(3))),
        "graph: node 'map' (Delay): cells have nothing of this kind; expected one of Input, Output, ",
    ),
    "a convolution": (lambda: graph(map=conv()), "node 'map' (Conv1d): cells have nothing of this"),
    "pooling": (
        lambda: graph(map=nir.SumPool2d(np.ones(2), np.ones(2), np.zeros(2))),
        "node 'map' (SumPool2d): cells have nothing of this kind",
    ),
    "a threshold": (lambda: graph(lif=nir.Threshold(np.ones(4))), "node 'lif' (Threshold): cells"),
    "two ways": (
        lambda: graph([("map", "other"), ("other", "output")], other=neurons("LIF", 4)),
        "graph: node 'map' (Affine): leads to 'lif', 'other'; expected one node after it, because a "
        "stack does not branch.",
    ),
    "a skip": (
        lambda: graph([("lif", "back"), ("back", "map")], back=dense(4, 3, 1.0)),
        "graph: node 'map' (Affine): gets 'input', 'back'; expected one node before it, besides a map "
        "of its own spikes back to it.",
    ),
    "a loop without weights": (
        lambda: graph([("lif", "lif")]),
        "graph: node 'lif' (LIF): gets 'map', 'lif'; expected one node before it",
    ),
    "two loops": (
        lambda: graph(
            [(a, b) for w in ("one", "two") for a, b in (("lif", w), (w, "lif"))],
            one=dense(4, 4, 1.0),
            two=dense(4, 4, 1.0),
        ),
        "graph: node 'two' (Affine): leads from 'lif' back to it; expected at most one such map, around "
        "LIF, CubaLIF, IF.",
    ),
    "a loop of integrators": (
        lambda: graph([("lif", "w"), ("w", "lif")], lif=neurons("LI", 4), w=dense(4, 4, 1.0)),
        "graph: node 'w' (Affine): leads from 'lif' back to it; expected at most one such map",
    ),
    "a loop of another size": (
        lambda: graph([("lif", "w"), ("w", "lif")], w=dense(4, 3, 1.0)),
        "graph: node 'lif' (LIF): gets spikes back by weights of shape (3, 4); expected (4, 4).",
    ),
    "the end in a map": (
        lambda: graph(lif=nir.Linear(np.ones((4, 4)))),
        "graph: ends in a linear map without neurons, and a cell has a state; end it in neurons such "
        "as nir.LI, or leave the map out and give its weights to the readout of fl.Network.",
    ),
    "no neurons": (
        lambda: nir.NIRGraph(dict(ENDS), [("input", "output")], type_check=False),
        "graph: has no neurons; expected some of LIF, CubaLIF, IF, LI, CubaLI, I.",
    ),
    "no output": (lambda: graph(output=None), "graph: expected one node Output, got none."),
    "two inputs": (
        lambda: graph([("more", "lif")], more=nir.Input(np.array([4]))),
        "graph: expected one node Input, got 'input', 'more'.",
    ),
    "two outputs within": (
        lambda: graph(lif=graph([("lif", "more")], more=nir.Output(np.array([4])))),
        "node 'lif' (NIRGraph): expected one node Output, got 'lif.output', 'lif.more'.",
    ),
    "a dead end": (
        lambda: graph(lif=None),
        "graph: node 'map' (Affine): leads to nothing; expected",
    ),
    "a node of its own": (without_map, "graph: 'map' is not on the way to its output."),
    "an edge to nowhere": (
        lambda: graph([("lif", "nobody")]),
        "graph: the edge ('lif', 'nobody') has an end 'nobody' that is no node.",
    ),
    "an edge twice": (
        lambda: graph([("map", "lif")]),
        "graph: has the edge ('map', 'lif') twice.",
    ),
    "another shape": (
        lambda: graph(map=dense(5, 4, 1.0)),
        "graph: node 'map' (Affine): takes 5 numbers, and gets the shape (3,).",
    ),
    "another bias": (
        lambda: graph(map=nir.Affine(np.ones((4, 3)), np.ones(3))),
        "graph: node 'map' (Affine): bias: expected shape (4,), got (3,).",
    ),
    "weights of three axes": (
        lambda: graph(map=nir.Linear(np.ones((2, 4, 3)))),
        "graph: node 'map' (Linear): expected parameters of a dense layer, got shape (2, 4, 3).",
    ),
    "weights that are not finite": (
        lambda: graph(map=nir.Linear(np.full((4, 3), np.nan))),
        "graph: node 'map' (Linear): weight: expected finite numbers.",
    ),
    "other parameters": (
        lambda: graph(lif=neurons("LIF", 5)),
        "graph: node 'lif' (LIF): tau: expected 1 or 4 numbers, got shape (5,).",
    ),
    "no time constant": (
        lambda: graph(lif=nir.LIF(*np.zeros((4, 4)))),
        "graph: node 'lif' (LIF): tau: expected positive numbers, got [0. 0. 0. 0.].",
    ),
    "an infinite threshold": (
        lambda: graph(lif=nir.IF(np.ones(4), np.full(4, np.inf))),
        "graph: node 'lif' (IF): v_threshold: expected finite numbers, got [inf inf inf inf].",
    ),
    "an input of two axes": (
        lambda: graph(input=nir.Input(np.array([3, 1])), map=neurons("LIF", 3)),
        "graph: node 'map' (LIF): gets the shape (3, 1); expected one axis, as nir.Flatten makes it.",
    ),
    "one of two axes flattened": (
        lambda: graph(input=nir.Input(np.array([3, 1])), map=nir.Flatten(np.array([3, 1]))),
        "graph: node 'map' (Flatten): flattens axes 1 to 1 of the shape (3, 1); expected all.",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_chain_of_known_nodes_is_refused(name, untyped):
    make, message = BAD[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        fl.from_nir(make(), time_step=1e-3)
    assert str(caught.value).startswith(message) or message in str(caught.value)


def test_what_is_no_graph_is_refused(untyped):
    for wrong in ("net.nir", neurons("LIF", 2), {"nodes": {}, "edges": []}):
        with pytest.raises(
            TypeError, match=r"graph: expected a nir.NIRGraph such as nir.read\(path\)"
        ):
            fl.from_nir(wrong, time_step=1e-3)


def test_settings_are_checked_by_their_names(untyped):
    for settings, message in (
        ({"time_step": 0.0}, "time_step: expected a finite positive number, got 0.0."),
        ({"integration": "heun"}, "integration: expected one of 'exact', 'euler', got 'heun'."),
        ({"reset_gradient": "soft"}, "reset_gradient: expected one of 'detached'"),
    ):
        with pytest.raises(ValueError, match=message):
            fl.from_nir(graph(), **({"time_step": 1e-3} | settings))
    with pytest.raises(TypeError, match="surrogate: expected a surrogate such as"):
        fl.from_nir(graph(), time_step=1e-3, surrogate="atan")


def test_a_step_in_another_unit_than_the_graph_is_said():
    """Time constants of 14 to 28 thousandths."""
    with pytest.raises(ValueError, match=r"time_step: 1 is 36 times the longest .* to be seconds"):
        fl.from_nir(graph(), time_step=1.0)
    with pytest.warns(UserWarning, match=r"0.014, is 1400 steps\. .* likely to be milliseconds"):
        fl.from_nir(graph(), time_step=1e-5)
    for time_step in (1e-4, 1e-2, 1e-1):
        fl.from_nir(graph(), time_step=time_step)


def test_an_euler_step_that_would_overshoot_is_refused():
    with pytest.raises(
        ValueError, match=r"an Euler step of 0\.02 is longer than the shortest membrane"
    ):
        fl.from_nir(graph(), time_step=0.02, integration="euler")
    fl.from_nir(graph(), time_step=0.02)


def test_currents_that_were_likely_meant_per_step_are_said():
    ones = np.ones(4)
    with pytest.warns(
        UserWarning, match=r"node 'lif' \(IF\): r is 1, .* divide r by the time step"
    ):
        fl.from_nir(graph(lif=nir.IF(ones, ones)), time_step=1e-3)
    fl.from_nir(graph(lif=nir.IF(ones, ones)), time_step=1.0)
    fl.from_nir(graph(lif=nir.IF(1000 * ones, ones)), time_step=1e-3)


def test_cells_that_nir_cannot_say_are_refused(key):
    fires = fl.IntegrateFireCell(2, 3, key=key)
    noisy = fl.with_escape(fires, fl.escape_noise.SigmoidNoise())
    synapses = fl.IntegratorCell(
        2, 3, membrane_time_constant=None, synapse_time_constant=5.0, key=key
    )
    for cell, error, message in (
        (
            fl.LIFCell(2, 3, reset="subtract", key=key),
            TypeError,
            "stack: expected an fl.IntegrateFireCell",
        ),
        (
            fl.Stack([fires, fl.LIFCell(3, 3, key=key)]),
            TypeError,
            r"layers\[1\]: .* got LIFCell, which NIR",
        ),
        (noisy, ValueError, r"fires stochastically, .* take fl.with_escape\(stack, None\)"),
        (synapses, ValueError, "has synapses and no leak, which NIR has not"),
    ):
        with pytest.raises(error, match=message):
            fl.to_nir(cell)


def test_a_missing_or_old_nir_is_said_with_what_to_install(key, monkeypatch):
    cell = fl.IntegrateFireCell(2, 3, key=key)
    old = SimpleNamespace(LIF=SimpleNamespace(__dataclass_fields__={}), version="1.0.4")
    monkeypatch.setitem(sys.modules, "nir", old)
    with pytest.raises(ImportError, match=r"version 1\.0\.4 has no v_reset; .* --upgrade nir"):
        fl.to_nir(cell)
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match=r"to_nir needs nir, .* pip install nir"):
        fl.to_nir(cell)


def test_graphs_that_are_right_say_nothing():
    fl.from_nir(layer("CubaLIF", loop=True), time_step=1e-3)
    fl.from_nir(
        chain(dense(3, 4, 1.0), recurrent(neurons("LIF", 4), dense(4, 4, 1.0))), time_step=1e-3
    )
