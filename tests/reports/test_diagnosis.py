"""The top of a run's page: whether it learned, and what the examination says of why."""

import json
import re
import shlex
import shutil

import equinox as eqx
import jax
import numpy as np
import pytest
import xarray as xr

import flossing as fl
from flossing.commands import train
from flossing.reports import write_report
from flossing.runs import driven, examining, load
from flossing.runs.examining import entry


@pytest.fixture
def shut_run(shut, tmp_path):
    return shutil.copytree(shut, tmp_path / "shut")


def page_of(directory):
    return write_report(directory, figures=False).read_text(encoding="utf-8")


def section(page):
    """The words of the diagnosis, without marks."""
    found = re.search(r'<section aria-labelledby="diagnosis-heading".*?</section>', page, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found[0]).split())


def tone(page):
    return re.search(r'class="diagnosis (\w+)"', page)[1]


def change(directory, **values):
    path = directory / "metrics.nc"
    data = xr.load_dataset(path, engine="h5netcdf")
    for name, value in values.items():
        data[name][:] = value
    data.to_netcdf(path, engine="h5netcdf")


def test_shut_gates_are_said_where_exponents_alone_look_good(shut_run):
    page = page_of(shut_run)
    words = section(page)
    kept = json.loads((shut_run / "examine.json").read_text(encoding="utf-8"))["networks"][0]
    leading = kept["numbers"]["exponents"][0]
    assert abs(leading) < 0.01
    accuracy = np.median(load(shut_run).data["test_accuracy"])
    assert (
        f"0 of 2 networks learned (held-out accuracy {100 * accuracy:.1f}\xa0%, the median; chance "
        f"50.0\xa0%) although λ₁ is at {leading:.2g}; gates are shut: 8 of 8 state variables are kept"
    ) in words.replace(" %", "\xa0%")
    assert tone(page) == "bad"
    assert "in networks 1 and 2; numbers of network 1" in words.lower()
    assert page.index("diagnosis-heading") < page.index("summary-heading")


@pytest.mark.slow
def test_the_page_holds_what_the_function_says_of_the_trained_networks(shut_run):
    (shut_run / "examine.json").unlink()
    page_of(shut_run)
    content = json.loads((shut_run / "examine.json").read_text(encoding="utf-8"))
    networks = load(shut_run).networks
    for number in (1, 2):
        step, state, inputs, key = driven(shut_run, number)
        trained = jax.tree.map(lambda x, i=number: x[i - 1] if eqx.is_array(x) else x, networks)
        assert eqx.tree_equal(step, trained.cell)
        report = fl.examine(step, state, inputs, horizon=3, key=key)
        assert content["networks"][number - 1] == {"network": number, **entry(report)}
        assert report.advice[0].sentence in section(page_of(shut_run)) or number == 2


def test_a_run_that_did_not_floss_is_told_the_command_that_does_with_open_gates(shut_run):
    page = page_of(shut_run)
    command = re.search(r'<pre class="command">(.*?)</pre>', page, re.DOTALL)[1]
    floss, name, *options = shlex.split(command)
    assert (floss, name) == ("floss", "train")
    settings = train.parse(options).settings
    assert isinstance(settings.schedule, fl.Adaptive)
    assert settings.cell == fl.GRUSpec(8, openness=3.0)
    assert settings.task == fl.tasks.Copy(3, num_steps=12)
    assert settings.directory != str(shut_run)


@pytest.mark.slow
def test_a_run_that_learned_is_not_alarmed(shut_run):
    change(shut_run, test_accuracy=[1.0, 0.97])
    page = page_of(shut_run)
    words = section(page)
    assert "2 of 2 networks learned" in words
    assert "Nothing needs to be done" in words
    assert tone(page) == "good"
    verdict = re.search(r'<p class="verdict">(.*?)</p>', page, re.DOTALL)[1]
    assert "shut" not in verdict
    assert '<pre class="command">' not in page
    before, _, after = page.partition("What the examination found")
    assert "Gates are shut" not in before
    assert "Gates are shut" in after
    assert "<summary>Code</summary>" not in page
    assert "<details>\n<summary>What" in page


def test_networks_that_did_not_learn_are_examined_first(directory, monkeypatch):
    monkeypatch.setattr("flossing.reports.diagnosis.MOST", 1)
    change(directory, test_accuracy=[1.0, 0.5])
    page = page_of(directory)
    assert "1 of 2 networks learned (" in section(page)
    assert "); in network 2 " in section(page)
    assert "Examined: network 2 of 2" in section(page)
    assert tone(page) == "mixed"


@pytest.mark.slow
def test_networks_are_examined_once_until_they_change(shut_run, monkeypatch):
    first = page_of(shut_run)

    def refuse(*args, **kwargs):
        raise ValueError("step: examined again.")

    monkeypatch.setattr(examining, "examine", refuse)
    assert section(page_of(shut_run)) == section(first)
    weights = shut_run / "weights.eqx"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    page = page_of(shut_run)
    assert "could not be examined: step: examined again." in section(page)
    assert "0 of 2 networks learned" in section(page)
    assert tone(page) == "plain"
    (shut_run / "examine.json").write_text("{")
    assert "examined again" in section(page_of(shut_run))


def test_a_page_is_made_where_the_data_of_the_task_are_not(shut_run, monkeypatch):
    (shut_run / "examine.json").unlink()

    def missing(task):
        raise FileNotFoundError("data/train.h5: no such file.")

    monkeypatch.setattr(fl.tasks.Copy, "loaded", missing)
    words = section(page_of(shut_run))
    assert "0 of 2 networks learned" in words
    assert "could not be examined: data/train.h5: no such file." in words


def test_a_run_that_was_stopped_is_examined_as_it_is(directory):
    path = directory / "metrics.nc"
    data = xr.load_dataset(path, engine="h5netcdf")
    data.drop_vars(["test_accuracy", "test_loss"]).to_netcdf(path, engine="h5netcdf")
    page = page_of(directory)
    accuracy = np.median(data["accuracy"].values[-10:].mean(0))
    words = section(page).replace("\xa0", " ")
    assert f"After 20 of 20 epochs the accuracy in training is {100 * accuracy:.1f} %" in words
    assert "Examined: networks 1 and 2 of 2, after 20 of 20 epochs" in words
    assert tone(page) == "plain"


@pytest.mark.slow
@pytest.mark.parametrize("how", ["no weights", "gone on since"])
def test_networks_of_an_unfinished_run_without_current_weights_are_not_examined(directory, how):
    path = directory / "metrics.nc"
    data = xr.load_dataset(path, engine="h5netcdf")
    data.drop_vars(["test_accuracy", "test_loss"]).to_netcdf(path, engine="h5netcdf")
    if how == "no weights":
        (directory / "weights.eqx").unlink()
    else:
        content = (directory / "checkpoint.eqx").read_bytes()
        (directory / "checkpoint.eqx").write_bytes(content)
    words = section(page_of(directory))
    assert "examined when it has ended" in words
    assert "Examined:" not in words
