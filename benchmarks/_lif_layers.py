"""One dense layer of LIF neurons in each library: loss and gradient in the weights from the inputs.

All compute the input currents of all steps by one product, and then step through time. The weights, inputs
and the loss (outputs times fixed random numbers) are the same. Conventions differ in the reset, and ours is
configured to each of them; ``RESETS`` says how.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import util
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import flossing as fl
from flossing.cells._base import decay
from flossing.training.devices import over_devices

TIME_CONSTANT = 10.0  # membrane, in steps
BETA = float(np.exp(-1 / TIME_CONSTANT))


class SubtractBeforeLeak(fl.LIFCell):
    """The reset takes place within the step of the spike, and then leaks: ``beta (v - threshold out)``."""

    def feedback(self, spikes: Any) -> Any:
        return self.threshold * spikes


class ZeroBeforeLeak(fl.LIFCell):
    """The reset takes place within the step of the spike: the next one starts from zero with its input."""

    def _after_reset(self, membrane: Any, out: Any, state: Any) -> Any:
        beta, _ = decay(self.time_step, self.membrane_time_constant, self.dtype)
        return membrane - out * beta * state.membrane


RESETS: dict[str, tuple[type[fl.LIFCell], dict[str, str]]] = {
    "subtracted, detached": (
        fl.LIFCell,
        {"reset": "subtract", "reset_gradient": "detached"},
    ),
    "subtracted": (fl.LIFCell, {"reset": "subtract", "reset_gradient": "differentiated"}),
    "subtracted before the leak": (
        SubtractBeforeLeak,
        {"reset": "subtract", "reset_gradient": "differentiated"},
    ),
    "to zero before the leak": (
        ZeroBeforeLeak,
        {"reset": "to_zero", "reset_gradient": "differentiated"},
    ),
}


@dataclass(frozen=True)
class Layer:
    """Spikes (time, trial, input), weights (neuron, input), factors of the outputs (time, 1, neuron)."""

    inputs: np.ndarray
    weight: np.ndarray
    factors: np.ndarray

    @classmethod
    def make(cls, batch: int, neurons: int, steps: int = 250, inputs: int = 100) -> "Layer":
        """Inputs fire in 5 % of the steps; neurons in a few per cent."""
        rng = np.random.default_rng(1)
        spikes = rng.random((steps, batch, inputs)) < 0.05
        weight = 8 * rng.normal(size=(neurons, inputs)) / np.sqrt(inputs) + 0.1
        factors = rng.normal(size=(steps, 1, neurons)) / (steps * batch)
        factors[-1] = 0  # the last spikes of one library belong to the step before
        return cls(*(x.astype(np.float32) for x in (spikes, weight, factors)))


Run = Callable[[], tuple[Any, Any]]
"""Returns loss and gradient, when they are there."""


def ours(layer: Layer, reset: str, part: int) -> Run:
    """``over_time`` of parts of the batch, spread over the devices."""
    kind, options = RESETS[reset]
    steps, batch, channels = layer.inputs.shape
    cell = kind(
        channels,
        len(layer.weight),
        membrane_time_constant=TIME_CONSTANT,
        synapse_time_constant=1e-3,  # currents of one step
        feedforward_only=True,
        key=jax.random.key(0),
        **options,
    )
    size = max(n for n in range(1, min(part, batch) + 1) if batch % n == 0)
    parts = np.moveaxis(layer.inputs.reshape(steps, batch // size, size, channels), 1, 0)
    parts, weight, factors = map(jnp.asarray, (parts, layer.weight, layer.factors))

    def loss(weight: Any, inputs: Any, factors: Any) -> Any:
        spikes = eqx.tree_at(lambda c: c.input_weight, cell, weight).over_time(inputs)
        return jnp.sum(spikes * factors)

    def total(shared: tuple, parts: Any) -> Any:
        def add(sums: tuple, inputs: Any) -> tuple[tuple, None]:
            found = jax.value_and_grad(loss)(shared[0], inputs, shared[1])
            return jax.tree.map(jnp.add, sums, found), None

        return jax.lax.scan(add, (jnp.zeros(()), jnp.zeros_like(shared[0])), parts)[0]

    run = jax.jit(partial(over_devices, total))
    return lambda: jax.block_until_ready(run((weight, factors), parts))


def firing_rate(layer: Layer) -> float:
    """Spikes per neuron and step of the layer with subtracted resets."""
    cell = fl.LIFCell(
        layer.inputs.shape[-1], len(layer.weight), membrane_time_constant=TIME_CONSTANT,
        synapse_time_constant=1e-3, feedforward_only=True, reset="subtract", key=jax.random.key(0),
    )  # fmt: skip
    cell = eqx.tree_at(lambda c: c.input_weight, cell, jnp.asarray(layer.weight))
    return float(eqx.filter_jit(lambda c, x: c.over_time(x).mean())(cell, layer.inputs))


def _torch_layer(layer: Layer, gain: float, advance: Callable) -> Run:
    """Forward and backward of ``advance(currents)``; the library's weights are ``gain`` times ours."""
    import torch

    inputs, factors = torch.tensor(layer.inputs), torch.tensor(layer.factors)
    weight = torch.tensor(layer.weight * np.float32(gain), requires_grad=True)

    def run() -> tuple[Any, Any]:
        weight.grad = None
        loss = (advance(inputs @ weight.T) * factors).sum()
        loss.backward()
        return loss.item(), weight.grad.numpy() * np.float32(gain)

    return run


