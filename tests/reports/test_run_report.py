"""The report of a real small run: complete, self-contained, honest about what is missing."""

import csv
import io
import json
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
import xarray as xr

from flossing.cli import main
from flossing.reports import write_report
from flossing.runs import from_yaml, to_yaml

FIGURES = [
    "report-spectrum.pdf",
    "report-spectrum.png",
    "report-training.pdf",
    "report-training.png",
]


class Links(HTMLParser):
    """Tags and the addresses they load or lead to."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.leads, self.tags = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name in ("src", "srcset", "data", "poster") or (name == "href" and tag == "link"):
                self.loads.append(value)
            elif name == "href":
                self.leads.append(value)


def data_of(page):
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(found[1])


def change(directory, edit):
    path = directory / "metrics.nc"
    data = edit(xr.load_dataset(path, engine="h5netcdf"))
    data.to_netcdf(path, engine="h5netcdf")


@pytest.fixture(scope="module")
def reported(trained, tmp_path_factory):
    """A copy of the run with its report, and what its files held before."""
    directory = shutil.copytree(trained, tmp_path_factory.mktemp("reported") / "small")
    before = {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}
    assert write_report(directory) == directory / "report.html"
    return directory, before


@pytest.fixture
def page(reported):
    """The text of the report."""
    return (reported[0] / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_page_and_figures_are_written(reported):
    directory, before = reported
    assert sorted(path.name for path in (directory / "figures").iterdir()) == FIGURES
    assert (directory / "figures/report-training.pdf").read_bytes().startswith(b"%PDF")
    assert not any(path.name.startswith(".") for path in directory.rglob("*"))
    assert all(path.read_bytes() == content for path, content in before.items())


def test_written_again_it_replaces_only_its_own_files(directory):
    (directory / "figures").mkdir()
    for name in ("report.html", "figures/mine.png"):
        (directory / name).write_bytes(b"mine")
    page = write_report(directory, figures=False).read_text(encoding="utf-8")
    assert (directory / "figures/mine.png").read_bytes() == b"mine"
    assert page.startswith("<!doctype html>")
    assert "figures/mine.png" in page


def test_page_needs_no_network_and_its_links_lead_to_files(reported, page):
    directory, _ = reported
    links = Links(page)
    assert links.loads == ["data:,"]
    files = [unquote(link) for link in links.leads if not link.startswith(("#", "data:"))]
    assert {
        "metrics.nc",
        "config.yaml",
        "environment.json",
        *(f"figures/{f}" for f in FIGURES),
    } <= set(files)
    assert all((directory / name).is_file() for name in files)
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert len(page) < 3e6


def test_the_page_says_what_the_run_says(trained, page):
    data = xr.load_dataset(trained / "metrics.nc", engine="h5netcdf")
    content = data_of(page)
    assert content["curves"]["width"] == 1
    accuracy = np.array(content["curves"]["metric"]["networks"])
    np.testing.assert_allclose(accuracy, 100 * data["accuracy"].values.T, rtol=1e-3)
    median = np.array(content["curves"]["loss"]["median"])
    np.testing.assert_allclose(median, np.median(data["loss"].values, axis=1), rtol=1e-3)
    assert [m["label"] for m in content["moments"]] == data["measurement_label"].values.tolist()
    np.testing.assert_allclose(
        content["moments"][-1]["median"], np.median(data["exponents"][-1], axis=0), rtol=1e-3
    )
    assert "delay: 3" in page
    assert "versions.jax" in page


def test_summary_as_csv_is_within_the_page(trained, page):
    link = next(x for x in Links(page).leads if x.startswith("data:text/csv"))
    rows = list(csv.DictReader(io.StringIO(unquote(link.split(",", 1)[1]))))
    data = xr.load_dataset(trained / "metrics.nc", engine="h5netcdf")
    assert [row["network"] for row in rows] == ["1", "2"]
    np.testing.assert_allclose([float(row["test"]) for row in rows], data["test_accuracy"].values)
    np.testing.assert_allclose(
        [float(row["leading_end"]) for row in rows], data["exponents"].values[-1, :, 0], rtol=1e-6
    )


def test_text_is_escaped(directory):
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"
    config = from_yaml((directory / "config.yaml").read_text())
    (directory / "config.yaml").write_text(to_yaml(config) + f"# {bad}\n")
    (directory / "environment.json").write_text(json.dumps({"command": bad, bad: 1}))
    change(
        directory,
        lambda d: d.assign_coords(
            measurement_label=("measurement", [bad] * d.sizes["measurement"])
        ),
    )
    page = write_report(directory, figures=False).read_text(encoding="utf-8")
    assert bad not in page
    assert Links(page).tags.count("script") == 3
    assert "img" not in Links(page).tags
    assert data_of(page)["moments"][0]["label"] == bad


def test_an_unfinished_run_says_so(directory):
    names = ["test_accuracy", "test_loss"]
    change(directory, lambda d: d.drop_vars(names).isel(epoch=slice(7), measurement=slice(3)))
    page = write_report(directory, figures=False).read_text(encoding="utf-8")
    assert "Unfinished: 7 of 20 training epochs are done" in page
    assert "not measured" in page
    assert "not yet" in page


@pytest.mark.slow
@pytest.mark.parametrize("what", ["nothing", "no training", "no measurement", "no file"])
def test_missing_parts_are_named(directory, what):
    by_epoch = ["loss", "accuracy", "gradient_norm", "skipped", "epoch"]
    late = ["test_accuracy", "test_loss"]
    if what == "nothing":
        change(directory, lambda d: xr.Dataset(attrs=d.attrs))
    elif what == "no training":
        change(directory, lambda d: d.drop_vars([*by_epoch, *late]))
    elif what == "no measurement":
        change(directory, lambda d: d.drop_dims(["measurement"]))
    else:
        (directory / "metrics.nc").unlink()
    page = write_report(directory).read_text(encoding="utf-8")
    assert ("no training in this run yet" in page) == (what != "no measurement")
    assert ("spectrum was not measured" in page) == (what != "no training")
    assert ('id="metric"' in page) == (what == "no measurement")
    assert ('id="moment"' in page) == (what == "no training")


@pytest.mark.slow
def test_values_that_are_not_finite_are_counted_and_left_out(directory):
    def edit(data):
        data["loss"][2, 0] = np.nan
        data["accuracy"][:, 1] = np.nan
        data["gradient_norm"][3] = np.inf
        data["exponents"][-1, :, 5:] = -np.inf
        data["exponents"][-1, 0, 0] = -np.inf
        data["test_accuracy"][1] = np.nan
        return data

    change(directory, edit)
    page = write_report(directory).read_text(encoding="utf-8")
    assert "1 of 40 losses are not finite" in page
    assert "20 of 40 values of accuracy are not finite" in page
    assert "2 of 40 gradient norms are not finite" in page
    assert "7 of 112 exponents are not finite" in page
    assert "lost (minus infinity)" in page
    assert "not a number" in page
    assert data_of(page)["moments"][-1]["median"][-1] is None


@pytest.mark.slow
def test_long_runs_with_many_networks_stay_small(directory):
    rng = np.random.default_rng(0)

    def edit(data):
        grown = data.isel(
            realisation=np.zeros(60, int), epoch=np.zeros(5000, int), measurement=[0] * 700 + [-1]
        )
        grown["accuracy"][:] = rng.random((5000, 60))
        return grown.assign_coords(epoch=np.arange(5000), realisation=np.arange(60))

    change(directory, edit)
    page = write_report(directory, figures=False).read_text(encoding="utf-8")
    content = data_of(page)
    assert len(content["curves"]["epoch"]) <= 600
    assert "mean of\n21 epochs" in page
    assert content["moments"][0]["label"] == "start"
    assert content["moments"][-1]["label"] == "end"
    assert re.search(r"\d+ of 701 measurements of the spectrum are left out", page)
    assert len(page) < 6e6


@pytest.mark.slow
def test_command(directory, capsys):
    assert main(["report", str(directory), "--no-figures"]) == 0
    assert capsys.readouterr().out.split() == ["report:", str(directory / "report.html")]
    assert not (directory / "figures").exists()
    assert main(["report", str(directory)]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in FIGURES)


def test_a_damaged_run_gets_one_line(directory, capsys):
    (directory / "metrics.nc").write_bytes(b"not netCDF")
    assert main(["report", str(directory)]) == 2
    assert "metrics.nc: damaged" in capsys.readouterr().err
    assert not (directory / "report.html").exists()


@pytest.mark.parametrize("library", ["plotly", "jinja2"])
def test_a_missing_library_is_named(directory, monkeypatch, capsys, library):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    assert main(["report", str(directory)]) == 2
    error = capsys.readouterr().err
    assert f"needs {library}" in error
    assert "pip install jinja2 plotly" in error
    assert not (directory / "report.html").exists()


def test_environment_that_cannot_be_read_is_said(directory):
    (directory / "environment.json").write_text("{")
    assert "cannot be read" in write_report(directory, figures=False).read_text(encoding="utf-8")
    (directory / "environment.json").unlink()
    assert "there is no such file" in write_report(directory, figures=False).read_text(
        encoding="utf-8"
    )
