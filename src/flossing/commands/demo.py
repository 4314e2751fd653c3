"""``floss demo``: the same networks with and without flossing, side by side."""

import dataclasses
import threading
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console

from .._compiled import compile_quickly
from ..cells import TanhSpec
from ..floss import Adaptive
from ..runs import directory as files
from ..runs.config import RunConfig
from ..runs.console import (
    ConsoleReporter,
    graceful_interrupt,
    progress_display,
    results_table,
    say,
    say_how_to_go_on,
)
from ..runs.result import RunResult
from ..runs.train import run
from ..tasks import DelayedXOR


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Train tanh networks on delayed XOR, flossed and not flossed, from the same starts.

    Both see the same data. The flossed ones first have their Lyapunov exponents pushed to zero.
    """

    realisations: int = 3
    """Networks of each kind."""
    delay: int = 40
    """Steps back to the older of the two bits; even."""
    epochs: int = 500
    """Training epochs."""
    hidden_size: int = 80
    """Units per network."""
    flossing_steps: int = 200
    """Flossing steps before training; during training there are as many as it takes (adaptive)."""
    seed: int = 1
    """Of weights and data."""
    directory: str | None = None
    """Where it is written; must not exist. Default: runs/ and a name made of the time."""


def configs(options: Arguments) -> dict[str, RunConfig]:
    """The two runs, by label."""
    flossed = RunConfig(
        task=DelayedXOR(options.delay),
        cell=TanhSpec(options.hidden_size),
        schedule=Adaptive(steps_before=options.flossing_steps),
        epochs=options.epochs,
        realisations=options.realisations,
        seed=options.seed,
        measure_every=None,
    )
    return {"flossed": flossed, "not flossed": dataclasses.replace(flossed, schedule=None)}


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    options = tyro.cli(Arguments, args=list(arguments), prog="floss demo")
    compile_quickly()
    runs = configs(options)
    path = files.new_directory(options.directory or files.default_directory("demo"))
    console = Console()
    console.print(
        f"{options.realisations} tanh networks (N = {options.hidden_size}) learn "
        f"y(t) = s(t - {options.delay // 2}) XOR s(t - {options.delay}) of a random bit stream s, "
        "twice from the same start: once with their Lyapunov exponents pushed to zero (gradient "
        "flossing), once without."
    )
    results = _side_by_side(console, path, runs)
    if len(results) < len(runs):
        return 2
    data = {label: result.data for label, result in results.items()}
    console.print(results_table(data, f"delayed XOR, d = {options.delay}"))
    title = f"delayed XOR over {options.delay} steps, {options.realisations} networks of each kind"
    if all("loss" in d for d in data.values()):
        from ..runs.plots import run_figure, save  # Matplotlib, which no help waits for

        png = save(run_figure(data, title), path / files.FIGURES, "demo")[0]
        console.print(
            "Without flossing, the exponents are far below zero: the error signal shrinks by a factor "
            "of exp(lambda_1) at every step back in time and does not reach the bits it is about. "
            "With flossing, exponents are near zero, errors arrive, and the networks learn."
        )
        say(console, f"figure:  {png}")
    say(console, f"runs:    {path}")
    for result in results.values():
        if not result.finished:
            say_how_to_go_on(console, result)
    return 0 if all(result.finished for result in results.values()) else 1


def _side_by_side(console: Console, path: Path, runs: dict[str, RunConfig]) -> dict[str, RunResult]:
    """Both runs at once, one thread (and so one core) each."""
    results: dict[str, RunResult] = {}
    errors: dict[str, BaseException] = {}
    with graceful_interrupt(console) as stop, progress_display(console) as progress:

        def work(label: str, config: RunConfig, reporter: ConsoleReporter) -> None:
            try:
                results[label] = run(config, reporter=reporter, stop=stop)
            except BaseException as error:
                errors[label] = error
                stop.set()

        threads = []
        for label, config in runs.items():
            config = dataclasses.replace(config, directory=str(path / label.replace(" ", "-")))
            arguments = label, config, ConsoleReporter(progress, label)
            threads.append(threading.Thread(target=work, args=arguments, daemon=True))
            threads[-1].start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    for error in errors.values():
        raise error
    return {label: results[label] for label in runs if label in results}
