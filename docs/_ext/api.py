"""The directive ``api``: names of a module as a table of summaries, and their documentation below it.

A page lists names, one a line, which reads well without Sphinx too::

    ```{api} flossing.tasks
    Copy
    DelayedXOR
    ```
"""

import importlib
import inspect
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Api(SphinxDirective):
    """Writes ``autosummary`` and one ``auto...`` directive for each name, by what it is."""

    has_content = True
    required_arguments = 1
    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """The nodes of the table and of the entries."""
        module = self.arguments[0]
        names = [name for line in self.content for name in line.split()]
        room = importlib.import_module(module)
        kinds = [_kind(getattr(room, name)) for name in names]
        lines = ["```{eval-rst}", ".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   ~{module}.{name}" for name in names]
        for name, kind in zip(names, kinds, strict=True):
            lines += ["", f".. auto{kind}:: {module}.{name}"]
            if kind == "class":
                lines += ["   :members:", "   :member-order: bysource"]
        return self.parse_text_to_nodes("\n".join([*lines, "```"]))


def _kind(thing: Any) -> str:
    if inspect.isclass(thing):
        return "exception" if issubclass(thing, BaseException) else "class"
    return "function" if callable(thing) else "data"


def _keep_colons(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list) -> None:
    # Napoleon takes what stands before the first colon of an attribute's docstring for its type.
    if what in ("attribute", "data", "property") and lines:
        lines[0] = f": {lines[0]}"


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
    app.add_directive("api", Api)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
