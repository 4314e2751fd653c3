"""Which papers to cite for what was used, as text and BibTeX; the entries are in ``references.bib``."""

import dataclasses
import difflib
import functools
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from . import initialisers, surrogates

_TABLE = {
    # measuring
    "lyapunov_spectrum local_exponents LyapunovSpectrum examine Report": (
        "benettin1980 shimada1979 engelken2023spectra"
    ),
    "Measured": "benettin1980 shimada1979 engelken2023spectra gonzalez2025",
    "kaplan_yorke_dimension": "kaplan1979",
    "entropy_rate": "pesin1977",
    "log_singular_values": "dieci2008",
    "condition_number": "dieci2008 engelken2023flossing",
    "covariant_vectors CovariantVectors": "ginelli2007",
    # flossing
    "Flosser AdaptiveFlosser flossing_loss Before Phases Adaptive Joint": ("engelken2023flossing"),
    "SurrogateHeights free_heights Heights": "engelken2023flossing engelken2024surrogate",
    # cells and their start
    "TanhCell TanhSpec Network": "engelken2023flossing",
    "GRUCell GRUSpec": "cho2014",
    "LSTMCell LSTMSpec": "hochreiter1997 gers2000",
    "ReLUCell ReLUSpec": "le2015",
    "LinearRecurrentCell LinearSpec": "orvieto2023",
    "BinaryCell BinarySpec LIFCell LIFSpec": "engelken2024surrogate",
    "fluctuation_driven": "rossbroich2022",
    "initialisers.Gaussian": "sompolinsky1988 engelken2023flossing",
    "initialisers.Orthogonal": "saxe2014",
    "initialisers.Identity": "le2015",
    "initialisers.Ring": "rodan2011",
    "from_nir to_nir": "pedersen2024",
    # surrogates
    "SuperSpike": "zenke2018",
    "surrogates.Exponential": "shrestha2018",
    "Triangular": "esser2016 bellec2018",
    "surrogates.StraightThrough": "bengio2013",
    # tasks, losses, optimisers
    "Copy DelayedXOR Parity": "engelken2023flossing",
    "AddingProblem": "hochreiter1997 arjovsky2016",
    "ContinuousCopy": "arjovsky2016",
    "FlipFlop": "sussillo2013",
    "DyckWords": "hewitt2020",
    "FrequencyDiscrimination": "romo1999",
    "MatchToSample": "miller1996",
    "Digits": "alpaydin1998 le2015",
    "Randman": "zenke2021 gygax2025",
    "Heidelberg open_heidelberg": "cramer2022",
    "SpikeRaster": "gygax2025",
    "van_rossum_distance": "vanrossum2001 gygax2025",
    "Adam": "kingma2015 engelken2023flossing",
    # theory
    "ScoreFunction": "williams1992",
    "theory.StraightThrough": "bengio2013",
    "StochasticDerivative SmoothedStochasticDerivative": "arya2022",
}
"""Names of classes and functions (with their room where names repeat), and the keys of their papers."""
_EXPERIMENTS = {
    "xor copy parity spectra condition-number ablation architectures": "engelken2023flossing",
    "target-exponents": "engelken2023flossing polyak1987 loizou2021",
    "chaos": "engelken2023spectra sompolinsky1988",
    "baselines": "engelken2023flossing pascanu2013 le2015 tallec2018 orvieto2023",
    "binary-first-exponent binary-spectra binary-xor spiking-spectrum spiking-gradients": (
        "engelken2024surrogate"
    ),
    "spiking-xor": "engelken2024surrogate rossbroich2022",
    "stochastic closed-loop bias single-neuron": "gygax2025",
    "classification": "gygax2025 zenke2021",
    "classification-shd": "gygax2025 cramer2022",
    "spike-train-matching": "gygax2025 vanrossum2001 gardner2015",
    "sequence-tasks": (
        "alpaydin1998 hochreiter1997 romo1999 miller1996 sussillo2013 hewitt2020 zenke2021"
    ),
    "scale": "engelken2023flossing romo1999",
    "spiking-stack surrogate-fields": "engelken2024surrogate gygax2025",
}
"""Names of experiments, and the keys of their papers."""
_ROOMS = {
    "surrogates": "neftci2019",
    "escape_noise": "gerstner2014 gygax2025",
    "theory": "gygax2025",
}
"""Papers of everything in a room."""
_SETTINGS = {
    "leak": "jaeger2007",
    "chrono": "tallec2018",
    "forget_bias": "jozefowicz2015",
    "adaptation_time_constant": "bellec2018",
    "fluctuations": "rossbroich2022",
    "rule": "gardner2015",
}
"""Papers of settings that are not at their default."""
_KEYS = {name: keys.split() for names, keys in _TABLE.items() for name in names.split()}
_BY_EXPERIMENT = {name: k.split() for names, k in _EXPERIMENTS.items() for name in names.split()}


