"""The HTML page: one file with its data, its style, its scripts and the plotting library."""

import base64
import gzip
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._readable import library
from ..plots import COLOURS
from ..runs.directory import FIGURES
from .diagnosis import Diagnosis
from .words import size

_FOLDER = Path(__file__).parent / "templates"


@dataclass
class Page:
    """What a page says."""

    kind: str
    """``run`` or ``sweep``: the template and the script."""
    title: str
    subtitle: str
    notices: list[str]
    """What is missing or unfinished, one sentence each."""
    summary: list[str]
    """The main results, one sentence each."""
    header: list[str]
    """Of the table of results."""
    rows: list[list[str]]
    csv: str
    """The same results as CSV, for a download from within the page."""
    data: dict[str, Any]
    """What the charts show; plain lists and numbers."""
    config: str
    environment: list[tuple[str, str]]
    folder: Path
    """Where the page is written; its files are offered as downloads."""
    files: list[Path] = field(default_factory=list)
    """Paths of files in ``folder``; those that do not exist are left out."""
    footnotes: list[str] = field(default_factory=list)
    diagnosis: Diagnosis | None = None
    """Of a run: did it learn, and why."""


def check_libraries() -> None:
    """Raises ``ModuleNotFoundError`` that says what to install if the page cannot be made."""
    for name in ("jinja2", "plotly"):
        library(name, "a report", "jinja2 plotly")


def render(page: Page) -> str:
    """The whole page as text; every value is escaped.

    Plotly's script is embedded compressed (2 MB in place of 5) and unpacked by the browser.
    """
    import jinja2
    from plotly.offline import get_plotlyjs

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    library = gzip.compress(get_plotlyjs().encode(), 9, mtime=0)
    return environment.get_template(f"{page.kind}.html").render(
        page=page,
        style=_text("page.css"),
        script="\n".join(_text(name) for name in ("charts.js", f"{page.kind}.js")),
        plotly=base64.b64encode(library).decode(),
        data=_for_script(page.data | {"colours": COLOURS}),
        csv_link="data:text/csv;charset=utf-8," + quote(page.csv),
        csv_size=size(len(page.csv.encode())),
        downloads=_downloads(page),
    )


def _text(name: str) -> str:
    return (_FOLDER / name).read_text(encoding="utf-8")


def _for_script(data: Any) -> str:
    """JSON that cannot end the script element that holds it."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _downloads(page: Page) -> list[tuple[str, str, str]]:
    """Link, name and size of each file."""
    downloads = []
    for path in page.files:
        if path.is_file():
            name = path.relative_to(page.folder).as_posix()
            downloads.append((quote(name), name, size(path.stat().st_size)))
    return downloads


def figure_files(folder: Path) -> list[Path]:
    """The figures beside a page, PDF and PNG."""
    return sorted(p for p in (folder / FIGURES).glob("*") if p.suffix in (".pdf", ".png"))
