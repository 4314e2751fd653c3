"""The same file gives the same spikes in snnTorch, Norse and SpikingJelly, or the difference is known."""

import contextlib
import io
import logging

import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")
nir = pytest.importorskip("nir", minversion="1.0.7")

from graphs import chain, dense, recurrent, simulate, spikes, through_a_file  # noqa: E402

import flossing as fl  # noqa: E402

STEPS = 100
TIME_STEPS = {"snntorch": 1e-4, "norse": 1e-3, "spikingjelly": 1e-3}
"""In seconds; that of snnTorch is part of its importer, the others take any."""


@pytest.fixture(autouse=True)
def quiet():
    """The importers warn of what they ignore, and of functions that they still use."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def lif(size, time_step, *, scaled=True, **values):
    """Neurons of 20 steps, with the resistance with which a current counts whole, or of 1."""
    tau = np.full(size, 20 * time_step, np.float32)
    resistance = tau / np.float32(time_step) if scaled else np.ones_like(tau)
    ones, zeros = np.ones_like(tau), np.zeros_like(tau)
    fields = {"tau": tau, "r": resistance, "v_leak": zeros, "v_threshold": ones, "v_reset": zeros}
    return nir.LIF(**(fields | {name: np.full_like(tau, x) for name, x in values.items()}))


def cuba_lif(size, time_step):
    """Neurons of 20 steps with synapses of 5, in the scales that all three libraries read."""
    step = np.float32(time_step)
    tau, syn = (np.full(size, n * time_step, np.float32) for n in (20, 5))
    zeros = np.zeros_like(tau)
    return nir.CubaLIF(
        tau_mem=tau, tau_syn=syn, r=tau / step, w_in=syn / step, v_leak=zeros, v_threshold=zeros + 1
    )


def networks(time_step, *, scaled, bias=0.0):
    """Two layers each, the first of 40 neurons: feed-forward and recurrent, without and with synapses."""
    gain = 1.0 if scaled else 20.0
    above = dense(40, 10, 0.5 * gain, seed=3), lif(10, time_step, scaled=scaled)
    plain, synaptic = lif(40, time_step, scaled=scaled), cuba_lif(40, time_step)
    loop, strong = (dense(40, 40, g, seed=1, bias=bias) for g in (0.1, 0.3 * gain))
    below, driven = (dense(10, 40, g, bias=0.05) for g in (0.3, 0.6 * gain))
    return {
        "LIF": chain(driven, plain, *above),
        "CubaLIF": chain(below, synaptic, *above),
        "recurrent LIF": chain(driven, recurrent(plain, strong), *above),
        "recurrent CubaLIF": chain(below, recurrent(synaptic, loop), *above),
    }


KINDS = list(networks(1.0, scaled=True))


def ours(graph, inputs, time_step):
    stack = fl.from_nir(graph, time_step=time_step, integration="euler")
    return np.asarray(stack.over_time(jnp.asarray(inputs)))


@pytest.fixture
def theirs(tmp_path):
    """Spikes of a graph in a library, which reads it from a file."""

    def run(library, graph, inputs):
        pytest.importorskip(library)
        graph, state, rows = through_a_file(graph, tmp_path), None, []
        with pytest.warns() if library == "norse" else contextlib.nullcontext():
            module = LOAD[library](graph)
        with torch.no_grad():
            for x in torch.tensor(inputs):
                out, state = module(x[None], state)
                rows.append(out[0].numpy())
        return np.asarray(rows)

    return run


def from_snntorch(graph):
    from snntorch.import_nir import import_from_nir

    with contextlib.redirect_stdout(io.StringIO()):
        return import_from_nir(graph)


def from_norse(graph):
    from norse.torch.utils.import_nir import from_nir

    return from_nir(graph, dt=TIME_STEPS["norse"])


def from_spikingjelly(graph):
    from spikingjelly.activation_based.nir_exchange import import_from_nir

    return import_from_nir(graph, dt=TIME_STEPS["spikingjelly"])


LOAD = {"snntorch": from_snntorch, "norse": from_norse, "spikingjelly": from_spikingjelly}


@pytest.mark.parametrize("library", LOAD)
@pytest.mark.parametrize("kind", KINDS)
def test_spikes_are_those_of_other_libraries(library, kind, theirs):
    time_step = TIME_STEPS[library]
    # Norse takes 1 for the resistance of LIF, whatever the file says.
    graph = networks(time_step, scaled=library != "norse")[kind]
    inputs = spikes(STEPS, 10)
    found = ours(graph, inputs, time_step)
    assert 20 < found.sum() < 800
    np.testing.assert_array_equal(found, theirs(library, graph, inputs))


@pytest.mark.parametrize("library", LOAD)
def test_the_recurrence_acts_in_all_of_them(library, theirs):
    """Spikes differ from those without recurrent weights."""
    graph = networks(TIME_STEPS[library], scaled=library != "norse")["recurrent CubaLIF"]
    inputs = spikes(STEPS, 10)
    before = theirs(library, graph, inputs)
    graph.nodes["layer_0_neurons"].nodes["w_rec"].weight[:] = 0
    assert (theirs(library, graph, inputs) != before).sum() > 10


@pytest.mark.parametrize("library", LOAD)
def test_a_bias_of_a_recurrence_comes_a_step_later_in_them(library, theirs):
    """They call the recurrent map after its neurons, so that nothing comes from it in the first step."""
    time_step = TIME_STEPS[library]
    graph = networks(time_step, scaled=library != "norse", bias=0.3)["recurrent CubaLIF"]
    inputs = spikes(STEPS, 10)
    known = {"time_step": time_step, "integration": "euler"}
    np.testing.assert_array_equal(ours(graph, inputs, time_step), simulate(graph, inputs, **known))
    found = theirs(library, graph, inputs)
    np.testing.assert_array_equal(found, simulate(graph, inputs, late_bias=True, **known))
    assert (found != ours(graph, inputs, time_step)).any()


@pytest.mark.parametrize("library", ["norse", "spikingjelly"])
def test_neurons_without_leak_have_a_resistance_of_one_over_the_time_step(library, theirs):
    time_step = TIME_STEPS[library]
    tenth = np.full(40, 1 / time_step, np.float32)
    graph = chain(dense(10, 40, 0.3), nir.IF(tenth, np.ones(40, np.float32)))
    inputs = spikes(STEPS, 10)
    found = ours(graph, inputs, time_step)
    assert 100 < found.sum() < 2000
    np.testing.assert_array_equal(found, theirs(library, graph, inputs))


def test_a_membrane_at_threshold_fires_in_spikingjelly_alone(theirs):
    """A neuron without leak, with a threshold of 3, under a current that adds 1 per step."""
    inputs = np.ones((12, 1), np.float32)
    for library, period in (("norse", 4), ("spikingjelly", 3)):
        time_step = TIME_STEPS[library]
        r, threshold = (np.full(1, x, np.float32) for x in (1 / time_step, 3.0))
        graph = chain(
            nir.Affine(np.ones((1, 1), np.float32), np.zeros(1, np.float32)), nir.IF(r, threshold)
        )
        np.testing.assert_array_equal(np.flatnonzero(ours(graph, inputs, time_step)), [3, 7, 11])
        found = np.flatnonzero(theirs(library, graph, inputs))
        np.testing.assert_array_equal(found, np.arange(period - 1, 12, period))


def test_a_leak_potential_is_where_membranes_start_in_norse_and_here(theirs):
    graph = chain(dense(10, 40, 12.0), lif(40, 1e-3, scaled=False, v_leak=0.3))
    inputs = spikes(STEPS, 10)
    np.testing.assert_array_equal(ours(graph, inputs, 1e-3), theirs("norse", graph, inputs))


@pytest.mark.parametrize(("library", "scaled"), [("norse", False), ("snntorch", True)])
def test_a_reset_potential_is_not_read_by_norse_and_snntorch(library, scaled, theirs):
    """Theirs are the spikes of the graph with a reset to 0."""
    time_step = TIME_STEPS[library]
    below = dense(10, 40, 0.6 if scaled else 12.0)
    low, zero = (chain(below, lif(40, time_step, scaled=scaled, v_reset=v)) for v in (-0.3, 0.0))
    inputs = spikes(STEPS, 10)
    found = theirs(library, low, inputs)
    np.testing.assert_array_equal(found, ours(zero, inputs, time_step))
    assert (found != ours(low, inputs, time_step)).any()


def test_a_resistance_of_neurons_without_synapse_is_not_read_by_norse(theirs):
    """Theirs are the spikes of the graph with a resistance of 1."""
    below = dense(10, 40, 12.0)
    double, one = (chain(below, lif(40, 1e-3, scaled=False, r=r)) for r in (2.0, 1.0))
    inputs = spikes(STEPS, 10)
    found = theirs("norse", double, inputs)
    np.testing.assert_array_equal(found, ours(one, inputs, 1e-3))
    assert (found != ours(double, inputs, 1e-3)).any()


def test_snntorch_takes_one_scale_of_currents_for_neurons_that_differ(theirs):
    """With a resistance of 1 and other time constants each, theirs are the spikes under the smallest."""
    time_step = TIME_STEPS["snntorch"]
    below, own, shared = dense(10, 40, 12.0), *(lif(40, time_step, scaled=False) for _ in range(2))
    own.tau[:] = shared.tau[:] = np.linspace(10, 30, 40) * time_step
    shared.r[:] = shared.tau / shared.tau.max()
    inputs = spikes(STEPS, 10)
    found = theirs("snntorch", chain(below, own), inputs)
    np.testing.assert_array_equal(found, ours(chain(below, shared), inputs, time_step))
    assert (found != ours(chain(below, own), inputs, time_step)).any()
