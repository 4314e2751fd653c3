"""What docstrings say of the fields of a class: those under the fields, or the entries below ``Args:``."""

import ast
import functools
import inspect
import itertools
import linecache
import re
import sys
import textwrap
from collections.abc import Iterator


def with_fields(kind: type) -> str:
    """The docstring of a class that becomes a dataclass, with ``Args:`` made of those under its fields.

    One that has ``Args:`` already stays as it is.
    """
    text = inspect.cleandoc(vars(kind).get("__doc__") or "")
    docs = field_docs(kind)
    entries = [
        textwrap.fill(
            f"{name}: {' '.join(docs[name].split())}",
            106,
            initial_indent=" " * 4,
            subsequent_indent=" " * 8,
        )
        for name in _arguments(kind)
        if name in docs
    ]
    return "\n".join([text, "", "Args:", *entries]) if entries and "Args:" not in text else text


def _arguments(kind: type) -> list[str]:
    """Names of the fields with which it is called, as the decorator of dataclasses will find them."""
    known: dict[str, bool] = {}
    for base in reversed(kind.__mro__):
        if base is kind or "__dataclass_fields__" in vars(base):
            for name, field, _ in _fields(base):
                known[name] = field.value is None or "init=False" not in ast.unparse(field.value)
    return [name for name, given in known.items() if given]


def field_docs(kind: type) -> dict[str, str]:
    """The docstrings under the fields of a class, or the entries of its ``Args:``, by name."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        text = inspect.cleandoc(vars(base).get("__doc__") or "")
        docs |= dict(_entries(text)) | {name: doc for name, _, doc in _fields(base) if doc}
    return docs


def _fields(kind: type) -> Iterator[tuple[str, ast.AnnAssign, str]]:
    """The annotated names in the body of a class, with the docstring below each; empty without one."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    source = "".join(linecache.getlines(file)) if file else ""
    body = _bodies(source).get(kind.__qualname__, [])
    for field, below in itertools.zip_longest(body, body[1:]):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and "ClassVar" not in ast.unparse(field.annotation)
        ):
            text = below.value if isinstance(below, ast.Expr) else None
            yield field.target.id, field, str(text.value) if isinstance(text, ast.Constant) else ""


@functools.lru_cache(maxsize=64)
def _bodies(source: str) -> dict[str, list[ast.stmt]]:
    """The statements of each class at the top of a file, by its name."""
    try:
        tree = ast.parse(source)
    except SyntaxError:  # no Python file, such as a notebook
        return {}
    return {thing.name: thing.body for thing in tree.body if isinstance(thing, ast.ClassDef)}


def _entries(doc: str) -> Iterator[tuple[str, str]]:
    """Names and descriptions below ``Args:``."""
    _, _, text = doc.partition("Args:\n")
    block = re.split(r"\n(?=\S)", text, maxsplit=1)[0]
    for entry in re.split(r"\n(?= {4}\w+:)", block):
        name, colon, about = entry.strip().partition(":")
        if colon:
            yield name, about
