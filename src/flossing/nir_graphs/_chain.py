"""A graph of NIR as a chain of layers: the way from its input to its output."""

from typing import Any, NamedTuple

import numpy as np

from ._nodes import FIRING, KNOWN, MAPS, NEURONS, kind

Edges = list[tuple[str, str]]


class Map(NamedTuple):
    """An affine map of a vector; ``None`` for the identity, and for no bias."""

    weight: np.ndarray | None = None
    bias: np.ndarray | None = None


class Layer(NamedTuple):
    """Neurons, the map that feeds them and the one that feeds their spikes back, if any."""

    name: str
    neuron: Any
    size: int
    below: Map
    recurrent: Map | None


def layers_of(graph: Any) -> list[Layer]:
    """The layers of a graph, bottom first; raises ``ValueError`` where it is no chain of known nodes."""
    nodes, edges = _flat(graph)
    feedback = _feedback(nodes, edges)
    maps = {name for name, _ in feedback.values()}
    nodes = {name: node for name, node in nodes.items() if name not in maps}
    edges = [edge for edge in edges if not maps.intersection(edge)]
    layers, shape, below = [], None, Map()
    for name in _way(nodes, edges):
        node = nodes[name]
        if kind(node) == "Input":
            shape = _shape(node.input_type["input"])
        elif kind(node) == "Flatten":
            shape = _flattened(name, node, shape)
        elif kind(node) in MAPS:
            below, shape = _then(name, node, below, shape)
        elif kind(node) in NEURONS:
            layer = _layer(name, node, below, shape, feedback.get(name, (None, None))[1])
            layers.append(layer)
            below, shape = Map(), (layer.size,)
    if below.weight is not None:
        raise ValueError(
            "graph: ends in a linear map without neurons, and a cell has a state; end it in neurons such as "
            "nir.LI, or leave the map out and give its weights to the readout of fl.Network."
        )
    if not layers:
        raise ValueError(f"graph: has no neurons; expected some of {', '.join(NEURONS)}.")
    return layers


def _called(name: str, node: Any) -> str:
    return f"graph: node {name!r} ({kind(node)})"


def _flat(graph: Any, prefix: str = "") -> tuple[dict[str, Any], Edges]:
    """Nodes and edges with those of graphs within it; inputs and outputs of the inner ones are left out."""
    nodes: dict[str, Any] = {}
    edges: Edges = [(prefix + a, prefix + b) for a, b in graph.edges]
    for short, node in graph.nodes.items():
        name = prefix + short
        if kind(node) not in KNOWN:
            raise ValueError(
                f"{_called(name, node)}: cells have nothing of this kind; expected one of "
                f"{', '.join(KNOWN)}."
            )
        if kind(node) != "NIRGraph":
            nodes[name] = node
            continue
        inner, within = _flat(node, name + ".")
        ends = [_only(inner, end, name) for end in ("Input", "Output")]
        edges = [(ends[1] if a == name else a, ends[0] if b == name else b) for a, b in edges]
        edges = edges + within
        for end in ends:
            edges = _without(end, edges)
        nodes |= {key: node for key, node in inner.items() if key not in ends}
    _check_edges(nodes, edges)
    return nodes, edges


def _only(nodes: dict[str, Any], wanted: str, name: str = "") -> str:
    """The only node of a kind."""
    names = [key for key, node in nodes.items() if kind(node) == wanted]
    if len(names) != 1:
        where = f"node {name!r} (NIRGraph)" if name else "graph"
        got = ", ".join(map(repr, names)) or "none"
        raise ValueError(f"{where}: expected one node {wanted}, got {got}.")
    return names[0]


def _without(node: str, edges: Edges) -> Edges:
    """Edges that go past a node."""
    into = [a for a, b in edges if b == node]
    out = [b for a, b in edges if a == node]
    return [e for e in edges if node not in e] + [(a, b) for a in into for b in out]


def _check_edges(nodes: dict[str, Any], edges: Edges) -> None:
    for edge in edges:
        for end in edge:
            if end not in nodes:
                raise ValueError(f"graph: the edge {edge} has an end {end!r} that is no node.")
        if edges.count(edge) > 1:
            raise ValueError(f"graph: has the edge {edge} twice.")


