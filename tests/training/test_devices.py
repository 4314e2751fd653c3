"""Networks laid over devices and processes get the same numbers as on one device."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import xarray as xr

SCRIPT = """
import json, sys
import jax
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
jax.config.update("jax_enable_x64", True)
from test_devices import numbers
print(json.dumps({count: numbers(int(count)) for count in sys.argv[2:]}))
"""


def numbers(realisations):
    """Two training epochs and two flossing steps, evaluation and exponents of some networks."""
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    import flossing as fl
    from flossing.floss import Adaptive
    from flossing.tasks import Copy
    from flossing.training import begin, evaluate, floss_block, measure_exponents, train_block

    task, training = Copy(3), fl.Training(epochs=4, batch_size=4, num_steps=12)
    rules = Adaptive(every=1, max_steps=2)
    flossing = fl.Flossing(
        "adaptive" if realisations == 9 else "before",
        num_exponents=3,
        window=10,
        warmup=4,
        renormalise_every=1,
        adaptive=rules,
    )
    keys = jax.random.split(jax.random.key(5), realisations)
    networks = eqx.filter_vmap(lambda key: fl.Network(fl.TanhCell(1, 6, key=key), 1, key=key))(keys)
    state = begin(networks, training, flossing)
    state, flossed = floss_block(state, keys, jnp.asarray(2), 2, task, training, flossing)
    state, trained = train_block(state, keys, jnp.asarray(2), 2, task, training, flossing)
    state, trained = train_block(state, keys, jnp.asarray(1), 2, task, training, flossing)
    found = {
        "devices": jax.device_count(),
        "flossing": flossed.exponents,
        "loss": trained.loss[:1],
        "test": evaluate(state.networks, keys, task, 12).loss,
        "exponents": measure_exponents(state.networks, keys, task, 4, 30, 5),
        "weights": state.networks.cell.recurrent_weight,
    }
    return {name: np.asarray(value).tolist() for name, value in found.items()}


def on_devices(devices, *realisations):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(devices), *map(str, realisations)],
        capture_output=True,
        text=True,
        cwd=os.path.dirname(__file__),
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(numbers.pop("devices") == devices for numbers in found.values())
    return found


def test_eight_devices_give_the_numbers_of_one():
    """3: some devices stay idle; 9: two each on five devices, the last of which repeats one."""
    one, eight = on_devices(1, 3, 9), on_devices(8, 3, 9)
    for count, numbers in one.items():
        for name, values in numbers.items():
            assert np.shape(values)[name in ("flossing", "loss")] == int(count), name
            np.testing.assert_allclose(eight[count][name], values, rtol=1e-9, atol=1e-12)


COMMAND = (
    "train --task.name copy --task.delay 3 --cell.hidden-size 6 --batch-size 2 --num-steps 9 --epochs 60 "
    "--realisations 3 --flossing.num-exponents 3 --flossing.window 8 --flossing.warmup 2 "
    "--flossing.steps-before 5 --flossing.renormalise-every 1 --flossing.schedule before --measure-every 0"
)


def floss(arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "flossing.cli", *arguments.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )


def finish(processes):
    for process in processes:
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output


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


def test_parts_are_divided_among_devices_and_summed():
    """4 devices: 1 and 3 parts stay on one, 6 parts use two, 8 parts use four."""
    subprocess.run([sys.executable, "-c", SUMS], check=True, timeout=120)


def test_two_processes_work_on_one_run(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    shared = (
        f"{COMMAND} --directory {tmp_path}/two --coordinator {coordinator} --processes 2 --process"
    )
    finish([floss(f"{shared} {number}") for number in (0, 1)])
    finish([floss(f"{COMMAND} --devices 1 --directory {tmp_path}/one")])
    two, one = (
        xr.load_dataset(tmp_path / name / "metrics.nc", engine="h5netcdf")
        for name in ("two", "one")
    )
    environment = json.loads((tmp_path / "two" / "environment.json").read_text())
    assert len(environment["devices"]) >= 2
    assert set(two.data_vars) == set(one.data_vars)
    for name in ("loss", "exponents", "test_loss", "flossing_exponents"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_several_processes_need_a_coordinator(capsys):
    from flossing.cli import main

    assert main(["train", "--processes", "2"]) == 2
    assert "processes: several of them need a coordinator" in capsys.readouterr().err
