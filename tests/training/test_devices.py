"""Networks laid over devices and processes get the same numbers as on one device, from programs made once."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from flossing.training import any_process

FOUR = """
import json
import jax
jax.config.update("jax_num_cpu_devices", 4)
jax.config.update("jax_enable_x64", True)
from test_devices import compiled, numbers, parts_used
print(json.dumps({"compiled": compiled(), "3": numbers(3), "9": numbers(9), "parts": parts_used()}))
"""


def trainer(realisations):
    """A small training; nine networks are watched, others flossed before alone."""
    import flossing as fl
    from flossing.optimisers import Adam
    from flossing.tasks import Copy
    from flossing.training import Trainer

    window = dict(num_exponents=3, window=8, warmup=3, state_warmup=0, num_starts=1)
    schedule = fl.Adaptive(every=1, **window) if realisations == 9 else fl.Before(**window)
    return Trainer(Copy(3, num_steps=8), Adam(), schedule, epochs=4, batch_size=2)


def begun(realisations):
    """Networks before that training, their keys, and the training."""
    import equinox as eqx
    import jax

    import flossing as fl
    from flossing.training import begin

    keys = jax.random.split(jax.random.key(5), realisations)
    networks = eqx.filter_vmap(lambda key: fl.Network(fl.TanhCell(1, 6, key=key), 1, key=key))(keys)
    rules = trainer(realisations)
    return begin(networks, rules), keys, rules


def numbers(realisations):
    """Three training epochs and two flossing steps, evaluation and exponents of some networks."""
    import jax

    from flossing.training import evaluate, floss_block, measure_exponents, train_block

    state, keys, rules = begun(realisations)
    state, flossed = floss_block(state, keys, 2, 2, rules)
    state, trained = train_block(state, keys, 2, 2, rules)
    state, trained = train_block(state, keys, 1, 2, rules)
    found = {
        "devices": jax.device_count(),
        "flossing": flossed.exponents,
        "loss": trained.loss,
        "test": evaluate(state.networks, keys, rules, 12).loss,
        "exponents": measure_exponents(state.networks, keys, rules, 4, 30, 5),
        "weights": state.networks.cell.recurrent_weight,
    }
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def compiled():
    """How many programs of blocks and of tests are made until the end of each of five blocks."""
    import logging

    import jax

    from flossing.training import evaluate, floss_block, train_block

    made, counts = [], []

    class Listener(logging.Handler):
        def emit(self, record):
            words = record.getMessage().split()
            if words[0] == "Compiling":
                made.append(words[1])

    logger = logging.getLogger("jax._src.interpreters.pxla")
    logger.addHandler(Listener())
    logger.propagate = False
    jax.config.update("jax_log_compiles", True)
    state, keys, rules = begun(3)
    for kind in (train_block, floss_block, train_block, train_block, floss_block):
        state, _ = kind(state, keys, 2, 2, rules)
        evaluate(state.networks, keys, rules, 12)
        counts.append([sum(word in name for name in made) for word in ("_block", "_evaluate")])
    return counts


def parts_used():
    """How many of 1, 3, 6 and 8 parts each of four devices works on, once their sums are right."""
    import jax
    import jax.numpy as jnp

    from flossing.training.devices import over_devices

    used = []

    def total(shared, parts):
        used.append(len(parts[0]))
        return {"sum": shared["factor"] * (parts[0] + parts[1]).sum(0)}

    for count in (1, 3, 6, 8):
        parts = (jnp.arange(count * 2.0).reshape(count, 2), jnp.ones((count, 2)))
        shared = {"factor": jnp.asarray(3.0), "name": "x"}
        found = jax.jit(lambda parts, shared=shared: over_devices(total, shared, parts))(parts)
        np.testing.assert_allclose(found["sum"], 3 * (parts[0] + 1).sum(0))
    return used


def started(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=os.path.dirname(__file__),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def finished(process):
    """What the last line that it printed says."""
    output, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def assert_same(one, other):
    """Except for the number of devices."""
    for name in one.keys() - {"devices"}:
        np.testing.assert_allclose(other[name], one[name], rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.fixture(scope="module")
def one():
    """The numbers of 3 and of 9 networks on one device."""
    import jax

    with jax.enable_x64(True):
        return {str(count): numbers(count) for count in (3, 9)}


@pytest.fixture(scope="module")
def four():
    """What a process with four devices finds."""
    return finished(started(FOUR))


@pytest.mark.slow
def test_four_devices_give_the_numbers_of_one(one, four):
    """3: one device stays idle; 9: three each on three devices."""
    for count, numbers in one.items():
        assert (numbers["devices"], four[count]["devices"]) == (1, 4)
        assert_same(numbers, four[count])
        for name in numbers.keys() - {"devices"}:
            assert np.shape(numbers[name])[name in ("flossing", "loss")] == int(count), name


@pytest.mark.slow
def test_every_program_is_compiled_once(four):
    """Training, flossing, and training again: one program for each kind of work, and one for the test."""
    assert four["compiled"] == [[1, 1], [2, 1], [2, 1], [2, 1], [2, 1]]


@pytest.mark.slow
def test_parts_are_divided_among_devices_and_summed(four):
    """4 devices: 1 and 3 parts stay on one, 6 parts use two, 8 parts use four."""
    assert four["parts"] == [1, 3, 3, 2]


PROCESSES = """
import json, os, sys
import jax
jax.config.update("jax_num_cpu_devices", 1)
jax.config.update("jax_enable_x64", True)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(sys.argv[1], 2, int(sys.argv[2]))
from test_devices import numbers
from flossing.training import any_process
print(json.dumps(numbers(3) | {"any": any_process(sys.argv[2] == "1")}))
"""


@pytest.mark.slow
def test_two_processes_work_on_the_same_networks(one):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    for process in [started(PROCESSES, coordinator, number) for number in (0, 1)]:
        found = finished(process)
        assert (found["any"], found["devices"]) == (True, 2)
        assert_same(one["3"], found)
    assert (any_process(True), any_process(False)) == (True, False)
