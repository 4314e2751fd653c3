"""Random streams of a realisation: a kind of work and a number name a key."""

import enum

import jax
from jaxtyping import Array, Key, PRNGKeyArray


class Stream(enum.IntEnum):
    """What random numbers are for. No two kinds share any."""

    DATA = 0
    FLOSS = 1
    EVALUATE = 2
    MEASURE = 3
    ADAPT = 4
    NOISE = 5
    HARM = 6


def stream(key: PRNGKeyArray, kind: Stream) -> PRNGKeyArray:
    """The key of a kind of work; its pieces are numbered by ``jax.random.fold_in``."""
    return jax.random.fold_in(key, int(kind))


def fold(key: PRNGKeyArray, kind: Stream, number: Array | int) -> PRNGKeyArray:
    """The key of the ``number``-th piece of work of a kind."""
    return jax.random.fold_in(stream(key, kind), number)


def fold_all(
    keys: Key[Array, " realisations"], kind: Stream, number: Array | int
) -> Key[Array, " realisations"]:
    """The same for all realisations."""
    return jax.vmap(lambda key: fold(key, kind, number))(keys)
