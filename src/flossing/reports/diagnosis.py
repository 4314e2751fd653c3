"""Did the networks of a run learn, and what their examination says of why: the top of a run's page."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import xarray as xr

from .._system import command_line
from ..cells import BinarySpec, GRUSpec, LIFSpec, LSTMSpec
from ..runs import directory as files
from ..runs.config import RunConfig
from ..runs.examining import MOST, examine_run
from ..runs.summary import Headline, grade, headline
from . import words

Tone = Literal["good", "mixed", "bad", "plain"]

_FLOSSABLE = {"exploding", "vanishing", "uneven", "few directions", "shut gates", "erased"}
_ORDER = ("fault", "warning", "note", "fine")


@dataclass
class Card:
    """A finding, and in which of the examined networks it was made."""

    severity: str
    sentence: str
    """As said of the first of them."""
    networks: str
    """In words; empty where a run has one network only."""
    evidence: str
    advice: str
    code: str
    source: str


@dataclass
class Diagnosis:
    """What stands at the top of a run's page."""

    tone: Tone
    sentence: str
    """Whether the networks learned, and what the examination says of why."""
    more: list[str]
    """Sentences below it."""
    command: str = ""
    """What to do next, for a terminal."""
    cards: list[Card] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    """Of the table of numbers."""
    rows: list[list[str]] = field(default_factory=list)
    names: str = ""
    """Code that makes the names which code of findings uses."""


def diagnose(directory: Path, config: RunConfig, data: xr.Dataset) -> Diagnosis | None:
    """Examines networks of a run, those first that did not learn; ``None`` before there is any training.

    Args:
        directory: of the run, where ``examine.json`` keeps what is found.
        config: of the run.
        data: its metrics; may lack any variable.
    """
    if "loss" not in data:
        return None
    main, values = headline(data), reached(data)
    grades = [grade(value, main) for value in values]
    unfinished = f"test_{main.name}" not in data
    if unfinished and _is_older(directory):
        text = (
            "Its networks are examined when it has ended, which floss train --resume brings it to."
        )
        return Diagnosis("plain", f"{_so_far(data, config)}.", [text])
    count = min(len(values), config.realisations)
    order = sorted(range(count), key=lambda i: (grades[i] == "learned", i))
    numbers = [i + 1 for i in order[:MOST]]
    try:
        entries = examine_run(directory, config, numbers)
    except (
        Exception
    ) as error:  # data that are not here, memory, NaN: the page is worth having anyway
        text = f"The networks could not be examined: {error}"
        begin = _so_far(data, config) if unfinished else _verdict(grades, values, main)
        return Diagnosis("plain", f"{begin}.", [text])
    return _joined(directory, config, data, grades, values, entries)


def reached(data: xr.Dataset) -> list[float]:
    """The headline metric of each network: on held-out trials, or else in the last ten epochs of training."""
    main = headline(data)
    test = data.get(f"test_{main.name}")
    return (data[main.name].values[-10:].mean(0) if test is None else test.values).tolist()


def _is_older(directory: Path) -> bool:
    """Whether a run has no weights, or has gone on since they were written."""
    weights, checkpoint = directory / files.WEIGHTS, directory / files.CHECKPOINT
    if not weights.is_file():
        return True
    return checkpoint.is_file() and checkpoint.stat().st_mtime > weights.stat().st_mtime


def _joined(
    directory: Path,
    config: RunConfig,
    data: xr.Dataset,
    grades: Sequence[str],
    values: Sequence[float],
    entries: list[dict[str, Any]],
) -> Diagnosis:
    """The verdict on all networks with the findings of the examined ones."""
    main = headline(data)
    unfinished = f"test_{main.name}" not in data
    verdict = _so_far(data, config) if unfinished else _verdict(grades, values, main)
    tone = _tone(grades, unfinished)
    good = tone == "good"
    cards = _cards(entries, many=len(grades) > 1)
    if good:  # what was found is of interest, and nobody should do anything about it
        cards = [replace(card, advice="", code="") for card in cards]
    why = "" if good and cards and cards[0].severity != "fine" else _why(entries[0], grades)
    more = [f"Examined: {_networks(entries)} of {len(grades)}, {_when(data, config, unfinished)}."]
    flossable = _FLOSSABLE & {x["name"] for entry in entries for x in entry["findings"]}
    command = ""
    if good:
        more.insert(0, "Nothing needs to be done. Flossing a network that has learned can undo it.")
    elif flossable and config.schedule is None:
        command = _floss(directory, config)
        gates = " and open gates" if isinstance(config.cell, GRUSpec | LSTMSpec) else ""
        more.insert(0, f"These networks were not flossed. The same run with flossing{gates}:")
    names, texts = [entry["network"] for entry in entries], [entry["rows"] for entry in entries]
    return Diagnosis(
        tone=tone,
        sentence=f"{verdict}{why}.",
        more=more,
        command=command,
        cards=cards,
        header=["", *(f"network {number}" for number in names)],
        rows=[[name, *(text.get(name, "") for text in texts)] for name in texts[0]],
        names=_names(directory, names[0]) if any(card.code for card in cards) else "",
    )