@dataclasses.dataclass(frozen=True)
class Citations:
    """What to cite. It prints itself: a list to read, then BibTeX.

    Attributes:
        keys: the keys of the BibTeX entries, in the order of use.
    """

    keys: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line for each entry: authors, year, title, where."""
        return "\n".join(_line(_entries()[key]) for key in self.keys)

    @property
    def bibtex(self) -> str:
        """The entries as a BibTeX file."""
        return "\n\n".join(_source(key) for key in self.keys) + "\n"

    def __repr__(self) -> str:
        lines = [textwrap.fill(x, 98, subsequent_indent="    ") for x in self.text.splitlines()]
        return "\n".join([*lines, "", self.bibtex])


def cite(*used: Any) -> Citations:
    """The library and the papers of what was used, as text and BibTeX.

    Args:
        used: results, cells, networks, schedules, tasks, functions or classes of the library, or their
            names, also those of the command line and of experiments. Results and networks stand for all
            their parts, and for those settings alone that were chosen. With nothing, the library alone.

    Returns:
        Citations that print themselves; ``.bibtex`` and ``.text`` are strings, ``.keys`` the keys.

    Raises:
        ValueError: a name that nothing here has.
        TypeError: an object that holds nothing of the library.

    Example:
        >>> fl.cite(fl.GRUSpec(64), "adaptive").keys
        ('flossing', 'cho2014', 'engelken2023flossing')
    """
    keys = ["flossing"]
    for thing in used:
        keys += _of_name(thing) if isinstance(thing, str) else _of_object(thing)
    return Citations(tuple(dict.fromkeys(keys)))


def _of_name(name: str) -> list[str]:
    last = name.rpartition(".")[2]
    things = _named(last)
    if last not in _BY_EXPERIMENT and not things:
        rooms = [vars(room) for room in _rooms()]
        near = difflib.get_close_matches(
            last, {*_KEYS, *_BY_EXPERIMENT, *(n for r in rooms for n in r)}, 1
        )
        hint = f"did you mean {near[0]!r}?" if near else "give an object or a name of the library."
        raise ValueError(f"used: nothing here is called {name!r}; {hint}")
    return [*_BY_EXPERIMENT.get(last, []), *(key for x in things for key in _of_object(x))]


def _named(name: str) -> list[Any]:
    """Classes and functions under a public name, or under one of the command line."""
    families = importlib.import_module("flossing.runs.parts").FAMILIES.values()
    known = [*(vars(room) for room in _rooms()), *(family.members for family in families)]
    known += [surrogates.by_name(), initialisers.BY_NAME]
    things = [names[name] for names in known if name in names]
    return [x for x in things if _is_ours(x)]


def _rooms() -> list[Any]:
    names = ("", ".surrogates", ".initialisers", ".escape_noise", ".tasks", ".theory", ".training")
    return [importlib.import_module(f"flossing{name}") for name in names]


def _of_object(thing: Any) -> list[str]:
    if inspect.isclass(thing) or inspect.isroutine(thing):
        keys = _of_class(thing)
        if inspect.isclass(thing) and _is_ours(thing):
            has = inspect.signature(thing).parameters
            keys += [key for name, key in _SETTINGS.items() if name in has]
        ours = _is_ours(thing)
    else:
        parts = list(_parts(thing))
        keys = [key for part in parts for key in [*_of_class(type(part)), *_of_settings(part)]]
        ours = any(_is_ours(type(part)) for part in parts)
    if not ours:
        name = getattr(thing, "__name__", type(thing).__name__)
        raise TypeError(
            f"used: {name} holds nothing of flossing; give results, cells, schedules or tasks of the "
            "library, or their names."
        )
    return keys


def _parts(thing: Any) -> Iterator[Any]:
    """An object and all that its fields, lists and mappings hold, except arrays."""
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        yield thing
        for field in dataclasses.fields(thing):
            yield from _parts(getattr(thing, field.name, None))
    elif isinstance(thing, Mapping):
        for value in thing.values():
            yield from _parts(value)
    elif isinstance(thing, tuple | list):
        yield thing
        for value in thing:
            yield from _parts(value)
    elif _is_ours(type(thing)):
        yield thing


def _is_ours(kind: Any) -> bool:
    return (getattr(kind, "__module__", None) or "").partition(".")[0] == "flossing"


def _of_class(kind: Any) -> list[str]:
    """Keys for a class or function: its own, those of what it inherits from, those of its room."""
    keys = []
    for ancestor in inspect.getmro(kind) if inspect.isclass(kind) else [kind]:
        if _is_ours(ancestor):
            name, rooms = ancestor.__name__, ancestor.__module__.split(".")[1:]
            for known in [name, *(f"{room}.{name}" for room in rooms)]:
                keys += _KEYS.get(known, [])
            keys += [key for room in rooms if room in _ROOMS for key in _ROOMS[room].split()]
    return keys


def _of_settings(thing: Any) -> list[str]:
    """Keys for settings of an object that were chosen, and for parts that settings name."""
    if not _is_ours(type(thing)):
        return []
    usual = inspect.signature(type(thing)).parameters
    keys = [
        key
        for name, key in _SETTINGS.items()
        if name in usual and getattr(thing, name, usual[name].default) != usual[name].default
    ]
    if isinstance(surrogate := getattr(thing, "surrogate", None), str):
        keys += _of_class(surrogates.by_name()[surrogate])
    recurrent = getattr(thing, "recurrent", None)
    if isinstance(recurrent, str) and recurrent != usual["recurrent"].default:
        keys += _of_class(initialisers.BY_NAME[recurrent])
    return keys


@functools.cache
def _sources() -> dict[str, str]:
    """The BibTeX entries by key."""
    text = (Path(__file__).parent / "references.bib").read_text(encoding="utf-8")
    entries = [entry.strip() for entry in re.split(r"\n(?=@)", text)]
    return {re.match(r"@\w+\{([^,]+),", entry).group(1): entry for entry in entries}  # pyright: ignore


def _source(key: str) -> str:
    source = _sources()[key]
    if key == "flossing":
        source = f"{source[:-1]}  version = {{{metadata.version('flossing')}}},\n}}"
    return source


@functools.cache
def _entries() -> dict[str, dict[str, str]]:
    """The fields of each entry."""
    return {
        key: dict(re.findall(r"^  (\w+) = \{(.*)\},$", _source(key), re.MULTILINE))
        for key in _sources()
    }


def _line(entry: dict[str, str]) -> str:
    """An entry as one line."""
    authors = entry["author"].strip("{}").split(" and ")
    short = [_initials(author) for author in authors]
    if short[-1] == "others":
        who = f"{', '.join(short[:-1])} et al."
    else:
        who = " & ".join([", ".join(short[:-1]), short[-1]] if len(short) > 1 else short)
    year = f" ({entry['year']})" if "year" in entry else ""
    where = next(
        (entry[k] for k in ("journal", "booktitle", "howpublished", "publisher") if k in entry), ""
    )
    numbers = entry.get("volume", "")
    if "number" in entry:
        numbers += f"({entry['number']})"
    if "pages" in entry:
        numbers += f", {entry['pages'].replace('--', '-')}"
    more = [
        f"{where} {numbers}".strip(),
        f"version {entry['version']}" if "version" in entry else "",
    ]
    more.append(f"arXiv:{entry['eprint']}" if "eprint" in entry else "")
    ends = " ".join(f"{part}." for part in more if part)
    return f"{who}{year}. {entry['title'].rstrip('.')}. {ends}".replace("?.", "?").strip()


def _initials(author: str) -> str:
    family, _, given = author.partition(", ")
    letters = " ".join(f"{name[0]}." for name in given.split())
    return f"{family}, {letters}" if given else family