def snntorch(layer: Layer) -> Run:
    import torch
    from snntorch import Leaky, surrogate

    neurons = Leaky(BETA, spike_grad=surrogate.fast_sigmoid(1), reset_mechanism="subtract")

    def advance(currents: Any) -> Any:
        membrane, spikes = torch.zeros_like(currents[0]), []
        for current in currents:
            out, membrane = neurons(current, membrane)
            spikes.append(out)
        return torch.stack(spikes)

    return _torch_layer(layer, 1 - BETA, advance)


def norse(layer: Layer) -> Run:
    import torch
    from norse.torch import LIF, LIFParameters

    step = 1e-3
    neurons = LIF(
        LIFParameters(
            tau_syn_inv=torch.as_tensor(1 / step),
            tau_mem_inv=torch.as_tensor((1 - BETA) / step),
            method="super",
        ),
        dt=step,
    )
    return _torch_layer(layer, 1, lambda currents: neurons(currents)[0])


def spikingjelly(layer: Layer) -> Run:
    from spikingjelly.activation_based import functional, neuron, surrogate

    neurons = neuron.LIFNode(
        tau=1 / (1 - BETA), surrogate_function=surrogate.SuperSpike(1.0), step_mode="m"
    )

    def advance(currents: Any) -> Any:
        functional.reset_net(neurons)
        return neurons(currents)

    return _torch_layer(layer, 1, advance)


def _jax_layer(layer: Layer, gain: float, advance: Callable, delay: int = 0) -> Run:
    """Compiled as a whole; outputs come ``delay`` steps late."""
    inputs, weight = jnp.asarray(layer.inputs), jnp.asarray(layer.weight * np.float32(gain))
    factors = jnp.asarray(np.roll(layer.factors, delay, axis=0))

    @jax.jit
    @jax.value_and_grad
    def both(weight: Any, inputs: Any, factors: Any) -> Any:
        return jnp.sum(advance(weight, inputs) * factors)

    def run() -> tuple[Any, Any]:
        loss, gradient = jax.block_until_ready(both(weight, inputs, factors))
        return loss, gradient * np.float32(gain)

    return run


def spyx(layer: Layer) -> Run:
    from flax import nnx
    from spyx import axn, nn

    neurons = nn.LIF((len(layer.weight),), BETA, activation=axn.superspike(1), rngs=nnx.Rngs(0))
    return _jax_layer(layer, 1 - BETA, lambda w, x: nn.run(neurons, x @ w.T)[0], delay=1)


def jaxpike(layer: Layer, unroll: int | None) -> Run:
    import jaxpike as library

    neurons = library.LIF(TIME_CONSTANT, surrogate=library.FastSigmoid(1.0))
    dense = library.Dense(*layer.weight.shape[::-1], use_bias=False, key=jax.random.key(0))

    def advance(weight: Any, inputs: Any) -> Any:
        net = library.Sequential(eqx.tree_at(lambda d: d.weight, dense, weight), neurons)
        return library.unroll(net, inputs, scan_unroll=unroll)[0]

    return _jax_layer(layer, 1, advance)


class Side:
    """A library, the reset of its neurons, and what it needs."""

    def __init__(self, build: Callable[[Layer], Run], reset: str, *modules: str):
        self.build, self.reset = build, reset
        self.missing = [m for m in modules if util.find_spec(m) is None]
        self.torch = "torch" in modules


def sides() -> dict[str, Side]:
    """The other libraries."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    before = "subtracted before the leak"
    return {
        "snnTorch": Side(snntorch, "subtracted, detached", "snntorch", "torch"),
        "Norse": Side(norse, "to zero before the leak", "norse", "torch"),
        "SpikingJelly": Side(spikingjelly, "to zero before the leak", "spikingjelly", "torch"),
        "Spyx": Side(spyx, "subtracted", "spyx", "flax"),
        "jaxpike": Side(partial(jaxpike, unroll=None), before, "jaxpike"),
        "jaxpike, not unrolled": Side(partial(jaxpike, unroll=1), before, "jaxpike"),
    }
