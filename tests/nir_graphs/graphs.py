"""Graphs of NIR, and what they do: a simulation in NumPy that knows nothing of cells."""

import itertools

import nir
import numpy as np

KINDS = ["LIF", "CubaLIF", "IF", "LI", "CubaLI", "I"]
FIRING = KINDS[:3]


def spread(size, value, dtype=np.float32):
    """A number for each neuron around ``value``."""
    return np.linspace(0.7 * value, 1.4 * value, size).astype(dtype)


def neurons(kind, size, *, time_step=1e-3, dtype=np.float32):
    """Neurons whose parameters differ, with time constants of some 20 and 5 steps."""
    steps = {"tau": 20, "tau_mem": 20, "tau_syn": 5}
    values = {name: steps[name] * time_step for name in steps}
    values |= {"r": 1.5, "w_in": 2.0, "v_leak": 0.05, "v_threshold": 0.8, "v_reset": -0.2}
    if kind in ("IF", "I"):
        values["r"] = 0.1 / time_step
    fields = [name for name in getattr(nir, kind).__dataclass_fields__ if name in values]
    return getattr(nir, kind)(**{name: spread(size, values[name], dtype) for name in fields})


def dense(below, above, gain, *, seed=0, bias=0.0, dtype=np.float32):
    """A random affine map, or a linear one where the bias is ``None``."""
    rng = np.random.default_rng(seed)
    weight = (gain * rng.normal(0.4, 1.0, (above, below)) / np.sqrt(below)).astype(dtype)
    if bias is None:
        return nir.Linear(weight)
    return nir.Affine(weight, (bias * rng.normal(size=above)).astype(dtype))


def recurrent(neuron, weight):
    """Neurons with a map from their spikes back to them, as a graph."""
    size = np.array([weight.weight.shape[0]])
    nodes = {"input": nir.Input(size), "lif": neuron, "w_rec": weight, "output": nir.Output(size)}
    edges = [("input", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output")]
    return nir.NIRGraph(nodes, edges)


def neuron_of(node):
    """The neurons in a node that may be a graph."""
    return node.nodes["lif"] if isinstance(node, nir.NIRGraph) else node


def chain(*nodes):
    """Pairs of a map and neurons, with the names that ``fl.to_nir`` gives."""
    names = [f"layer_{i // 2}_{('map', 'neurons')[i % 2]}" for i in range(len(nodes))]
    size = next(iter(nodes[-1].output_type.values()))
    ends = nir.Input(np.array([nodes[0].weight.shape[1]])), nir.Output(np.array(size))
    named = {"input": ends[0], **dict(zip(names, nodes, strict=True)), "output": ends[1]}
    return nir.NIRGraph(named, list(itertools.pairwise(named)))


def layer(kind, *, loop, bias=0.1, inputs=3, size=6, gain=8.0, loop_bias=None, **options):
    """One layer of neurons behind a map, with recurrence if wanted."""
    dtype = options.get("dtype", np.float32)
    found = neurons(kind, size, **options)
    if loop:
        found = recurrent(found, dense(size, size, gain, seed=1, bias=loop_bias, dtype=dtype))
    return chain(dense(inputs, size, gain, bias=bias, dtype=dtype), found)


def through_a_file(graph, tmp_path):
    """The graph as it is read from a file."""
    nir.write(tmp_path / "graph.nir", graph)
    return nir.read(tmp_path / "graph.nir")


def assert_equal(one, other):
    """Of dictionaries of arrays, bit by bit; edges may stand in another order."""
    assert set(one) == set(other)
    for name, value in one.items():
        if isinstance(value, dict):
            assert_equal(value, other[name])
        elif name == "edges":
            assert sorted(value) == sorted(other[name])
        else:
            np.testing.assert_array_equal(value, other[name])


def spikes(steps, size, *, seed=2, share=0.3, dtype=np.float32):
    """Random input spikes."""
    return (np.random.default_rng(seed).random((steps, size)) < share).astype(dtype)


def simulate(graph, inputs, *, time_step, integration, late_bias=False):
    """What the last neurons of a chain give at each step, in double precision.

    Args:
        late_bias: the bias of a recurrent map is missing in the first step.
    """
    names = [name for name in graph.nodes if name not in ("input", "output")]
    states = {name: None for name in names}
    rows = []
    for step, x in enumerate(np.asarray(inputs, float)):
        for name in names:
            node = graph.nodes[name]
            if isinstance(node, nir.Affine | nir.Linear):
                x = mapped(node, x)
                continue
            state = states[name] or start(neuron_of(node), len(x))
            if isinstance(node, nir.NIRGraph):
                back = mapped(node.nodes["w_rec"], state["z"])
                bias = getattr(node.nodes["w_rec"], "bias", 0.0)
                x = x + (back - bias if late_bias and step == 0 else back)
            states[name] = moved(neuron_of(node), state, x, time_step, integration)
            x = states[name]["z"] if hasattr(neuron_of(node), "v_threshold") else states[name]["v"]
        rows.append(x)
    return np.asarray(rows)


def mapped(node, x):
    return np.asarray(node.weight, float) @ x + getattr(node, "bias", 0.0)


def start(neuron, size):
    v = np.asarray(getattr(neuron, "v_leak", np.zeros(size)), float)
    return {"v": v, "i": np.zeros(size), "z": np.zeros(size)}


def moved(neuron, state, x, time_step, integration):
    """The state after a step: reset, synapse, membrane, spike."""

    def share(tau):
        tau = np.asarray(tau, float)
        return 1 - np.exp(-time_step / tau) if integration == "exact" else time_step / tau

    v, i, z = state["v"], state["i"], state["z"]
    fires = hasattr(neuron, "v_threshold")
    if fires:
        v = np.where(z > 0, neuron.v_reset, v)
    if hasattr(neuron, "tau_syn"):
        i = i + share(neuron.tau_syn) * (neuron.w_in * x - i)
        x = i
    x = neuron.r * x
    tau = getattr(neuron, "tau", getattr(neuron, "tau_mem", None))
    v = v + time_step * x if tau is None else v + share(tau) * (neuron.v_leak + x - v)
    return {"v": v, "i": i, "z": (v > neuron.v_threshold).astype(float) if fires else z}
