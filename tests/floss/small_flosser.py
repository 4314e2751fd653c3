"""A small step and its flosser, which tests of flossing steps share."""

import jax
import jax.numpy as jnp

import flossing as fl

WINDOW, WARMUP, RELAX = 6, 2, 3
STEPS = RELAX + WINDOW
INPUTS = jax.random.normal(jax.random.key(9), (STEPS, 2))
START = jnp.array([0.3, -0.2, 0.1])


def step_of(model):
    return lambda x, u: jnp.tanh(model["w"] @ x + model["v"] @ u + model["b"])


def flosser(**settings):
    usual = dict(
        window=WINDOW, warmup=WARMUP, state_warmup=RELAX, step=step_of, renormalise_every=1
    )
    return fl.Flosser(settings.pop("num_exponents", 2), **(usual | settings))
