"""What experiments have in common: claims, data by case, and cases that are done only once."""

import dataclasses
import json
import math
import threading
from functools import partial

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, strategies as st

import flossing as fl
from flossing.cli import main
from flossing.commands import reproduce
from flossing.experiments import EXPERIMENTS
from flossing.experiments.lab.claims import Claim
from flossing.experiments.lab.data import Data, case_name
from flossing.experiments.lab.experiment import Experiment
from flossing.experiments.lab.perform import CLAIMS, NUMBERS, perform, write_claims
from flossing.experiments.lab.published import Published
from flossing.experiments.rate.delays import XOR
from flossing.runs import RunConfig
from flossing.sweeps.conduct import Where


@dataclasses.dataclass(frozen=True)
class Power:
    """A made-up case."""

    base: float
    exponent: int


@dataclasses.dataclass(frozen=True)
class Other:
    """Another one."""

    base: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Powers(Experiment):
    """An experiment that needs no network."""

    title = "powers"
    source = "arithmetic"
    shows = "That cases are done once. And kept."
    bases: tuple[float, ...] = (1.5, -2.0)
    exponents: tuple[int, ...] = (0, 1, 2)
    fails_at: float | None = None
    log: str = ""
    """File with a line for each case that was computed."""

    @classmethod
    def quick(cls):
        return cls(exponents=(1,))

    def cases(self):
        cases = [Power(b, e) for b in self.bases for e in self.exponents]
        return {case: partial(self.compute, case) for case in cases}

    def compute(self, case, report):
        report(f"at {case.base}")
        if case.base == self.fails_at:
            raise ZeroDivisionError("made to fail")
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{case_name(case)}\n")
        return xr.Dataset({"value": case.base**case.exponent})

    def claims(self, data, published):
        square = float(data[Power(1.5, self.exponents[-1])].value)
        yield Claim.near("square of 1.5", square, 2.25, within=1e-12, source="arithmetic")

    def figure(self, data, published):
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().plot(self.exponents, data.over("exponent", base=1.5).value)
        return figure


@pytest.fixture
def powers(tmp_path):
    return Powers(log=str(tmp_path / "log.txt"))


def computed(powers):
    with open(powers.log) as file:
        return sorted(file.read().splitlines())


@pytest.mark.parametrize(
    ("claim", "holds"),
    [
        (Claim.at_least("", 2.0, 2.0), True),
        (Claim.at_least("", 1.999, 2.0), False),
        (Claim.at_most("", 2.0, 2.0), True),
        (Claim.at_most("", 2.001, 2.0), False),
        (Claim.near("", 1.9, 2.0, within=0.1000001), True),
        (Claim.near("", 2.2, 2.0, relative=0.05), False),
        (Claim.near("", -2.09, -2.0, relative=0.05), True),
    ],
)
def test_a_claim_holds_within_its_limits(claim, holds):
    assert claim.holds is holds


@given(st.sampled_from([Claim.at_least, Claim.at_most, partial(Claim.near, within=1e9)]))
def test_what_is_no_number_fulfils_no_claim(make):
    assert not make("", math.nan, 0.0).holds


def test_a_distance_is_absolute_or_relative():
    with pytest.raises(ValueError, match=r"within, relative: expected exactly one"):
        Claim.near("", 1.0, 1.0)


def test_data_by_case_survive_a_file(tmp_path):
    parts = {
        Power(1.5, 2): xr.Dataset({"x": (("network", "epoch"), np.arange(6.0).reshape(2, 3))}),
        Power(-1.0, 2): xr.Dataset({"x": (("network", "epoch"), np.full((2, 3), np.nan))}),
        Other(1.5): xr.Dataset({"y": 3}, coords={"name": "a / b"}),
    }
    Data(parts).write(tmp_path / "numbers.nc", {"settings": {"a": [1, None]}})
    read = Data.read(tmp_path / "numbers.nc", parts)
    assert list(read) == list(parts)
    assert all(read[case].identical(parts[case]) for case in parts)
    with xr.open_datatree(tmp_path / "numbers.nc", engine="h5netcdf") as tree:
        assert json.loads(tree.attrs["settings"]) == {"a": [1, None]}


