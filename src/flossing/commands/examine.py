"""``floss examine``: how gradients travel in a network, what is wrong with it, and what to do about it."""

import contextlib
import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import jax
from rich.console import Console

from .._checks import check_integer, check_seed
from ..cells import CellSpec, GRUSpec, LSTMSpec
from ..examine import Report, examine
from ..lyapunov._steps import dimension
from ..runs import directory as files
from ..runs.config import RunConfig
from ..runs.console import say
from ..runs.examining import (
    STEPS,
    Driven,
    drive,
    driven,
    entry,
    horizon_of,
    signal_of,
    write_examination,
)
from ..runs.summary import grade, headline, summarise
from ..runs.train import read_config, read_metrics
from ._findings import show
from ._parts import parse as parse_parts

LEARNED = "It has learned, and nothing needs to be done. Flossing it can undo what it learned."
USUAL = inspect.signature(examine).parameters["num_exponents"].default


@dataclasses.dataclass(frozen=True)
class Arguments:
    """How gradients travel in a network, what is wrong with it, and what to do about it.

    Of a fresh network with --cell and --task, as it is made, or of a trained one with --run.
    """

    settings: RunConfig
    run: str | None = None
    """Run whose trained networks are examined, on its task."""
    realisation: int = 1
    """Which network of the run, counted from 1."""
    horizon: int | None = None
    """Steps that an error has to travel; that of the task by default, or else the length of its trials."""
    num_exponents: int | Literal["all"] | None = None
    """Leading exponents and directions to measure, or all; 16 by default."""
    steps: int | None = None
    """Steps of the inputs; 400 by default, or the horizon if that is longer."""
    seed: int = 1
    """Of weights, input and basis."""
    directory: str | None = None
    """Where JSON and figure go; a new folder by default."""


def parse(arguments: Sequence[str]) -> Arguments:
    """Arguments from the command line; raises ``ValueError`` for unknown parts or options."""
    return parse_parts(Arguments, arguments, "floss examine", names=("task", "cell"))


def network(options: Arguments) -> tuple[Driven, RunConfig]:
    """The network that the options name with its inputs, and the settings that it comes from.

    Raises:
        ValueError: not the directory of a run, damaged files, or no network of this number.
    """
    check_seed("seed", options.seed)
    check_integer("realisation", options.realisation, 1)
    for name in ("steps", "horizon"):
        if getattr(options, name) is not None:
            check_integer(name, getattr(options, name), 1)
    if options.run is None:
        if options.realisation != 1:
            raise ValueError(
                "realisation: a fresh network is only one; give a run's directory as run."
            )
        config = dataclasses.replace(options.settings, schedule=None, seed=options.seed)
        steps = steps_of(options, config)
        return drive(config, config.networks(), 1, steps=steps, seed=options.seed), config
    config = read_config(options.run)
    for part in ("task", "cell"):
        if getattr(options.settings, part) != getattr(RunConfig(), part):
            raise ValueError(f"{part}: that of the run is taken; leave it out.")
    check_integer("realisation", options.realisation, 1, config.realisations)
    steps = steps_of(options, config)
    return driven(options.run, options.realisation, steps=steps, seed=options.seed), config


def steps_of(options: Arguments, config: RunConfig) -> int:
    """Steps of the inputs."""
    usual = max(STEPS, options.horizon or horizon_of(config.task))
    return usual if options.steps is None else options.steps


