"""Floss a model of your own: an Equinox cell, a step function around it, and Optax.

Run it with `python examples/floss_your_own.py`. It takes a few seconds.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

import flossing as fl

key = jax.random.key(0)
cell = eqx.nn.GRUCell(input_size=3, hidden_size=32, key=key)
inputs = jax.random.normal(key, (100, 3))
start = jnp.zeros(32)


def flossing(cell: eqx.nn.GRUCell, key: jax.Array) -> jax.Array:
    """The loss: Equinox cells take (input, state), a step takes (state, input)."""
    return fl.flossing_loss(
        lambda state, input: cell(input, state),
        start,
        inputs,
        num_exponents=8,
        warmup=20,
        key=key,
    )


optimiser = optax.adam(3e-3)
memory = optimiser.init(eqx.filter(cell, eqx.is_inexact_array))


@eqx.filter_jit
def update(cell, memory, key):  # noqa: D103
    loss, gradient = eqx.filter_value_and_grad(flossing)(cell, key)
    change, memory = optimiser.update(gradient, memory)
    return eqx.apply_updates(cell, change), memory, loss


def exponents(cell):  # noqa: D103
    step = lambda state, input: cell(input, state)  # noqa: E731
    spectrum = fl.lyapunov_spectrum(step, start, inputs, num_exponents=8, warmup=20, key=key)
    return spectrum.exponents.round(3)


print("before:", exponents(cell))
for number, step_key in enumerate(jax.random.split(key, 200)):
    cell, memory, loss = update(cell, memory, step_key)
    if number % 50 == 0:
        print(f"step {number}: flossing loss {loss:.4f}")
print("after: ", exponents(cell))