def test_cases_become_a_dimension():
    data = Data(
        {Power(b, e): xr.Dataset({"v": ("i", [b**e, 0.0])}) for b in (2.0, 3.0) for e in (1, 2)}
        | {Other(2.0): xr.Dataset({"v": ("i", [9.0, 9.0])})}
    )
    found = data.over("base", Power, exponent=2)
    assert found.v.dims == ("base", "i")
    assert found.base.values.tolist() == [2.0, 3.0]
    assert found.v.sel(base=3.0).values.tolist() == [9.0, 0.0]
    assert list(data.where(base=2.0)) == [Power(2.0, 1), Power(2.0, 2), Other(2.0)]
    with pytest.raises(ValueError, match=r"base: expected cases that differ in it alone"):
        data.over("base", Power)
    with pytest.raises(KeyError, match=r"Power,base=5.0,exponent=1 is no case"):
        data[Power(5.0, 1)]


def test_a_lacking_case_is_named(tmp_path):
    Data({Other(1.0): xr.Dataset({"v": 1.0})}).write(tmp_path / "numbers.nc", {})
    with pytest.raises(ValueError, match=r"lacks 1 of 2 cases, as Other,base=2.0"):
        Data.read(tmp_path / "numbers.nc", [Other(1.0), Other(2.0)])
    (tmp_path / "numbers.nc").write_bytes(b"no netCDF")
    with pytest.raises(ValueError, match="damaged"):
        Data.read(tmp_path / "numbers.nc", [Other(1.0)])


def test_each_case_is_done_once(powers, tmp_path):
    data = perform(powers, tmp_path / "out")
    assert data.over("exponent", base=-2.0)["value"].values.tolist() == [1, -2, 4]
    assert computed(powers) == sorted(map(case_name, powers.cases()))
    again = perform(powers, tmp_path / "out")
    assert len(computed(powers)) == 6
    assert all(again[case].identical(data[case]) for case in data)


@pytest.mark.slow
def test_processes_find_the_same_numbers(powers, tmp_path):
    data = perform(powers, tmp_path / "here")
    beside = perform(powers, tmp_path / "beside", where=Where(workers=2))
    assert list(beside) == list(data)
    assert all(beside[case].identical(data[case]) for case in data)


def test_other_settings_share_a_directory(powers, tmp_path):
    """Each case has a name of its own for each content."""
    first = perform(powers, tmp_path / "out")
    other = dataclasses.replace(powers, exponents=(3,))
    assert float(perform(other, tmp_path / "out")[Power(1.5, 3)]["value"]) == 1.5**3
    again = perform(powers, tmp_path / "out")
    assert all(again[case].identical(first[case]) for case in first)
    assert len(computed(powers)) == 8


def test_a_case_that_fails_is_named_and_others_are_kept(powers, tmp_path):
    failing = dataclasses.replace(powers, fails_at=-2.0)
    with pytest.raises(
        RuntimeError, match=r"3 of 6 cases failed, as Power.*ZeroDivisionError: made to fail"
    ):
        perform(failing, tmp_path / "out")
    assert len(computed(failing)) == 3
    assert not (tmp_path / "out" / NUMBERS).exists()
    with pytest.raises(RuntimeError, match="made to fail"):
        perform(failing, tmp_path / "out")
    assert len(computed(failing)) == 3


def test_a_stopped_experiment_goes_on(powers, tmp_path):
    stop = threading.Event()

    class StopAtOnce(Powers):
        def compute(self, case, report):
            stop.set()
            return super().compute(case, report)

    stopping = StopAtOnce(log=powers.log)
    with pytest.raises(KeyboardInterrupt):
        perform(stopping, tmp_path / "out", stop=stop)
    assert len(computed(powers)) == 1
    perform(stopping, tmp_path / "out")
    assert len(computed(powers)) == 6


