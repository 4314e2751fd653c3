"""Flossing and other remedies on sequence tasks that are no streams of bits."""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, Self

import xarray as xr
from matplotlib.figure import Figure

from ...cells import CellSpec, GRUSpec, LIFSpec, LinearSpec, LSTMSpec, TanhSpec
from ...tasks import (
    AddingProblem,
    ContinuousCopy,
    Digits,
    DyckWords,
    FlipFlop,
    FrequencyDiscrimination,
    Heidelberg,
    MatchToSample,
    Randman,
    SpikingBits,
    Task,
)
from ..lab.claims import Claim
from ..lab.data import Data
from ..lab.experiment import Experiment, Work
from ..lab.published import Published
from ..lab.statistics import Estimate
from . import sequence_figure
from .foretell import QUANTITIES, untrained
from .learning import Setup, learn
from .methods import Method, remedies
from .verdicts import (
    LONGER,
    MEASURES,
    Duel,
    Place,
    Rule,
    best_rule,
    correlation,
    duel,
    mean,
    to_level,
)


@dataclasses.dataclass(frozen=True)
class Trained(Place):
    """Networks that one method trains on a task."""

    method: str


@dataclasses.dataclass(frozen=True)
class Untrained(Place):
    """The same networks before anything happens to them."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A task, and how long it is trained."""

    task: Task
    epochs: int = 1000
    networks: tuple[str, ...] = ("tanh",)
    """Which networks, by name."""
    every: bool = False
    """Whether all methods are tried with tanh networks, and not only the main ones."""


_MANY = ("tanh", "gru", "lstm", "linear", "tanh, two layers")
_SPIKING = ("lif", "lif, adaptive")

TASKS = {
    "frequency": Entry(FrequencyDiscrimination(40), networks=_MANY, every=True),
    "digits": Entry(Digits(), epochs=600, networks=_MANY, every=True),
    "adding, 100": Entry(AddingProblem(100), epochs=2000, networks=_MANY, every=True),
    "match": Entry(MatchToSample(80), networks=_MANY, every=True),
    "digits, permuted": Entry(Digits(permuted=True), epochs=600),
    "adding, 50": Entry(AddingProblem(50), epochs=2000),
    "frequency, long": Entry(FrequencyDiscrimination(80)),
    "copy": Entry(ContinuousCopy(80)),
    "copy, noisy": Entry(ContinuousCopy(40, noise=0.3)),
    "flip-flop": Entry(FlipFlop(200, probability=0.01), epochs=600),
    "dyck": Entry(DyckWords(100, depth=6)),
    "randman": Entry(
        Randman(classes=5, samples=200, frequencies=50, alpha=1.0, readout="mean"),
        networks=_SPIKING,
    ),
    "spike memory": Entry(SpikingBits(6, order=0, single=True), networks=_SPIKING),
}
"""All tasks by name."""

MAIN = (
    "clipping", "orthogonal", "gain tuned", "flossed, all", "adaptive, all", "orthogonal, flossed",
)  # fmt: skip
"""Methods that are tried with tanh networks everywhere."""
RIVALS = ("clipping", "orthogonal", "chrono gates", "open gates", "adaptive, all")
"""Methods that are tried with other networks of rates."""
OF_SPIKES = ("clipping", "flossed, half", "heights")
"""Methods that are tried with spiking networks."""
TIMES = 2.5
"""So many times the updates have methods that are trained for longer."""
_LONGER = {f"{name}{LONGER}": name for name in ("clipping", "orthogonal")}


