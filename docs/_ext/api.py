"""The directive ``api``: names of a module as a table of summaries, and their documentation below it.

A page lists names, one a line, which reads well without Sphinx too::

    ```{api} flossing.tasks
    Copy
    DelayedXOR
    ```
"""

import importlib
import inspect
import re
import sys
from typing import Any, ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from flossing._choices import Choice


class Api(SphinxDirective):
    """Writes ``autosummary`` and one ``auto...`` directive for each name, by what it is."""

    has_content = True
    required_arguments = 1
    option_spec: ClassVar = {}

    def run(self) -> list[nodes.Node]:
        """The nodes of the table and of the entries."""
        module = self.arguments[0]
        room = importlib.import_module(module)
        things = {name: getattr(room, name) for line in self.content for name in line.split()}
        described = [name for name, thing in things.items() if callable(thing)]
        lines = ["```{eval-rst}", ".. autosummary::", "   :nosignatures:", ""]
        lines += [f"   ~{module}.{name}" for name in described]
        for name in described:
            kind = _kind(things[name])
            lines += ["", f".. auto{kind}:: {module}.{name}"]
            if kind == "class":
                lines += [
                    "   :members:",
                    "   :member-order: bysource",
                    *_described_fields(things[name]),
                ]
        for name in (name for name in things if name not in described):
            lines += ["", f".. py:data:: {module}.{name}", "", f"   {_words(module, name)}"]
        return self.parse_text_to_nodes("\n".join([*lines, "```"]))


def _described_fields(thing: type) -> list[str]:
    """Leaves out the fields of settings, which are described below ``Args:``, those of their bases too."""
    fields = getattr(thing, "__dataclass_fields__", {})
    described = issubclass(thing, Choice) and fields and "Args:" in (thing.__doc__ or "")
    return [f"   :exclude-members: {', '.join(fields)}"] if described else []


def _kind(thing: Any) -> str:
    if inspect.isclass(thing):
        return "exception" if issubclass(thing, BaseException) else "class"
    return "function"


def _words(module: str, name: str) -> str:
    """The docstring under a constant, from the file of the room that defines it."""
    for file in sys.modules:
        if file.startswith(f"{module}."):
            docs = ModuleAnalyzer.for_module(file).find_attr_docs()
            if ("", name) in docs:
                return " ".join(docs["", name]).strip()
    raise ExtensionError(f"{module}.{name}: has no docstring")


def _keep_colons(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list) -> None:
    # Napoleon takes what stands before the first colon of an attribute's docstring for its type.
    if what in ("attribute", "data", "property") and lines:
        lines[0] = f": {lines[0]}"


def _shorten_defaults(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, signature: str, result: str
) -> tuple[str, str] | None:
    # Of a dataclass, Sphinx shows the objects; those in angle brackets are no Python that it can set.
    return (re.sub(r"=\s*<[^>]*>", "=...", signature), result) if signature else None


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("autodoc-process-signature", _shorten_defaults)
    app.connect("autodoc-process-docstring", _keep_colons, priority=400)
    app.add_directive("api", Api)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
