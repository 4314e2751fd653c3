"""What every experiment keeps to: its kept numbers, claims that can fail, a figure, published tables."""

import json
import re
import warnings
from importlib import resources
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import tiny
import xarray as xr

from flossing.experiments import EXPERIMENTS, experiment, kept_verdict
from flossing.experiments.lab.claims import Claim
from flossing.experiments.lab.data import Data
from flossing.experiments.lab.perform import draw, perform, write_claims

RESULTS = Path(__file__).parents[2] / "docs" / "results"
KEPT = [name for name in EXPERIMENTS if kept_verdict(name)]


@pytest.fixture(scope="module")
def kept():
    """Reads the numbers of a full run, once for each experiment."""
    found = {}

    def read(name):
        if name not in found:
            chosen = experiment(name)()
            found[name] = chosen, Data.read(RESULTS / name / "numbers.nc", chosen.cases())
        return found[name]

    return read


def changed(data, change):
    """The same data with other numbers."""
    return Data(
        {
            case: part.map(lambda x: change(x.astype(float)) if x.dtype.kind in "fiub" else x)
            for case, part in data.items()
        }
    )


def exchanged(data):
    """The numbers of the first case given to the last one of the same kind and shape, and so on."""
    groups = {}
    for case, part in data.items():
        shape = type(case), tuple(sorted((str(k), v.shape) for k, v in part.variables.items()))
        groups.setdefault(shape, []).append(case)
    other = {case: end for g in groups.values() for case, end in zip(g, g[::-1], strict=True)}
    return Data({case: data[other[case]] for case in data})


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_kept_numbers_give_the_kept_verdict(kept, name):
    chosen, data = kept(name)
    known = kept_verdict(name)["claims"]
    claims = chosen.verdict(data)
    assert [claim.text for claim in claims] == [claim["text"] for claim in known]
    np.testing.assert_allclose(
        [claim.measured for claim in claims],
        [np.nan if claim["measured"] is None else claim["measured"] for claim in known],
        rtol=1e-5,
    )
    assert [claim.holds for claim in claims] == [claim["holds"] for claim in known]


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_no_claim_holds_without_numbers(kept, name):
    chosen, data = kept(name)
    claims = chosen.verdict(changed(data, lambda x: np.nan * x))
    assert claims
    assert [claim.text for claim in claims if claim.holds] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_every_claim_fails_on_some_wrong_numbers(kept, name):
    chosen, data = kept(name)
    right = chosen.verdict(data)
    holding = {i: claim.text for i, claim in enumerate(right) if claim.holds}
    random = np.random.default_rng(0)
    wrong = [
        changed(data, lambda x: -x - 1),
        changed(data, lambda x: 10 * x + 3),
        changed(data, lambda x: 0 * x),
        changed(data, lambda x: x + random.normal(0, 5, x.shape)),
        exchanged(data),
    ]
    for numbers in wrong:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", RuntimeWarning)
            claims: list[Claim] = chosen.verdict(numbers)
        if len(claims) == len(right):
            holding = {i: text for i, text in holding.items() if claims[i].holds}
    assert list(holding.values()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", KEPT)
def test_the_figure_is_drawn_from_kept_numbers(kept, name, tmp_path):
    chosen, data = kept(name)
    picture = matplotlib.image.imread(draw(chosen, name, data, tmp_path))
    assert min(picture.shape[:2]) > 300
    inked = (picture[..., :3].min(-1) < 0.9).mean()
    assert 0.005 < inked < 0.9


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_says_what_it_shows_in_two_sentences(name):
    chosen = experiment(name)
    assert chosen.title
    assert chosen.source
    assert len(re.findall(r"[.!?](?:\s|$)", chosen.shows)) == 2, chosen.shows


def test_every_published_table_is_there_and_used():
    there = {
        entry.name.removesuffix(".csv")
        for entry in (resources.files("flossing.experiments") / "published").iterdir()
        if entry.name.endswith(".csv")
    }
    assert {name for e in EXPERIMENTS for name in experiment(e).tables} == there


@pytest.mark.slow
@pytest.mark.parametrize("name", tiny.EXPERIMENTS)
def test_a_small_run_gives_numbers_for_every_claim(name, tmp_path):
    """From nothing to the verdict, and the same again from what is kept. Figures are drawn above."""
    chosen = tiny.EXPERIMENTS[name]()
    data = perform(chosen, tmp_path)
    assert set(data) == set(chosen.cases())
    claims = chosen.verdict(data)
    assert np.isfinite([claim.measured for claim in claims]).all(), claims
    content = write_claims(chosen, name, claims, tmp_path)
    assert content["quick"]
    assert json.loads(json.dumps(content["settings"])) == content["settings"]
    if name not in KEPT:
        assert draw(chosen, name, data, tmp_path).stat().st_size > 10_000
    again = Data.read(tmp_path / "numbers.nc", chosen.cases())
    for case, part in data.items():
        xr.testing.assert_identical(again[case], part)
