"""Fields of a run's configuration by their dotted names, and values for them."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal

from .._warn import renamed
from ..runs import yaml_files
from ..runs.config import RunConfig
from ..runs.fields import convert as convert_to, hints_of, meant
from ..training import Training


def field_name(text: str) -> str:
    """The full dotted name of a field; fields of training may come without ``training.``.

    Raises:
        ValueError: there is no such field, or it cannot be swept.
    """
    name = text.strip().replace("-", "_")
    if name in {field.name for field in dataclasses.fields(Training)}:
        name = f"training.{name}"
    if name == "directory":
        raise ValueError(
            "over: 'directory' cannot be swept: every run gets one within the sweep's."
        )
    if message := renamed(name):
        raise ValueError(f"over: {text.strip()}: {message}")
    if name not in _hints():
        section = name.partition(".")[0]
        known = [n for n in _hints() if n.startswith(f"{section}.")]
        full = meant(name, RunConfig)
        expected = (
            f"did you mean {full}?"
            if full and full not in known
            else f"expected one of {', '.join(known or _hints())}."
        )
        raise ValueError(f"over: unknown field {text.strip()!r}; {expected}")
    return name


def _hints() -> dict[str, Any]:
    """The type of every field that can be swept, by dotted name."""
    return {name: hint for name, hint in hints_of(RunConfig).items() if name != "directory"}


def convert(name: str, value: Any) -> Any:
    """A value of the field's type from a Python or YAML value; raises ``ValueError`` naming the field."""
    return convert_to(_hints()[name], value, name)


def read(name: str, text: str) -> Any:
    """A value of the field's type from the command line; raises ``ValueError`` naming the field."""
    hint, text = _hints()[name], text.strip()
    options = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if text.lower() in ("none", "null"):
            return None
        hint = next(option for option in options if option is not types.NoneType)
    if hint is str or typing.get_origin(hint) is Literal:
        return convert(name, text)
    try:
        value = yaml_files.load(text)
    except yaml_files.YAMLError:
        value = text
    return convert(name, text if value is None else value)


def split(text: str) -> list[str]:
    """Splits at commas that are not within brackets: ``[0, 1],[2]`` are two values."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def get(config: RunConfig, name: str) -> Any:
    """The value of a field."""
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def replace(config: Any, values: Mapping[str, Any]) -> Any:
    """The configuration with other values, all at once; raises what the configuration raises."""
    sections: dict[str, dict[str, Any]] = {}
    changes: dict[str, Any] = {}
    for name, value in values.items():
        section, _, field = name.partition(".")
        if field:
            sections.setdefault(section, {})[field] = value
        else:
            changes[section] = value
    for section, fields in sections.items():
        changes[section] = replace(getattr(config, section), fields)
    return dataclasses.replace(config, **changes)


def plain(value: Any) -> Any:
    """A value as YAML knows it."""
    return list(value) if isinstance(value, tuple) else value


def shown(value: Any) -> str:
    """A value as it stands in names and messages."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return "[" + ",".join(map(shown, value)) + "]"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
