"""The help of commands that set a run: each option on a line or two, with its value, in order of use."""

import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from .._field_docs import field_docs
from ..runs import parts
from ..runs.config import RunConfig

_WIDTH = 80
_LONGEST = 30
"""Options that are longer have a line of their own."""
_USUAL = ("epochs", "realisations", "seed", "batch_size", "directory", "config")
"""Shown first, below the parts."""
_METAVARS = {"directory": "DIR", "run": "DIR"}


def help_text(kind: Any, run: RunConfig, prog: str, names: Sequence[str]) -> str:
    """What the command does, the usual options first, then the others, then those of each chosen part."""
    own = [field.name for field in dataclasses.fields(kind) if field.name != "settings"]
    plain = [name for name in (*names, *own) if name not in parts.FAMILIES]
    usual = [name for name in _USUAL if name in plain]
    rows = {name: _row(name, *_described(kind, run, name)) for name in plain}
    lines = [f"usage: {prog} [--OPTION VALUE ...]", "", *_paragraphs(inspect.getdoc(kind) or "")]
    lines += ["", "Options, with the values that they have. FILE.py:NAME takes a part of your own."]
    chosen = [part for part in parts.FAMILIES if part in names]
    for part in chosen:
        lines += _row(part, parts.label(part, _kind(run, part)), _choices(part))
    lines += [line for name in usual for line in rows[name]]
    lines += ["", "More options:"]
    lines += [line for name in plain if name not in usual for line in rows[name]]
    for part in chosen:
        lines += _of_part(part, run)
    return "\n".join(lines)


def _kind(run: RunConfig, part: str) -> type | None:
    value = getattr(run, part)
    return None if value is None else type(value)


def _choices(part: str) -> str:
    known = [*parts.FAMILIES[part].members, *([parts.NONE] if part == "schedule" else [])]
    return f"The {part}: {', '.join(known)}."


def _of_part(part: str, run: RunConfig) -> Iterator[str]:
    """The options of a chosen part, under what it is."""
    kind = _kind(run, part)
    if kind is None:
        return
    about = _sentence(inspect.getdoc(kind) or "")
    yield ""
    yield from textwrap.wrap(f"--{part} {parts.label(part, kind)}: {about}", _WIDTH)
    docs = field_docs(kind)
    for field, hint in parts.settings(kind).items():
        value = getattr(getattr(run, part), field)
        yield from _row(
            f"{part}.{field}", _shown(hint, value), _with_choices(docs.get(field, ""), hint)
        )


def _described(kind: Any, run: RunConfig, name: str) -> tuple[str, str]:
    """Value and description of an option of the command or of the run."""
    owner = kind if name in [field.name for field in dataclasses.fields(kind)] else RunConfig
    hint = typing.get_type_hints(owner, include_extras=True)[name]
    default = next(field.default for field in dataclasses.fields(owner) if field.name == name)
    value = getattr(run, name) if owner is RunConfig else default
    metavar = next(
        (extra.metavar for extra in getattr(hint, "__metadata__", ()) if hasattr(extra, "metavar")),
        _METAVARS.get(name),
    )
    shown = metavar if metavar and value in (None, ()) else _shown(hint, value)
    return shown, _with_choices(field_docs(owner).get(name, ""), hint)


def _shown(hint: Any, value: Any) -> str:
    """A value as it is written behind its option; flags have none."""
    if hint is bool:
        return ""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return parts.NONE if value is None else str(value)


def _with_choices(text: str, hint: Any) -> str:
    """The first sentence of a description, and the values to choose from."""
    text = _sentence(text)
    options = typing.get_args(hint)
    if typing.get_origin(hint) is not Literal:
        options = [
            x for h in options if typing.get_origin(h) is Literal for x in typing.get_args(h)
        ]
    return f"{text.rstrip('.')}: {', '.join(options)}." if len(options) > 1 else text


def _sentence(text: str) -> str:
    """The first sentence, without marks of code."""
    text = " ".join(text.split()).replace("``", "")
    return re.split(r"(?<=\.) (?=[A-Z])", text, maxsplit=1)[0]


def _row(name: str, value: str, text: str) -> list[str]:
    """An option with its value, and beside it what it means."""
    flag = f"  --{name.replace('_', '-')} {value}".rstrip()
    body = textwrap.wrap(text, _WIDTH - _LONGEST - 2) or [""]
    if len(flag) > _LONGEST:
        return [flag, *(" " * (_LONGEST + 2) + line for line in body)]
    first, *rest = body
    return [flag.ljust(_LONGEST + 2) + first, *(" " * (_LONGEST + 2) + line for line in rest)]


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield from textwrap.wrap(paragraph, _WIDTH)
