"""Writing a report beside the data it is about."""

from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure

from ..runs import directory as files
from ..runs.plots import gradient, leading, loss, metric, run_figure, save, spectra
from ..runs.summary import headline
from ..runs.train import read_config, read_metrics
from ..sweeps.data import SWEEP, read_sweep
from ..sweeps.plots import sweep_figures
from .page import Page, check_libraries, figure_files, render
from .run import run_page
from .sweep import sweep_page

PAGE = "report.html"


def write_report(directory: str | Path, figures: bool = True) -> Path:
    """Writes ``report.html`` and ``figures/report-*`` (PNG, PDF) into the directory of a run or a sweep.

    The run may be unfinished: the page says what is missing. A report that is there already is
    replaced; no other file is touched.

    Args:
        directory: of a run (it has ``config.yaml``) or a sweep (``sweep.nc``).
        figures: whether figures are drawn; without, the page offers those that are there.

    Returns:
        Path of the page.

    Raises:
        ValueError: neither a run nor a sweep, or its files are damaged.
        ModuleNotFoundError: plotly or jinja2 is not installed. OSError: the report cannot be written.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise ValueError(f"directory: expected the directory of a run or a sweep, got {folder}.")
    check_libraries()
    page = _sweep(folder, figures) if (folder / SWEEP).is_file() else _run(folder, figures)
    files.write_text(folder / PAGE, render(page))
    return folder / PAGE


def _run(folder: Path, figures: bool) -> Page:
    if not (folder / files.CONFIG).is_file():
        raise ValueError(
            f"directory: {folder} has neither {files.CONFIG} (a run) nor {SWEEP} (a sweep)."
        )
    config = read_config(folder)
    written = (folder / files.METRICS).is_file()
    data = read_metrics(folder) if written else xr.Dataset()
    if figures:
        for name, figure in run_figures(data, config.describe()).items():
            save(figure, folder / files.FIGURES, name)
    return run_page(folder, config, data)


def run_figures(data: xr.Dataset, title: str) -> dict[str, Figure]:
    """The figures that the data of a run allow, by file name without its ending.

    Args:
        data: metrics of a run; may lack any variable.
        title: of each figure.
    """
    figures, runs = {}, {"": data}
    if "loss" in data:
        panels = [loss, gradient] if headline(data).name == "loss" else [metric, loss, gradient]
        figures["report-training"] = run_figure(runs, title, panels)
    if "exponents" in data:
        figures["report-spectrum"] = run_figure(runs, title, [spectra, leading])
    return figures


def _sweep(folder: Path, figures: bool) -> Page:
    data = read_sweep(folder)
    if figures:
        for name, figure in sweep_figures(data).items():
            save(figure, folder / files.FIGURES, name)
    return sweep_page(folder, data)


def report_figures(directory: str | Path) -> list[Path]:
    """The report's own figures in a directory."""
    return [path for path in figure_files(Path(directory)) if path.name.startswith("report-")]