def test_a_directory_of_something_else_is_left_alone(powers, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("all I have")
    with pytest.raises(FileExistsError, match="not overwritten"):
        perform(powers, tmp_path / "out")


def test_the_claims_say_how_they_were_made(powers, tmp_path):
    out = tmp_path / "out"
    data = perform(powers, out)
    content = write_claims(powers, "powers", powers.verdict(data), out)
    assert json.loads((out / CLAIMS).read_text()) == content
    assert content["quick"] is True  # its log is not the default
    assert content["settings"]["bases"] == [1.5, -2.0]
    assert content["claims"][0]["holds"] is True
    assert content["environment"]["versions"]["flossing"]
    before = content["wall_seconds"]
    perform(powers, out)
    assert write_claims(powers, "powers", [], out)["wall_seconds"] == before


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "powers", "unused")
    monkeypatch.setattr(reproduce, "experiment", lambda name: Powers)


def test_the_command_redraws_and_judges_again_without_computing(
    registered, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    command = ["reproduce", "powers", "--workers", "0", "--directory", str(out)]
    assert main(command) == 0
    assert "square of 1.5" in capsys.readouterr().out
    (out / "powers.png").unlink()
    monkeypatch.setattr(reproduce, "perform", None)
    assert main([*command, "--only", "figure"]) == 0
    assert (out / "powers.png").stat().st_size > 1000
    assert "square" not in capsys.readouterr().out
    (out / "powers.png").unlink()
    assert main([*command, "--only", "claims"]) == 0
    assert not (out / "powers.png").exists()


def test_the_command_says_what_is_missing(registered, tmp_path, capsys):
    command = ["reproduce", "powers", "--directory", str(tmp_path), "--only", "figure"]
    assert main(command) == 2
    assert "has no numbers.nc; run the experiment there first" in capsys.readouterr().err


def test_what_is_timed_has_the_machine_for_itself(registered, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(Powers, "timed", True)
    command = ["reproduce", "powers", "--directory", str(tmp_path / "out"), "--workers", "2"]
    assert main(command) == 2
    assert "this experiment compares times" in capsys.readouterr().err


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Powers):
    """One training run."""

    def cases(self):
        config = RunConfig(
            task=fl.tasks.Copy(3, num_steps=12), cell=fl.TanhSpec(8), schedule=None, epochs=4,
            batch_size=2, measure_every=None, measure_exponents=1, test_trials=8,
        )  # fmt: skip
        return {Other(1.0): config}

    def measure(self, case, outcome):
        assert outcome.finished
        assert outcome.networks.cell.recurrent_weight.shape == (1, 8, 8)
        return outcome.data[["loss"]].rename(realisation="network")


@pytest.mark.slow
def test_a_run_is_a_case_and_is_measured_when_it_is_finished(tmp_path):
    data = perform(Training(), tmp_path / "out")
    assert data[Other(1.0)].loss.sizes == {"epoch": 4, "network": 1}
    [place] = (tmp_path / "out" / "runs").iterdir()
    assert (place / "weights.eqx").is_file()


def test_a_published_curve_is_ordered_and_free_of_doubles():
    published = Published(["binary_xor_accuracy_vs_delay"])
    curve = published.curve(
        "binary_xor_accuracy_vs_delay", "delay_steps", "accuracy_percent", flossing="none"
    )
    assert (np.diff(curve[:, 0]) > 0).all()
    assert 40 < curve[:, 1].min() < curve[:, 1].max() <= 100


def test_larger_networks_have_larger_batches_and_smaller_rates():
    """Both in proportion to the units, from 80 on."""
    experiment = XOR.small(hidden_size=80, delays=(4,), larger=((40, 4), (160, 4)))
    sizes = {config.cell.hidden_size: config for config in experiment.cases().values()}
    assert {n: config.batch_size for n, config in sizes.items()} == {40: 16, 80: 16, 160: 32}
    rates = {n: config.optimiser.learning_rate for n, config in sizes.items()}
    assert rates == pytest.approx({40: 2e-3, 80: 2e-3, 160: 1e-3})
