"""Graphs become stacks that do what their equations say, and stacks become graphs again."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("nir", minversion="1.0.7")

import itertools

import nir
from graphs import (
    FIRING,
    KINDS,
    assert_equal,
    chain,
    dense,
    layer,
    neurons,
    recurrent,
    simulate,
    spikes,
    through_a_file,
)

import flossing as fl

LAYERS = [(kind, False) for kind in KINDS] + [(kind, True) for kind in FIRING]
every_layer = pytest.mark.parametrize(("kind", "loop"), LAYERS)
with_integration = pytest.mark.parametrize("integration", ["exact", "euler"])


def outputs(stack, inputs):
    return np.asarray(stack.over_time(jnp.asarray(inputs)))


def network(dtype=np.float32):
    """Two recurrent layers and a readout with synapses."""
    return chain(
        dense(3, 6, 8.0, bias=0.1, dtype=dtype),
        recurrent(
            neurons("CubaLIF", 6, dtype=dtype), dense(6, 6, 2.0, seed=1, bias=None, dtype=dtype)
        ),
        dense(6, 5, 16.0, seed=2, bias=None, dtype=dtype),
        recurrent(neurons("LIF", 5, dtype=dtype), dense(5, 5, 2.0, seed=3, bias=None, dtype=dtype)),
        dense(5, 2, 1.0, seed=4, dtype=dtype),
        neurons("CubaLI", 2, dtype=dtype),
    )


@every_layer
@with_integration
def test_a_layer_does_what_the_equations_of_its_neurons_say(kind, loop, integration, x64):
    graph, inputs = layer(kind, loop=loop, dtype=float), spikes(100, 3, dtype=float)
    stack = fl.from_nir(graph, time_step=1e-3, integration=integration)
    expected = simulate(graph, inputs, time_step=1e-3, integration=integration)
    found = outputs(stack, inputs)
    if kind in FIRING:
        assert 50 < expected.sum() < 500
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.slow
@with_integration
def test_a_network_does_what_its_layers_do_one_after_the_other(integration, x64):
    graph, inputs = network(float), spikes(100, 3, dtype=float)
    stack = fl.from_nir(graph, time_step=1e-3, integration=integration)
    below = stack.all_over_time(jnp.asarray(inputs))
    assert all(20 < float(x.sum()) < 400 for x in below[:2])
    expected = simulate(graph, inputs, time_step=1e-3, integration=integration)
    np.testing.assert_allclose(below[2], expected, atol=1e-12)


@every_layer
def test_a_graph_that_was_imported_written_and_read_is_the_same(kind, loop, tmp_path):
    graph = layer(kind, loop=loop)
    again = through_a_file(fl.to_nir(fl.from_nir(graph, time_step=1e-3)), tmp_path)
    assert_equal(again.to_dict(), graph.to_dict())


def test_a_network_that_was_imported_written_and_read_is_the_same(tmp_path):
    again = through_a_file(fl.to_nir(fl.from_nir(network(), time_step=1e-3)), tmp_path)
    assert_equal(again.to_dict(), network().to_dict())


@pytest.mark.slow
@with_integration
def test_cells_that_were_written_and_read_do_the_same(integration, key, tmp_path):
    own = {"time_step": 2.0, "integration": integration}
    keys = jax.random.split(key, 3)
    gain = fl.initialisers.Gaussian(2.0)
    stack = fl.Stack(
        [
            fl.IntegrateFireCell(
                3, 6, input_gain=20.0, recurrent=gain, bias=True, key=keys[0], **own
            ),
            fl.IntegrateFireCell(
                6, 4, membrane_time_constant=None, threshold=0.5, key=keys[1], **own
            ),
            fl.IntegratorCell(4, 2, synapse_time_constant=5.0, key=keys[2], **own),
        ]
    )
    graph = through_a_file(fl.to_nir(stack), tmp_path)
    again = fl.from_nir(graph, **own)
    inputs = jnp.asarray(spikes(60, 3))
    mine, read = stack.all_over_time(inputs), again.all_over_time(inputs)
    assert mine[1].sum() > 20
    for one, other in zip(mine[:2], read[:2], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(read[2], mine[2], rtol=1e-5)  # numbers become arrays of them


def test_names_stand_in_the_order_of_the_layers(key):
    """Also after a file, which sorts them: nirtorch reads graphs within graphs in this order only."""
    cell = fl.IntegrateFireCell(2, 2, recurrent=fl.initialisers.Gaussian(), key=key)
    names = list(fl.to_nir(fl.Stack([cell] * 11)).nodes)
    assert names == sorted(names)
    assert names[1::20] == ["layer_00_map", "layer_10_map"]


def test_weights_that_were_changed_are_all_that_is_new(tmp_path):
    stack = fl.from_nir(network(), time_step=1e-3)
    stack = eqx.tree_at(lambda s: s.layers[1].recurrent_weight, stack, replace_fn=lambda w: w + 0.5)
    expected = network()
    weight = expected.nodes["layer_1_neurons"].nodes["w_rec"].weight
    weight += np.float32(0.5)
    assert_equal(through_a_file(fl.to_nir(stack), tmp_path).to_dict(), expected.to_dict())


def test_recurrence_may_stand_in_the_graph_itself():
    nested = layer("LIF", loop=True)
    inner = nested.nodes["layer_0_neurons"].nodes
    nodes = {name: nested.nodes[name] for name in ("input", "layer_0_map", "output")}
    nodes |= {"cells": inner["lif"], "back": inner["w_rec"]}
    way = ["input", "layer_0_map", "cells", "back", "cells", "output"]
    flat = nir.NIRGraph(nodes, list(itertools.pairwise(way)))
    one, other = (fl.from_nir(graph, time_step=1e-3) for graph in (nested, flat))
    assert eqx.tree_equal(one, other)


def test_graphs_may_stand_in_graphs_in_graphs():
    inner = network()
    size = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([2]))}
    edges = [("input", "all"), ("all", "output")]
    outer = nir.NIRGraph({"all": nir.NIRGraph({"all": inner, **size}, edges), **size}, edges)
    one, other = (fl.from_nir(graph, time_step=1e-3) for graph in (inner, outer))
    assert eqx.tree_equal(one, other)


def test_maps_in_a_row_become_their_product(x64):
    first, second = dense(3, 4, 1.0, bias=0.3, dtype=float), dense(4, 6, 1.0, seed=5, dtype=float)
    scale = nir.Scale(np.linspace(1.0, 2.0, 4))
    graph = nir.NIRGraph.from_list(first, scale, second, neurons("LIF", 6, dtype=float))
    cell = fl.from_nir(graph, time_step=1e-3).layers[0]
    weight = second.weight @ (scale.scale[:, None] * first.weight)
    np.testing.assert_allclose(cell.input_weight, weight, rtol=1e-14)
    bias = second.weight @ (scale.scale * first.bias) + second.bias
    np.testing.assert_allclose(cell.bias, bias, rtol=1e-14)


def test_neurons_without_a_map_get_their_inputs_one_by_one():
    graph = nir.NIRGraph.from_list(neurons("LI", 4))
    (cell,) = fl.from_nir(graph, time_step=1e-3).layers
    np.testing.assert_array_equal(cell.input_weight, np.eye(4))
    assert cell.bias is None


def test_all_axes_of_an_input_are_flattened():
    nodes = dict(layer("LIF", loop=False, inputs=6).nodes)
    plain = nir.NIRGraph.from_list(*list(nodes.values())[1:-1])
    flat = nir.NIRGraph.from_list(
        nir.Input(np.array([2, 3])),
        nir.Flatten(np.array([2, 3]), start_dim=0),
        *list(nodes.values())[1:-1],
    )
    one, other = (fl.from_nir(graph, time_step=1e-3) for graph in (plain, flat))
    assert eqx.tree_equal(one, other)


def test_one_number_serves_all_neurons():
    """As some libraries write them, with and without an axis."""
    for shape in ((), (1,)):
        single = nir.LIF(*(np.full(shape, x) for x in (0.02, 1.0, 0.0, 0.8)))
        nodes = {"input": nir.Input(np.array([3])), "map": dense(3, 6, 4.0), "lif": single}
        nodes["output"] = nir.Output(np.array([6]))
        names = list(nodes)
        edges = list(itertools.pairwise(names))
        graph = nir.NIRGraph(nodes, edges, type_check=False)
        (cell,) = fl.from_nir(graph, time_step=1e-3).layers
        np.testing.assert_array_equal(cell.threshold, np.full(6, 0.8, np.float32))


def test_a_bias_of_the_recurrence_is_one_of_the_input(x64):
    graph = layer("LIF", loop=True, bias=0.2, loop_bias=0.3, dtype=float)
    (cell,) = fl.from_nir(graph, time_step=1e-3).layers
    biases = graph.nodes["layer_0_map"].bias + graph.nodes["layer_0_neurons"].nodes["w_rec"].bias
    np.testing.assert_array_equal(cell.bias, biases)


def test_neurons_of_an_earlier_version_are_reset_to_zero():
    class LIF:
        """As before version 1.0.6, without v_reset."""

        def __init__(self):
            self.input_type = {"input": np.array([2])}
            self.tau, self.r, self.v_leak, self.v_threshold = np.ones((4, 2))

    graph = nir.NIRGraph.from_list(neurons("LIF", 2))
    graph.nodes["lif"] = LIF()
    (cell,) = fl.from_nir(graph, time_step=0.1).layers
    np.testing.assert_array_equal(cell.reset_potential, np.zeros(2))


def test_spikes_act_above_at_once_and_on_their_own_layer_a_step_later():
    """One input spike, and weights of which each lets a neuron fire at once."""
    strong = nir.Linear(np.full((1, 1), 1000.0))
    one = [np.ones(1, np.float32)] * 2
    graph = chain(strong, nir.IF(*one), strong, recurrent(nir.IF(*one), strong))
    stack = fl.from_nir(graph, time_step=1.0)
    inputs = np.eye(4, 1, dtype=np.float32)
    below, above = stack.all_over_time(jnp.asarray(inputs))
    np.testing.assert_array_equal(below[:, 0], [1, 0, 0, 0])
    np.testing.assert_array_equal(above[:, 0], [1, 1, 1, 1])


def test_the_surrogate_and_the_reset_gradient_are_those_given():
    surrogate = fl.surrogates.Sigmoid(3.0)
    stack = fl.from_nir(
        network(), time_step=1e-3, surrogate=surrogate, reset_gradient="differentiated"
    )
    for cell in stack.layers[:2]:
        assert cell.surrogate == surrogate
        assert cell.reset_gradient == "differentiated"