def _tone(grades: Sequence[str], unfinished: bool) -> Tone:
    if all(x == "learned" for x in grades):
        return "good"
    if unfinished or all(x == "unknown" for x in grades):
        return "plain"
    return "bad" if all(x == "not" for x in grades) else "mixed"


def _verdict(grades: Sequence[str], values: Sequence[float], main: Headline) -> str:
    """How many networks learned, and how well."""
    count, learned, partly = len(grades), grades.count("learned"), grades.count("in part")
    chance = "" if main.chance is None else f"; chance {words.measured(main.chance, main)}"
    median = words.measured(float(np.median(values)), main)
    level = f"held-out {main.name} {median}{', the median' if count > 1 else ''}{chance}"
    networks = "network" if count == 1 else "networks"
    if grades.count("unknown") == count:
        return f"{count} {networks} trained ({level})"
    if count == 1:
        how = {"learned": "learned", "in part": "learned in part"}.get(grades[0], "did not learn")
        return f"The network {how} ({level})"
    text = f"{learned} of {count} networks learned"
    if partly and not learned:
        text = f"{partly} of {count} networks learned in part"
    elif partly:
        text += f" and {partly} in part"
    return f"{text} ({level})"


def _so_far(data: xr.Dataset, config: RunConfig) -> str:
    main = headline(data)
    median = words.measured(float(np.median(reached(data))), main)
    return f"After {data.sizes['epoch']} of {config.epochs} epochs the {main.name} in training is {median}"


def _why(entry: dict[str, Any], grades: Sequence[str]) -> str:
    """The most serious finding of a network, as the end of a sentence on all of them."""
    worst = min(entry["findings"], key=lambda x: _ORDER.index(x["severity"]), default=None)
    if worst is None:
        return ""
    text = worst["sentence"].split(". ")[0].removesuffix(".")
    text = text[0].lower() + text[1:]
    if len(set(grades)) > 1:
        return f"; in network {entry['network']} {text}"
    leading, decades = entry["numbers"]["exponents"][0], entry["numbers"]["decades"]
    if grades[0] == "not" and worst["severity"] != "fine" and abs(float(decades)) <= 1:
        return f" although λ₁ is at {leading:.2g}; {text}"
    return f"; {text}"


def _cards(entries: list[dict[str, Any]], many: bool) -> list[Card]:
    """One card for each kind of finding, the most serious first."""
    findings: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for entry in entries:
        for finding in entry["findings"]:
            findings.setdefault(finding["name"], []).append((entry["network"], finding))
    cards = []
    for places in sorted(findings.values(), key=lambda x: _ORDER.index(x[0][1]["severity"])):
        first = places[0][1]
        numbers = [number for number, _ in places]
        kept = ("severity", "sentence", "evidence", "advice", "code", "source")
        where = f"in {_listed(numbers)}" + (
            f"; numbers of network {numbers[0]}" if numbers[1:] else ""
        )
        cards.append(Card(networks=where if many else "", **{name: first[name] for name in kept}))
    return cards


def _networks(entries: list[dict[str, Any]]) -> str:
    return _listed([entry["network"] for entry in entries])


def _listed(numbers: Sequence[int]) -> str:
    if len(numbers) == 1:
        return f"network {numbers[0]}"
    *first, last = map(str, sorted(numbers))
    return f"networks {', '.join(first)} and {last}"


def _when(data: xr.Dataset, config: RunConfig, unfinished: bool) -> str:
    return f"after {data.sizes['epoch']} of {config.epochs} epochs" if unfinished else "as trained"


def _floss(directory: Path, config: RunConfig) -> str:
    """The command that trains the same networks with flossing, and with open gates if they have gates."""
    path, cell = directory.as_posix(), config.cell
    schedule = "heights" if isinstance(cell, LIFSpec | BinarySpec) else "adaptive"
    if config.task.horizon is None:
        schedule = "before"
    options = {"config": f"{path}/{files.CONFIG}", "schedule": schedule}
    chosen = (
        "update_bias",
        "forget_bias",
        "chrono",
    )  # where none is, schedules open gates themselves
    for name in [name for name in chosen if getattr(cell, name, None) is not None]:
        options |= {f"cell.{name.replace('_', '-')}": "none", "cell.openness": "3"}
    options["directory"] = f"{path}-flossed"
    listed = [word for name, value in options.items() for word in (f"--{name}", value)]
    return command_line(["floss", "train", *listed])


def _names(directory: Path, network: int) -> str:
    number = "" if network == 1 else f", {network}"
    return (
        "import equinox as eqx, jax, flossing as fl\nfrom flossing.runs import driven\n"
        f"step, state, inputs, key = driven({directory.as_posix()!r}{number})"
    )