def examined(options: Arguments, system: Driven, config: RunConfig) -> Report:
    """The report on a network.

    Raises:
        ValueError: options that do not fit, or a state that is or becomes NaN.
    """
    size, count = dimension(system.state), options.num_exponents
    if isinstance(count, int):
        check_integer("num_exponents", count, 1)
        if count > size:
            raise ValueError(
                f"num_exponents: got {count}, but the state has only {size} dimensions."
            )
    count = size if count == "all" else count or USUAL
    horizon = options.horizon or horizon_of(config.task)
    step, state, inputs, key = system
    signal = None
    if options.run is None and isinstance(config.cell, CellSpec):
        # Of a fresh network: a trained one has used the signal up.
        network = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, config.networks())
        signal = signal_of(network, config.task, key)
    return examine(
        step, state, inputs, horizon=horizon, num_exponents=count, target_signal=signal, key=key
    )


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    options = parse(arguments)
    path = files.free_directory(options.directory or files.default_directory("examine"))
    console = Console()
    with console.status("examining"):
        system, config = network(options)
        report = examined(options, system, config)
    about = _about(options, config)
    show(console, report, about, None if LEARNED in about else _names(options, config))
    path = files.new_directory(path)
    given = {name: value for name, value in vars(options).items() if name != "settings"}
    given |= {"horizon": report.measured.horizon, "num_exponents": len(report.measured.exponents)}
    given |= {"steps": steps_of(options, config)}
    write_examination(path, [{"network": options.realisation} | entry(report)], config, **given)
    pictures = _figure(report, path)
    say(console, f"written: {path / files.EXAMINATION}, {', '.join(p.name for p in pictures)}")
    return 0


def _about(options: Arguments, config: RunConfig) -> list[str]:
    """What was examined, for the reader of the report."""
    made_of = dataclasses.replace(config, schedule=None).describe().removesuffix(", flossing: none")
    if options.run is None:
        gates = ", and opens its gates" if isinstance(config.cell, GRUSpec | LSTMSpec) else ""
        return [
            f"a fresh network, as it is made: {made_of}",
            f"floss train flosses it before training{gates}; floss examine --run DIR shows what became of it",
        ]
    lines = [f"network {options.realisation} of {options.run}: {made_of}"]
    with contextlib.suppress(ValueError):  # without metrics, there is nothing to say of them
        data = read_metrics(options.run)
        main, test = headline(data), summarise(data)[options.realisation - 1].test
        if test is not None:
            lines.append(f"held-out {main.name} {main.show(test)}")
            lines += [LEARNED] if grade(test, main) == "learned" else []
    return lines


def _names(options: Arguments, config: RunConfig) -> str:
    """Code that makes the names which code of findings uses; empty for parts of the user's own."""
    head = "import equinox as eqx, jax, flossing as fl\nfrom flossing.runs import "
    steps = steps_of(options, config)
    more = "" if steps == max(STEPS, horizon_of(config.task)) else f", steps={steps}"
    more += "" if options.seed == 1 else f", seed={options.seed}"
    if options.run is not None:
        more = f", {options.realisation}{more}" if options.realisation != 1 else more
        return f"{head}driven\nstep, state, inputs, key = driven({options.run!r}{more})"
    task, cell = _code(config.task), _code(config.cell)
    if task is None or cell is None:
        return ""
    seed = "" if options.seed == 1 else f", seed={options.seed}"
    return (
        f"{head}RunConfig, driven\n"
        f"config = RunConfig(task=fl.tasks.{task}, cell=fl.{cell}{seed})\n"
        f"step, state, inputs, key = driven(config{more})"
    )


def _code(part: Any) -> str | None:
    """A part of the library as code, with those of its settings that are not the usual ones."""
    if not type(part).__module__.startswith("flossing."):
        return None
    changed = [
        f"{field.name}={getattr(part, field.name)!r}"
        for field in dataclasses.fields(part)
        if field.init and getattr(part, field.name) != field.default
    ]
    return f"{type(part).__name__}({', '.join(changed)})"


def _figure(report: Report, path: Path) -> list[Path]:
    """Draws the report; returns the files."""
    from matplotlib.figure import Figure

    from ..plots import style
    from ..runs.plots import save

    with style():
        figure = Figure(figsize=(10.5, 3.1), layout="constrained")
        report.plot(figure.subplots(1, 3))
    return save(figure, path, "examine")