def _feedback(nodes: dict[str, Any], edges: Edges) -> dict[str, tuple[str, Map]]:
    """By neuron, the name of the map that leads from it back to it, and the map."""
    feedback: dict[str, tuple[str, Map]] = {}
    for name, node in nodes.items():
        into, out = [a for a, b in edges if b == name], [b for a, b in edges if a == name]
        if kind(node) not in MAPS or len(into) != 1 or into != out:
            continue
        neuron = into[0]
        if kind(nodes[neuron]) not in FIRING or neuron in feedback:
            raise ValueError(
                f"{_called(name, node)}: leads from {neuron!r} back to it; expected at most one such map, "
                f"around {', '.join(FIRING)}."
            )
        feedback[neuron] = name, _then(name, node, Map(), None)[0]
    return feedback


def _way(nodes: dict[str, Any], edges: Edges) -> list[str]:
    """The names of nodes from the input to the output, each with one before and one after it."""
    way = [_only(nodes, "Input")]
    end = _only(nodes, "Output")
    while way[-1] != end:
        here = way[-1]
        out = [b for a, b in edges if a == here]
        if len(out) != 1:
            raise ValueError(
                f"{_called(here, nodes[here])}: leads to {', '.join(map(repr, out)) or 'nothing'}; expected "
                "one node after it, because a stack does not branch."
            )
        into = [a for a, b in edges if b == out[0]]
        if len(into) != 1:
            raise ValueError(
                f"{_called(out[0], nodes[out[0]])}: gets {', '.join(map(repr, into))}; expected one node "
                "before it, besides a map of its own spikes back to it."
            )
        way.append(out[0])
    if lost := [name for name in nodes if name not in way]:
        raise ValueError(f"graph: {', '.join(map(repr, lost))} is not on the way to its output.")
    return way


def _shape(value: Any) -> tuple[int, ...] | None:
    return None if value is None else tuple(int(n) for n in np.atleast_1d(value))


def _floats(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(float)


def _flattened(name: str, node: Any, shape: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = shape or _shape(node.input_type["input"])
    if shape is None:
        raise ValueError(f"{_called(name, node)}: the shape of its input is not known.")
    first, last = (int(end) % len(shape) for end in (node.start_dim, node.end_dim))
    if (first, last) != (0, len(shape) - 1):
        raise ValueError(
            f"{_called(name, node)}: flattens axes {first} to {last} of the shape {shape}; expected all."
        )
    return (int(np.prod(shape)),)


def _then(
    name: str, node: Any, below: Map, shape: tuple[int, ...] | None
) -> tuple[Map, tuple[int, ...]]:
    """One map after another, and the shape that it gives."""
    if kind(node) == "Flatten":
        raise ValueError(f"{_called(name, node)}: cannot feed spikes back.")
    weight = _floats(node.scale if kind(node) == "Scale" else node.weight)
    weight = np.diag(weight) if kind(node) == "Scale" and weight.ndim == 1 else weight
    if weight.ndim != 2:
        raise ValueError(
            f"{_called(name, node)}: expected parameters of a dense layer, got shape {weight.shape}."
        )
    if shape is not None and shape != weight.shape[1:]:
        raise ValueError(
            f"{_called(name, node)}: takes {weight.shape[1]} numbers, and gets the shape {shape}."
        )
    bias = _floats(node.bias) if kind(node) == "Affine" else None
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(
            f"{_called(name, node)}: bias: expected shape {weight.shape[:1]}, got {bias.shape}."
        )
    for title, value in (("weight", weight), ("bias", bias)):
        if value is not None and not np.isfinite(value).all():
            raise ValueError(f"{_called(name, node)}: {title}: expected finite numbers.")
    if below.bias is not None:
        moved = weight @ below.bias
        bias = moved if bias is None else moved + bias
    whole = weight if below.weight is None else weight @ below.weight
    return Map(whole, bias), weight.shape[:1]


def _layer(
    name: str, node: Any, below: Map, shape: tuple[int, ...] | None, recurrent: Map | None
) -> Layer:
    shape = shape or _shape(node.input_type["input"]) or (1,)
    if len(shape) != 1:
        raise ValueError(
            f"{_called(name, node)}: gets the shape {shape}; expected one axis, as nir.Flatten makes it."
        )
    (size,) = shape
    if (
        recurrent is not None
        and recurrent.weight is not None
        and recurrent.weight.shape != (size, size)
    ):
        raise ValueError(
            f"{_called(name, node)}: gets spikes back by weights of shape {recurrent.weight.shape}; expected "
            f"{(size, size)}."
        )
    return Layer(name, node, size, below, recurrent)
