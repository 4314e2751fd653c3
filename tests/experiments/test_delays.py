"""Experiments that consist of training runs: small, complete, and done only once."""

import dataclasses
import json

import jax
import pytest

from flossing.experiments import xor
from flossing.experiments.rate.delays import Delays, largest_solved
from flossing.experiments.lab.runs import do_runs
from flossing.runs import job
from flossing.runs.job import Silent

SMALL = Delays(
    "xor",
    delays=(4,),
    hidden_size=16,
    larger=((18, 4),),
    complete=((18, 6),),
    schedules=("none", "adaptive"),
    networks=2,
    epochs=30,
    steps_before=5,
)


class Told(Silent):
    """Remembers who was told about progress."""

    names: set = set()  # noqa: RUF012

    def __init__(self, name):
        self.name = name

    def progress(self, phase, done, total, status):
        self.names.add(self.name)


@pytest.fixture(scope="module")
def twice(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xor")
    first = xor.run(settings=SMALL, folder=folder, reporters=Told)
    told = set(Told.names)
    Told.names.clear()
    return first, told, xor.run(settings=SMALL, folder=folder, reporters=Told), folder


def test_all_runs_are_there_and_told(twice):
    first, told, _, folder = twice
    names = {"N=16,d=4,none", "N=16,d=4,adaptive"}
    assert told == set(first.numbers) == names | {"N=18,d=4,adaptive", "N=18,d=6,adaptive,k=N"}
    assert all((folder / name / "metrics.nc").is_file() for name in names)
    json.dumps(first.numbers)
    assert len(first.figure.axes) == 4
    for found in first.numbers.values():
        assert len(found["test_accuracy"]) == 2
        low, high = found["success_rate_interval"]
        assert low <= found["solved"] / 2 <= high
        assert found["wall_seconds"] > 0
    assert sum(first.numbers["N=16,d=4,none"]["flossing_steps_during_training"]) == 0


def test_runs_are_done_once(twice):
    first, _, again, _ = twice
    assert not Told.names
    assert first.numbers == again.numbers


def test_a_folder_of_other_settings_is_refused(twice):
    other = dataclasses.replace(SMALL, epochs=31)
    with pytest.raises(ValueError, match="holds a run with other settings"):
        xor.run(settings=other, folder=twice[3])


def test_the_largest_solved_delay():
    numbers = {
        f"N=8,d={d},none": {"test_accuracy": accuracy}
        for d, accuracy in ((4, [0.99, 0.96, 0.5]), (6, [0.99, 0.94, 0.5]))
    }
    assert largest_solved(numbers, 8, "none", (4, 6)) == 4
    assert largest_solved(numbers, 8, "none", (6,)) == 0


def test_the_last_exponents_are_flossed_too_where_that_is_asked_for():
    settings = dataclasses.replace(SMALL, larger=(), complete=((16, 4), (20, 8)))
    flossed = {
        name: config.schedule.num_exponents
        for name, config in settings.runs().items()
        if config.schedule is not None
    }
    assert flossed == {
        "N=16,d=4,adaptive": 11,
        "N=16,d=4,adaptive,k=N": 16,
        "N=20,d=8,adaptive,k=N": 20,
    }


def test_larger_networks_have_larger_batches_and_smaller_rates():
    """Both in proportion to the units, from 80 on."""
    settings = dataclasses.replace(SMALL, hidden_size=80, larger=((40, 4), (160, 4)), complete=())
    runs = settings.runs()
    sizes = {config.cell.hidden_size: config for config in runs.values()}
    assert {n: config.batch_size for n, config in sizes.items()} == {40: 16, 80: 16, 160: 32}
    rates = {n: config.optimiser.learning_rate for n, config in sizes.items()}
    assert rates == pytest.approx({40: 2e-3, 80: 2e-3, 160: 1e-3})


def test_what_is_timed_was_compiled_before(tmp_path, monkeypatch):
    """Not one program is compiled while blocks run, the last and shorter ones included."""
    programs, during = [], []
    jax.monitoring.register_event_duration_secs_listener(
        lambda name, seconds, **more: programs.append(name) if "backend_compile" in name else None
    )

    def counted(block):
        def call(*arguments):
            before = len(programs)
            outcome = jax.block_until_ready(block(*arguments))
            during.append(len(programs) - before)
            return outcome

        return call

    for name in ("floss_block", "train_block"):
        monkeypatch.setattr(job, name, counted(getattr(job, name)))
    settings = dataclasses.replace(SMALL, larger=(), complete=(), schedules=("phases",), epochs=120)
    do_runs(settings.runs(), tmp_path, timed=True)
    assert programs
    assert len(during) > 4
    assert not any(during)