def _network(name: str, units: int) -> CellSpec:
    made = {
        "tanh": TanhSpec(units),
        "gru": GRUSpec(units),
        "lstm": LSTMSpec(units),
        "linear": LinearSpec(units // 2),
        "tanh, two layers": TanhSpec(units // 2, layers=2),
        "lif": LIFSpec(2 * units, fluctuations=1.0),
        "lif, adaptive": LIFSpec(2 * units, fluctuations=1.0, adaptation_time_constant=100.0),
    }
    return made[name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SequenceTasks(Experiment):
    """Every method trains the same networks on the same trials, for as many updates.

    Each method has its choice among three learning rates, by two networks that are no part of the result;
    skills are those of six others on held-out trials, with 95 % intervals of their mean. Skill is 0 for
    outputs that know nothing of the inputs and 1 for perfect ones. Flossing is represented by its
    recommended kind, adaptive flossing of nearly all exponents; of spiking networks, that of heights. It
    wins where the interval of its gain over each of the other remedies lies above zero, at a gain of 0.02
    or more. Seconds are those of one core and one network. At equal time, all methods get the time that
    flossing and training take together: clipping and orthogonal weights are trained for longer, on four
    of the tasks with tanh networks. On these four, fewer methods are tried with other networks of rates,
    and on two tasks of spikes with LIF networks. What foretells the use of flossing is chosen with tanh
    networks, and tested on the others. SHD and SSC take part where their files are.

    Sources: digits, Alpaydin & Kaynak 1998; adding, Hochreiter & Schmidhuber 1997; frequencies, Romo et al.
    1999; match to sample, Miller et al. 1996; flip-flop, Sussillo & Barak 2013; brackets, Hewitt et al. 2020;
    Randman, Zenke & Vogels 2021.
    """

    title = "sequence tasks, flossing and other remedies"
    source = "a question of our own"
    shows = (
        "Where flossing wins, ties and loses on tasks that are no streams of bits, at equal epochs and at "
        "equal time. What foretells it is measured on untrained networks."
    )
    tasks: tuple[str, ...] = tuple(TASKS)
    """Names of tasks."""
    kinds: tuple[str, ...] = (*_MANY, *_SPIKING)
    """Names of networks."""
    methods: tuple[str, ...] | None = None
    """Names of methods; ``None``: those that are tried with a task."""
    units: int = 64
    """Of a layer; linear layers and stacks have half of it, spiking ones twice as many."""
    networks: int = 6
    """In the result, for each method."""
    share: float = 1.0
    """Of the epochs of each task."""
    shd: str | None = None
    """Folder with the files of SHD; without it, that task is left out."""
    ssc: str | None = None
    """Folder with the files of SSC; without it, that task is left out."""
    seed: int = 1

    @classmethod
    def quick(cls) -> Self:
        """Two tasks, small tanh networks, three methods, a few minutes."""
        return cls(
            tasks=("frequency", "match"), kinds=("tanh",), units=24, networks=3, share=0.1,
            methods=("clipping", "orthogonal", "flossed, all"),
        )  # fmt: skip

    def places(self) -> dict[Place, dict[str, Method]]:
        """Methods by task and network."""
        places = {}
        for kind in self.kinds:
            for task, entry in self._entries().items():
                if kind not in entry.networks:
                    continue
                known = remedies(_network(kind, self.units), entry.task.horizon)
                if kind == "tanh" and entry.every:
                    known |= {n: known[m] for n, m in _LONGER.items()}
                    usual = tuple(known)
                else:
                    usual = MAIN if kind == "tanh" else OF_SPIKES if kind in _SPIKING else RIVALS
                names = usual if self.methods is None else self.methods
                places[Place(task, kind)] = {n: m for n, m in known.items() if n in names}
        return places

    def _entries(self) -> dict[str, Entry]:
        entries = {name: TASKS[name] for name in self.tasks}
        for name, folder in (("shd", self.shd), ("ssc", self.ssc)):
            if folder is not None:
                task = Heidelberg(folder, dataset=name)
                entries[name] = Entry(task, networks=_SPIKING)
        return entries

    def cases(self) -> dict[Untrained | Trained, Work]:
        """Each method on each task and network, and what is measured before."""
        entries, cases = self._entries(), {}
        for place, methods in self.places().items():
            entry = entries[place.task]
            at = place.task, place.network
            cell = _network(place.network, self.units)
            cases[Untrained(*at)] = functools.partial(
                untrained, entry.task, cell, self.networks, self.seed
            )
            for name, method in methods.items():
                times = TIMES if name in _LONGER else 1
                setup = Setup(
                    task=entry.task,
                    method=method,
                    epochs=max(1, round(times * self.share * entry.epochs)),
                    networks=self.networks,
                    seed=self.seed,
                )
                cases[Trained(*at, name)] = functools.partial(learn, setup)
        return cases

    def duels(self, data: Data, measure: str = "equal epochs") -> dict[Place, Duel]:
        """How flossing fares at each place; at equal time, where other remedies were trained longer."""
        duels = {}
        for place, methods in self.places().items():
            if measure == "equal time" and not _LONGER.keys() & methods.keys():
                continue
            flossing = [name for name, method in methods.items() if method.flosses]
            duels[place] = duel(self.of(data, place), flossing, measure)
        return duels

    def of(self, data: Data, place: Place) -> dict[str, xr.Dataset]:
        """The numbers of each method at a place."""
        chosen = data.where(Trained, task=place.task, network=place.network)
        return {case.method: part for case, part in chosen.items()}

    def table(self, data: Data) -> list[dict[str, Any]]:
        """A row for each method at each place: skill with its interval, and what ``LEVEL`` takes to reach."""
        rows = []
        for place in self.places():
            for name, part in self.of(data, place).items():
                skill, (epochs, time) = mean(part["test_skill"].values), to_level(part)
                row = {"task": place.task, "network": place.network, "method": name}
                row |= {"skill": skill.value, "low": skill.low, "high": skill.high}
                row |= {"updates to 90 %": epochs, "seconds to 90 %": time}
                rows.append(row | {"learning rate": float(part["learning_rate"])})
        return rows

    def rule(self, data: Data) -> Rule:
        """What foretells the use of flossing with tanh networks, or with the others if there are none."""
        tanh, others = self._split(data)
        return best_rule(self.quantities(data), tanh or others)

    def elsewhere(self, data: Data, rule: Rule) -> Estimate | None:
        """Rank correlation of the rule's quantity with the gain of other networks, which it never saw.

        ``None`` where there are none.
        """
        tanh, others = self._split(data)
        if not tanh or not others:
            return None
        return correlation(rule.quantity, self.quantities(data), others)

    def quantities(self, data: Data) -> dict[Place, xr.Dataset]:
        """What was measured of the networks at each place before anything happened to them."""
        return {p: data[Untrained(p.task, p.network)] for p in self.places()}

    def _split(self, data: Data) -> tuple[dict[Place, Duel], dict[Place, Duel]]:
        """Duels of tanh networks, and of others."""
        duels = self.duels(data)
        tanh = {p: d for p, d in duels.items() if p.network == "tanh"}
        return tanh, {p: d for p, d in duels.items() if p not in tanh}

    def claims(self, data: Data, published: Published) -> Iterator[Claim]:
        """Tasks of three kinds are won, few lost, and a measured quantity foretells it."""
        kinds = {name: type(entry.task).__name__ for name, entry in self._entries().items()}
        for measure in MEASURES:
            duels = self.duels(data, measure)
            if not duels:
                continue
            known = all(d.gain.value == d.gain.value for d in duels.values())
            won = sorted({kinds[p.task] for p, d in duels.items() if d.verdict == "wins"})
            lost = [p for p, d in duels.items() if d.verdict == "loses"]
            names = ", ".join(won) or "none"
            text = f"{measure}: kinds of tasks on which flossing beats every other remedy ({names})"
            at_least = min(3 if measure == "equal epochs" else 2, len(duels))
            yield Claim.at_least(text, len(won) if known else float("nan"), at_least)
            share = len(lost) / len(duels) if known else float("nan")
            names = ", ".join(f"{p.task}: {p.network}" for p in lost) or "none"
            yield Claim.at_most(
                f"{measure}: share of places where flossing loses ({names})", share, 0.25
            )
        rule = self.rule(data)
        words = QUANTITIES[rule.quantity]
        yield Claim.at_least(
            f"size of the rank correlation of the gain over clipping with the {words}, tanh networks that "
            "it was not chosen with",
            abs(rule.correlation.value),
            0.5,
        )
        yield Claim.at_least(
            "tanh: share of networks and places in which a limit of it is right, beyond always saying the "
            "same",
            rule.right - rule.usual,
            0.1,
        )
        if (other := self.elsewhere(data, rule)) is not None:
            sign = 1 if rule.on_tuning > 0 else -1
            yield Claim.at_least(
                "the same rank correlation, sign included, for other kinds of networks",
                sign * other.value,
                0.5,
            )

    def figure(self, data: Data, published: Published) -> Figure:
        """Skill of every method, learning curves where flossing wins, and what foretells it."""
        return sequence_figure.figure(
            {place: self.of(data, place) for place in self.places()},
            self.quantities(data),
            self.duels(data),
            self.rule(data),
        )
