"""What came out of a run, one line per network."""

from typing import Literal, NamedTuple

import numpy as np
import xarray as xr

from .record import epochs_to

Grade = Literal["learned", "in part", "not", "unknown"]
LEARNED = 0.95
"""Right answers, as a fraction, of networks that have learned; or how much of the error at chance is gone."""
LITTLE = 0.1
"""How much of the way from chance to perfection is nothing yet."""


class NetworkSummary(NamedTuple):
    """One network of a run; ``None`` where it was not measured."""

    network: int
    """Number, counted from 1."""
    test: float | None
    """The first metric of the task, or the loss, on held-out trials."""
    epochs_to_95: int | None
    """First epoch with a mean of 95 % or more over 10 epochs, for a fraction of right answers; ``None``: not
    reached, or no such fraction."""
    gradient_first: float | None
    """Mean norm of dL/dh_0 over the first 10 epochs."""
    gradient_last: float | None
    """The same over the last 10 epochs."""
    leading_start: float | None
    """Largest Lyapunov exponent at the start, in nats per step."""
    leading_before: float | None
    """After flossing, before training."""
    leading_end: float | None
    """After training."""
    skipped: int
    """Updates left out because the gradient was not finite."""


class Headline(NamedTuple):
    """The number that says most about a run: the first metric of its task, or the loss."""

    name: str
    unit: str
    higher_is_better: bool
    chance: float | None

    def show(self, value: float) -> str:
        """A value with its unit."""
        if self.is_fraction:
            return f"{100 * value:.1f} %"
        return f"{value:.3g}" if self.unit == "1" else f"{value:.3g} {self.unit}"

    @property
    def factor(self) -> int:
        """What values are multiplied by in charts: 100 for fractions, which are shown in percent."""
        return 100 if self.is_fraction else 1

    @property
    def label(self) -> str:
        """Name and unit, for an axis."""
        unit = "%" if self.is_fraction else self.unit
        return self.name if unit == "1" else f"{self.name} ({unit})"

    @property
    def is_fraction(self) -> bool:
        """Whether it is a fraction of right answers, which is shown in percent."""
        return self.unit == "1" and self.higher_is_better


def headline(data: xr.Dataset) -> Headline:
    """The headline of a run's dataset."""
    names = str(data.attrs.get("metrics", "")).split()
    if not names or names[0] not in data:
        return Headline("loss", "nats", False, None)
    kept = data[names[0]].attrs
    higher = bool(kept.get("higher_is_better", True))
    return Headline(names[0], kept.get("units", "1"), higher, kept.get("chance"))


def grade(value: float, main: Headline) -> Grade:
    """Whether a network with this value of the headline metric has learned its task."""
    if main.is_fraction and value >= LEARNED:
        return "learned"
    if main.chance is None or not (main.is_fraction or (main.chance and not main.higher_is_better)):
        return "unknown"
    perfect = 1.0 if main.is_fraction else 0.0
    share = (value - main.chance) / (perfect - main.chance)
    if not share >= LITTLE:  # nor where it is NaN
        return "not"
    return "in part" if main.is_fraction or share < LEARNED else "learned"


def summarise(data: xr.Dataset) -> list[NetworkSummary]:
    """One summary per network of a run's dataset, finished or not."""
    count = data.sizes.get("realisation", 0)
    trained = "loss" in data
    main = headline(data)
    reached: list[int | None] = [None] * count
    if trained and main.is_fraction:
        reached = epochs_to(data[main.name].values)
    moments = [leading(data, label) for label in ("start", "before training", "end")]
    test = data.get(f"test_{main.name}")
    summaries = []
    for r in range(count):
        norms = data["gradient_norm"].values[:, r] if trained else None
        skipped = int(data["skipped"].values[:, r].sum()) if trained else 0
        if "flossing_skipped" in data:
            skipped += int(data["flossing_skipped"].values[:, r].sum())
        summaries.append(
            NetworkSummary(
                r + 1,
                None if test is None else float(test[r]),
                reached[r],
                None if norms is None else float(norms[:10].mean()),
                None if norms is None else float(norms[-10:].mean()),
                *(None if values is None else float(values[r]) for values in moments),
                skipped,
            )
        )
    return summaries


class ResultTable(NamedTuple):
    """What is shown of runs, one row per network; columns in which nothing was measured are left out."""

    header: list[tuple[str, str]]
    """Two lines each; where the upper one is empty, that of the column before goes on."""
    rows: list[list[str]]
    note: str | None
    """What has to be known to read it."""


def result_table(runs: dict[str, xr.Dataset]) -> ResultTable:
    """The table of runs by their labels, in the terminal and in Python."""
    main = headline(next(iter(runs.values()), xr.Dataset()))
    header = [("", "network"), ("held-out", main.name)]
    header += [("epochs", "to 95 %")] if main.is_fraction else []
    header += [("lambda_1", "start"), ("", "flossed"), ("", "end")]
    header += [("|dL/dh_0|", "first"), ("", "last"), ("updates", "skipped")]
    labelled = [(label, each) for label, data in runs.items() for each in summarise(data)]
    rows = [_row(label, each, main) for label, each in labelled]
    kept = [i for i in range(len(header)) if i < 2 or {row[i] for row in rows} - {"-"}]
    return ResultTable(
        [header[i] for i in kept],
        [[row[i] for i in kept] for row in rows],
        _note([each for _, each in labelled], main),
    )


SMALL_GRADIENT = "|dL/dh_0| is small at the end because the loss is."
SKIPPED = "Updates are skipped where gradients are not finite (nan), mostly because they explode."


def _note(summaries: list[NetworkSummary], main: Headline) -> str | None:
    notes = {
        SMALL_GRADIENT: any(_is_small_as_it_learned(each, main) for each in summaries),
        SKIPPED: any(each.skipped for each in summaries),
    }
    return " ".join(note for note, needed in notes.items() if needed) or None


def _row(label: str, summary: NetworkSummary, main: Headline) -> list[str]:
    exponents = (summary.leading_start, summary.leading_before, summary.leading_end)
    norms = (summary.gradient_first, summary.gradient_last)
    return [
        f"{label} {summary.network}".strip(),
        "-" if summary.test is None else main.show(summary.test),
        *([_or_dash(summary.epochs_to_95, "d")] if main.is_fraction else []),
        *(_or_dash(exponent, "+.3f") for exponent in exponents),
        *(_or_dash(norm, ".1e") for norm in norms),
        _or_dash(summary.skipped or None, "d"),
    ]


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _is_small_as_it_learned(summary: NetworkSummary, main: Headline) -> bool:
    if summary.test is None or summary.gradient_first is None or summary.gradient_last is None:
        return False
    return (
        grade(summary.test, main) == "learned"
        and summary.gradient_last < summary.gradient_first / 10
    )


def first_that_did_not_learn(data: xr.Dataset) -> int | None:
    """Number of the first network that is no better than chance on held-out trials; ``None`` without one."""
    main = headline(data)
    test = data.get(f"test_{main.name}")
    values = [] if test is None else test.values.tolist()
    return next((i for i, x in enumerate(values, 1) if grade(x, main) == "not"), None)


def leading(data: xr.Dataset, label: str) -> np.ndarray | None:
    """Largest exponent of each network at the measurement of that label; shape (realisations,)."""
    labels = data["measurement_label"].values.tolist() if "exponents" in data else []
    if label not in labels:
        return None
    return data["exponents"].values[labels.index(label), :, 0]
