"""Networks laid over devices and processes get the same numbers as on one device, from programs made once."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from flossing.training import any_process

SETTINGS = """
import json, logging, os, sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
"""
NUMBERS = (
    SETTINGS
    + """
jax.config.update("jax_enable_x64", True)
from test_devices import numbers
print(json.dumps({count: numbers(int(count)) for count in sys.argv[2:]}))
"""
)


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


def on_devices(devices, *realisations):
    found = finished(started(NUMBERS, devices, *realisations))
    assert all(numbers.pop("devices") == devices for numbers in found.values())
    return found


def assert_same(one, other, **tolerances):
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, err_msg=name, **tolerances)


@pytest.fixture(scope="module")
def one():
    """The numbers of 3 and of 9 networks on one device."""
    return on_devices(1, 3, 9)


@pytest.mark.slow
def test_four_devices_give_the_numbers_of_one(one):
    """3: one device stays idle; 9: three each on three devices."""
    four = on_devices(4, 3, 9)
    for count, numbers in one.items():
        for name, values in numbers.items():
            assert np.shape(values)[name in ("flossing", "loss")] == int(count), name
        assert_same(numbers, four[count], rtol=1e-9, atol=1e-12)


COMPILED = (
    SETTINGS
    + """
compiled = []
class Listener(logging.Handler):
    def emit(self, record):
        words = record.getMessage().split()
        if words[0] == "Compiling":
            compiled.append(words[1])
logger = logging.getLogger("jax._src.interpreters.pxla")
logger.addHandler(Listener())
logger.propagate = False
jax.config.update("jax_log_compiles", True)
from test_devices import begun
from flossing.training import evaluate, floss_block, train_block
state, keys, rules = begun(2)
counts = []
for kind in (train_block, floss_block, train_block, train_block, floss_block):
    state, _ = kind(state, keys, 2, 3, rules)
    evaluate(state.networks, keys, rules, 4)
    counts.append([sum(word in name for name in compiled) for word in ("_block", "_evaluate")])
print(json.dumps(counts))
"""
)


@pytest.mark.slow
def test_every_program_is_compiled_once():
    """Training, flossing, and training again: one program for each kind of work, and one for the test."""
    counts = finished(started(COMPILED, 2))
    assert counts == [[1, 1], [2, 1], [2, 1], [2, 1], [2, 1]]


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
        assert (found.pop("any"), found.pop("devices")) == (True, 2)
        assert_same(one["3"], found, rtol=1e-9, atol=1e-12)
    assert (any_process(True), any_process(False)) == (True, False)


SUMS = """
import jax
jax.config.update("jax_num_cpu_devices", 4)
import jax.numpy as jnp, numpy as np
from flossing.training.devices import over_devices
used = []
def total(shared, parts):
    used.append(len(parts[0]))
    return {"sum": shared["factor"] * (parts[0] + parts[1]).sum(0)}
for count in (1, 3, 6, 8):
    parts = (jnp.arange(count * 2.0).reshape(count, 2), jnp.ones((count, 2)))
    shared = {"factor": jnp.asarray(3.0), "name": "x"}
    found = jax.jit(lambda parts: over_devices(total, shared, parts))(parts)
    np.testing.assert_allclose(found["sum"], 3 * (parts[0] + 1).sum(0))
assert used == [1, 3, 3, 2], used
"""


@pytest.mark.slow
def test_parts_are_divided_among_devices_and_summed():
    """4 devices: 1 and 3 parts stay on one, 6 parts use two, 8 parts use four."""
    subprocess.run([sys.executable, "-c", SUMS], check=True, timeout=120)
