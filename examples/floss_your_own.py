"""Floss a model of your own: an Equinox cell, ``fl.Flosser``, and nothing else.

Run it with `python examples/floss_your_own.py`. It takes a few seconds.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

import flossing as fl

cell_key, input_key, floss_key, spectrum_key = jax.random.split(jax.random.key(0), 4)
cell = eqx.nn.GRUCell(input_size=3, hidden_size=32, key=cell_key)
inputs = jax.random.normal(input_key, (100, 3))
start = jnp.zeros(32)


def step_of(cell):
    """The step of a model: Equinox cells take (input, state), a step takes (state, input)."""
    return lambda state, input: cell(input, state)


flosser = fl.Flosser(num_exponents=8, window=100, warmup=20, state_warmup=0, step=step_of)
memory = flosser.init(cell)


def exponents(cell):  # noqa: D103
    spectrum = fl.lyapunov_spectrum(
        step_of(cell), start, inputs, num_exponents=8, warmup=20, key=spectrum_key
    )
    return spectrum.exponents.round(3)


print("before:", exponents(cell))
for number, key in enumerate(jax.random.split(floss_key, 200)):
    cell, memory, info = flosser.update(cell, memory, start, inputs, key=key)
    if number % 50 == 0:
        print(f"step {number}: flossing loss {info.loss:.4f}")
print("after: ", exponents(cell))
