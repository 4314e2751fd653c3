"""``floss spectrum``: exponents with their errors and what follows from them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from .._checks import check_integer, check_seed
from ..cells import CellSpec
from ..lyapunov import LyapunovSpectrum, condition_number, lyapunov_spectrum
from ..lyapunov._propagate import RenormaliseEvery
from ..plots import style
from ..runs import directory as files, parts
from ..runs.config import RunConfig, to_mapping
from ..runs.console import say
from ..runs.plots import save
from ..runs.train import load
from ..training import Network
from ._parts import parse as parse_parts


@dataclasses.dataclass(frozen=True)
class Arguments:
    """The Lyapunov spectrum of a network driven by its task's input.

    Of a fresh network with --cell and --task, or of a trained one with --run.
    """

    settings: RunConfig
    run: str | None = None
    """Run whose trained networks are measured, on its task."""
    realisation: int = 1
    """Which network of the run, counted from 1."""
    num_exponents: int | None = None
    """Leading exponents to compute; all by default."""
    steps: int = 2000
    """Counted steps."""
    state_warmup: int = 100
    """Steps before, in which only the state moves."""
    warmup: int = 100
    """Steps after those, in which the basis turns."""
    renormalise_every: RenormaliseEvery = "auto"
    """Steps between orthonormalisations."""
    horizon: int = 50
    """Steps of the Jacobian whose condition is taken."""
    seed: int = 1
    """Of weights, input and basis."""
    directory: str | None = None
    """Where JSON and figure go; a new folder by default."""


def parse(arguments: Sequence[str]) -> Arguments:
    """Arguments from the command line; raises ``ValueError`` for unknown parts or options."""
    return parse_parts(Arguments, arguments, "floss spectrum", names=("task", "cell"))


def _network(options: Arguments) -> tuple[Network, RunConfig]:
    check_integer("realisation", options.realisation, 1)
    if options.run is None:
        if options.realisation != 1:
            raise ValueError(
                "realisation: a fresh network is only one; give a run's directory as run."
            )
        config = dataclasses.replace(options.settings, seed=options.seed)
        networks = config.networks()
    else:
        result = load(options.run)
        config, networks = result.config, result.networks
        for part in ("task", "cell"):
            if getattr(options.settings, part) != getattr(RunConfig(), part):
                raise ValueError(f"{part}: that of the run is taken; leave it out.")
        check_integer("realisation", options.realisation, 1, config.realisations)
    arrays = jax.tree.map(
        lambda x: x[options.realisation - 1] if isinstance(x, jax.Array) else x, networks
    )
    return arrays, config


def measure(options: Arguments) -> tuple[LyapunovSpectrum, dict[str, Any]]:
    """The spectrum, and everything the command reports as plain numbers."""
    for name in ("num_exponents", "steps", "horizon"):
        if getattr(options, name) is not None:
            check_integer(name, getattr(options, name), 1)
    check_seed("seed", options.seed)
    network, config = _network(options)
    input_key, basis_key, value_key = jax.random.split(jax.random.key(options.seed), 3)
    steps = options.state_warmup + options.warmup + options.steps
    inputs = config.task.sample_inputs(input_key, max(steps, options.horizon))
    spectrum = lyapunov_spectrum(
        config.step(network),
        config.state(network),
        inputs[:steps],
        num_exponents=options.num_exponents,
        state_warmup=options.state_warmup,
        warmup=options.warmup,
        renormalise_every=options.renormalise_every,
        key=basis_key,
    )
    log_condition = condition_number(
        config.step(network),
        config.state(network),
        inputs[: options.horizon],
        num_directions=options.num_exponents,
        log=True,
        key=value_key,
    )
    report = {
        "unit": spectrum.unit,
        "exponents": _plain(spectrum.exponents),
        "standard_errors": _plain(spectrum.standard_errors),
        "lost_directions": int(spectrum.lost.sum()),
        "state_dimension": spectrum.state_dimension,
        "counted_steps": spectrum.num_steps,
        "kaplan_yorke_dimension": _or_reason(lambda: spectrum.kaplan_yorke_dimension),
        "entropy_rate": _or_reason(lambda: spectrum.entropy_rate),
        "condition_number": {
            "horizon": options.horizon,
            "directions": options.num_exponents or spectrum.state_dimension,
            "log10": _plain(log_condition / np.log(10)),
        },
        "options": _plain_options(options, config),
        "environment": files.environment(),
    }
    return spectrum, report


def _plain_options(options: Arguments, config: RunConfig) -> dict[str, Any]:
    """What was measured, with which settings."""
    given = {name: value for name, value in vars(options).items() if name != "settings"}
    settings = to_mapping(config)
    return given | {part: settings[part] for part in ("task", "cell")}


def _plain(values: Any) -> Any:
    """Numbers for JSON, which has no infinity: a lost direction is the string "-inf"."""
    array = np.asarray(values, dtype=float)
    listed = [x if np.isfinite(x) else str(x) for x in array.ravel().tolist()]
    return listed if array.ndim else listed[0]


def _or_reason(value: Any) -> Any:
    try:
        return _plain(value())
    except ValueError as error:
        return f"undetermined: {error}"


def figure(spectrum: LyapunovSpectrum, title: str) -> Figure:
    """The spectrum with its standard errors."""
    with style():
        fig = Figure(figsize=(4.5, 3.3), layout="constrained")
        spectrum.plot(fig.subplots()).set_title(title)
    return fig


def main(arguments: Sequence[str]) -> int:
    """Runs the command; returns the exit status."""
    options = parse(arguments)
    path = files.free_directory(options.directory or files.default_directory("spectrum"))
    console = Console()
    with console.status("measuring"):
        spectrum, report = measure(options)
    table = Table(title=f"Lyapunov exponents ({spectrum.unit})", title_justify="left")
    for name in ("i", "exponent", "standard error"):
        table.add_column(name, justify="right")
    shown = range(spectrum.exponents.size)
    for i in shown if len(shown) <= 20 else [*shown[:15], None, *shown[-4:]]:
        if i is None:
            table.add_row("...", "...", "...")
        else:
            error = float(spectrum.standard_errors[i])
            table.add_row(str(i + 1), f"{float(spectrum.exponents[i]):+.5f}", f"{error:.5f}")
    console.print(table)
    condition = report["condition_number"]
    for name, value in [
        ("Kaplan-Yorke dimension", report["kaplan_yorke_dimension"]),
        (f"entropy rate ({spectrum.unit})", report["entropy_rate"]),
        (
            f"log10 condition number ({condition['directions']} directions, "
            f"{condition['horizon']} steps)",
            condition["log10"],
        ),
    ]:
        text = f"{value:.5g}" if isinstance(value, float) else value
        say(console, f"{name}: {text}")
    path = files.new_directory(path)
    files.write_json(path / "spectrum.json", report)
    paths = save(figure(spectrum, _title(options)), path, "spectrum")
    say(console, f"written: {path / 'spectrum.json'}, {paths[0].name}, {paths[1].name}")
    return 0


def _title(options: Arguments) -> str:
    if options.run is not None:
        name = Path(options.run).resolve().name.replace("$", r"\$")  # which begins a formula
        return f"{name}, network {options.realisation}"
    cell = options.settings.cell
    assert isinstance(cell, CellSpec)
    return f"fresh {parts.label('cell', type(cell))} network, N = {cell.hidden_size}"
