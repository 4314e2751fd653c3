"""fl.cite: every key has an entry, every source in a docstring has a key, and BibTeX is BibTeX."""

import importlib
import inspect
import re
import tomllib
from importlib import metadata
from pathlib import Path

import jax
import pytest
import yaml

import flossing as fl
from flossing import citing
from flossing.experiments import EXPERIMENTS, experiment
from flossing.runs import RunConfig
from flossing.runs.parts import FAMILIES

_ROOT = Path(__file__).parents[1]
_CITED = re.compile(
    r"([A-Z][\w-]+)(?:, [A-Z][\w-]+)*(?: &\s+[A-Z][\w-]+| et al\.)?,? \(?((?:19|20)\d\d)\b"
)
"""First author and year, as docstrings have them."""


def _public():
    pages = "".join(x.read_text(encoding="utf-8") for x in (_ROOT / "docs" / "api").glob("*.md"))
    for module, names in re.findall(r"```\{api\} (\S+)\n(.*?)```", pages, re.DOTALL):
        if not module.startswith(("flossing.torch", "flossing.plots")):
            for name in names.split():
                yield module, name


def _sources(text):
    text = " ".join((text or "").split()).replace("LRU, ", "")
    return set(_CITED.findall(text))


def _authors_and_years(citations):
    for key in citations.keys:
        entry = citing._entries()[key]
        for author in entry["author"].split(" and "):
            yield author.split(",")[0].split()[-1], entry.get("year")


@pytest.mark.parametrize(("module", "name"), list(_public()))
def test_every_source_in_the_docstring_of_a_public_name_is_cited(module, name):
    thing = getattr(importlib.import_module(module), name)
    wanted = _sources(inspect.getdoc(thing))
    if wanted:
        assert wanted <= set(_authors_and_years(fl.cite(thing)))


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_every_source_of_an_experiment_is_cited(name):
    wanted = _sources(experiment(name).source)
    assert wanted <= set(_authors_and_years(fl.cite(name)))


def test_every_name_of_the_command_line_is_known():
    for family in FAMILIES.values():
        for name, kind in family.members.items():
            assert set(fl.cite(kind).keys) <= set(fl.cite(name).keys)


def test_keys_of_tables_and_entries_are_the_same():
    tables = [citing._TABLE, citing._EXPERIMENTS, citing._ROOMS, citing._SETTINGS]
    named = {key for table in tables for keys in table.values() for key in keys.split()}
    assert named | {"flossing"} == set(citing._sources())


@pytest.mark.parametrize("key", sorted(citing._sources()))
def test_an_entry_is_bibtex_with_author_title_and_year(key):
    source = citing._source(key)
    assert re.match(r"@(article|book|incollection|inproceedings|misc|software)\{\w+,\n", source)
    assert source.count("{") == source.count("}")
    assert source.endswith("\n}")
    lines = source.splitlines()[1:-1]
    assert all(re.fullmatch(r"  \w+ = \{.+\},", line) for line in lines)
    fields = [line.split()[0] for line in lines]
    assert len(fields) == len(set(fields)) == len(citing._entries()[key])
    assert {"author", "title", "version" if key == "flossing" else "year"} <= set(fields)
    assert re.fullmatch(r"flossing|[a-z]+\d{4}[a-z]*", key)
    assert key == "flossing" or citing._entries()[key]["year"] in key


def test_text_and_bibtex_read_as_expected():
    citations = fl.cite("GRUCell", "kaplan_yorke_dimension")
    assert citations.keys == ("flossing", "cho2014", "tallec2018", "kaplan1979")
    assert citations.text.splitlines()[-1] == (
        "Kaplan, J. L. & Yorke, J. A. (1979). Chaotic behavior of multidimensional difference "
        "equations. Functional Differential Equations and Approximation of Fixed Points 730, 204-227."
    )
    assert fl.cite("Triangular").text.splitlines()[1].startswith("Esser, S. K. et al.")
    assert citations.bibtex.count("\n@") == 3
    shown = repr(citations)
    assert shown.endswith(f"\n\n{citations.bibtex}")
    assert " ".join(shown.removesuffix(citations.bibtex).split()) == " ".join(
        citations.text.split()
    )
    assert max(map(len, shown.removesuffix(citations.bibtex).splitlines())) <= 98
    assert f"version {metadata.version('flossing')}" in fl.cite().text


def test_objects_stand_for_their_parts_and_for_settings_that_were_chosen():
    key = jax.random.key(0)
    stack = fl.Stack([fl.LIFCell(1, 8, key=key), fl.LeakyReadout(8, 2, key=key)])
    assert set(fl.cite(stack).keys) == {
        "flossing",
        "engelken2024surrogate",
        "zenke2018",
        "neftci2019",
    }
    assert "tallec2018" not in fl.cite(fl.LSTMSpec(8)).keys
    assert "tallec2018" in fl.cite(fl.LSTMSpec(8, chrono=20.0)).keys
    assert "saxe2014" in fl.cite(fl.TanhSpec(8, recurrent="orthogonal")).keys
    config = RunConfig(task=fl.tasks.Digits(), cell=fl.GRUSpec(8), schedule=None)
    expected = {"alpaydin1998", "le2015", "cho2014", "kingma2015", "engelken2023flossing"}
    assert set(fl.cite(config).keys) == {"flossing", *expected}


@pytest.mark.parametrize(
    ("used", "error", "words"),
    [
        ("GRUcell", ValueError, "used: nothing here is called 'GRUcell'; did you mean 'GRUCell'?"),
        (3.0, TypeError, "used: float holds nothing of flossing"),
        (dict, TypeError, "used: dict holds nothing of flossing"),
        ([jax.random.key], TypeError, "used: list holds nothing of flossing"),
    ],
)
def test_what_has_no_source_here_is_refused(used, error, words):
    with pytest.raises(error, match=re.escape(words)):
        fl.cite(used)


def test_citation_file_says_the_same_as_the_entries():
    content = yaml.safe_load((_ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert content["version"] == metadata.version("flossing")
    entries = citing._entries()
    assert content["title"] == entries["flossing"]["title"]
    pyproject = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert content["keywords"] == pyproject["keywords"]
    by_title = {entry["title"]: entry for entry in entries.values()}
    for reference in content["references"]:
        entry = by_title[reference["title"]]
        authors = [f"{a['family-names']}, {a['given-names']}" for a in reference["authors"]]
        assert authors == entry["author"].split(" and ")
        assert str(reference["year"]) == entry["year"]
        for ours, theirs in (("journal", "journal"), ("volume", "volume"), ("issue", "number")):
            assert str(reference.get(ours, "")) == entry.get(theirs, "") or ours not in reference
        if "eprint" in entry:
            assert f"arXiv:{entry['eprint']}" in reference["notes"]
