"""Marks cells of tables that hold sentences or calls, which else become a word a line on a phone."""

from docutils import nodes
from sphinx.application import Sphinx


def _mark_long_cells(app: Sphinx, page: nodes.document, name: str) -> None:
    for cell in page.findall(nodes.entry):
        limit = 24 if next(cell.findall(nodes.literal), None) else 40
        if len(cell.astext()) > limit:
            cell["classes"].append("long")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("doctree-resolved", _mark_long_cells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
