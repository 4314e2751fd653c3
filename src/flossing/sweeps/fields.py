"""Fields of a run's configuration by their dotted names, and values for them."""

import difflib
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from .._warn import renamed
from ..runs import parts, yaml_files
from ..runs.config import PLAIN, RunConfig, from_mapping, unknown
from ..runs.fields import convert as convert_to

_HINTS = typing.get_type_hints(RunConfig)


def field_name(text: str, base: RunConfig) -> str:
    """The dotted name of a field: a setting of the run, a part, or a setting of a part.

    Raises:
        ValueError: there is no such field, or it cannot be swept.
    """
    name = text.strip().replace("-", "_")
    if name == "directory":
        raise ValueError(
            "over: 'directory' cannot be swept: every run gets one within the sweep's."
        )
    if message := renamed(name):
        raise ValueError(f"over: {text.strip()}: {message}")
    if name in parts.FAMILIES or name in PLAIN:
        return name
    part, _, field = name.partition(".")
    known = dict(_settings(part, base)) if part in parts.FAMILIES else {}
    if field in known:
        return name
    near = difflib.get_close_matches(field, known, 1)
    owners = [f"{p}.{field or part}" for p, _ in parts.owners(field or part)]
    if near or owners:
        raise ValueError(
            f"over: unknown field {text.strip()!r}; did you mean "
            f"{f'{part}.{near[0]}' if near else owners[0]}?"
        )
    if known:
        names = ", ".join(f"{part}.{setting}" for setting in known)
        raise ValueError(f"over: unknown field {text.strip()!r}; expected one of {names}.")
    raise ValueError(f"over: {unknown(name)}")


def _settings(part: str, base: RunConfig) -> Iterator[tuple[str, Any]]:
    """Settings that a part may have, with their types: those of the base first, then of all others."""
    value = getattr(base, part)
    own = parts.settings(None if value is None else type(value))
    yield from own.items()
    for member in parts.FAMILIES[part].members.values():
        yield from ((n, hint) for n, hint in parts.settings(member).items() if n not in own)


def _hint(name: str, base: RunConfig) -> Any:
    part, _, field = name.partition(".")
    if not field:
        return str if part in parts.FAMILIES else _HINTS[name]
    return next(hint for setting, hint in _settings(part, base) if setting == field)


def convert(name: str, value: Any, base: RunConfig) -> Any:
    """A value of the field's type from a Python or YAML value; raises ``ValueError`` naming the field."""
    if name in parts.FAMILIES:
        value = parts.NONE if value is None else value
        if not isinstance(value, str):
            raise ValueError(f"{name}: expected a name, got {value!r}.")
        parts.class_of(name, value)
        return value
    return convert_to(_hint(name, base), value, name)


def read(name: str, text: str, base: RunConfig) -> Any:
    """A value of the field's type from the command line; raises ``ValueError`` naming the field."""
    hint, text = _hint(name, base), text.strip()
    options = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if text.lower() in ("none", "null"):
            return None
        hint = next(option for option in options if option is not types.NoneType)
    if hint is str or typing.get_origin(hint) is Literal:
        return convert(name, text, base)
    try:
        value = yaml_files.load(text)
    except yaml_files.YAMLError:
        value = text
    return convert(name, text if value is None else value, base)


def split(text: str) -> list[str]:
    """Splits at commas that are not within brackets: ``[0, 1],[2]`` are two values."""
    pieces, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == "," and depth == 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return pieces


def get(config: RunConfig, name: str) -> Any:
    """The value of a field; of a part its name; ``None`` where the part has no such setting."""
    part, _, field = name.partition(".")
    value = getattr(config, part)
    if field:
        return getattr(value, field, None)
    return parts.name_of(part, value) if part in parts.FAMILIES else value


def replace(config: RunConfig, values: Mapping[str, Any]) -> RunConfig:
    """The configuration with other values, all at once; raises what the configuration raises.

    A part that is replaced by another one keeps the settings that both have.
    """
    content: dict[str, Any] = {}
    for name, value in values.items():
        part, _, field = name.partition(".")
        if part not in parts.FAMILIES:
            content[name] = value
            continue
        content.setdefault(part, {})[field or "name"] = value
    try:
        return from_mapping(content, "over", config)
    except (TypeError, ValueError) as error:
        raise type(error)(str(error).removeprefix("over: ")) from None


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
