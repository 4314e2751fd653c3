"""Fields of configurations: their dotted names, and values that have the type of their field.

What passes ``convert`` can be written as YAML and read back, and JAX can compute with it.
"""

import dataclasses
import difflib
import os
import types
import typing
from typing import Any, Literal

import numpy as np

from .._checks import check_choice, check_finite, check_integer, check_seed
from .._warn import renamed

_LARGEST_INTEGER = 2**31 - 1
_LARGEST_FLOAT = float(np.finfo(np.float32).max)


def hints_of(kind: Any, prefix: str = "") -> dict[str, Any]:
    """The type of every field of a dataclass and of the dataclasses in it, by dotted name."""
    found: dict[str, Any] = {}
    for name, hint in typing.get_type_hints(kind).items():
        if _is_group(hint):
            found |= hints_of(hint, f"{prefix}{name}.")
        else:
            found[prefix + name] = hint
    return found


def _is_group(hint: Any) -> bool:
    return isinstance(hint, type) and dataclasses.is_dataclass(hint)


def meant(name: str, kind: Any) -> str | None:
    """The dotted name of the field that ends like ``name``, or nearly so; ``None`` if there is none."""
    ends = {full.rpartition(".")[2]: full for full in hints_of(kind)}
    near = difflib.get_close_matches(name.rpartition(".")[2], ends, 1, 0.8)
    return ends[near[0]] if near else None


def plain_values(config: Any, prefix: str = "") -> dict[str, Any]:
    """The values of a dataclass by field, each of its field's type; NumPy's numbers become Python's.

    Args:
        config: the dataclass; dataclasses in it are made anew.
        prefix: put before the names of its fields in errors.

    Raises:
        ValueError, TypeError: a value of another type, or one that is not finite or too large.
    """
    values = {}
    for name, hint in typing.get_type_hints(type(config)).items():
        value = getattr(config, name)
        if not _is_group(hint):
            values[name] = convert(hint, value, prefix + name)
        elif isinstance(value, hint):
            group = "" if name == "training" else f"{prefix}{name}."
            values[name] = dataclasses.replace(value, **plain_values(value, group))
        else:
            raise TypeError(
                f"{prefix}{name}: expected a {hint.__name__}, got {type(value).__name__}."
            )
    return values


def from_mapping(kind: Any, content: Any, where: str, whole: Any = None) -> Any:
    """A dataclass from a mapping of fields to values; fields left out keep their defaults.

    Args:
        kind: the dataclass.
        content: nested mappings and lists, as YAML has them.
        where: what errors begin with.
        whole: the dataclass that all of this is a part of, by default ``kind``.

    Raises:
        ValueError, TypeError: unknown fields, values of the wrong type or out of range.
    """
    whole = whole or kind
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected a group of fields, got {content!r}.")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in content.items():
        if message := renamed(str(name)):
            raise ValueError(f"{where}: {name}: {message}")
        if name not in hints:
            raise ValueError(f"{where}: unknown field {name!r}; {_instead(str(name), kind, whole)}")
        read = from_mapping if _is_group(hints[name]) else convert
        rest = (whole,) if _is_group(hints[name]) else ()
        values[name] = read(hints[name], value, f"{where}: {name}", *rest)
    return kind(**values)


def _instead(name: str, kind: Any, whole: Any) -> str:
    hints = typing.get_type_hints(kind)
    full = meant(name, whole)
    if full is None or full.rpartition(".")[2] in hints:
        return f"{kind.__name__} has {', '.join(hints)}."
    *groups, last = full.split(".")
    nested = "".join(f"{group}: {{" for group in groups)
    return f"did you mean {full}? A file has it as {nested}{last}: ...{'}' * len(groups)}."


def convert(hint: Any, value: Any, where: str) -> Any:
    """A value of the type ``hint`` from a Python, NumPy or YAML value.

    Raises:
        ValueError, TypeError: it has another type, is not finite, or is too large for JAX's 32 bits.
    """
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if origin is Literal:
        check_choice(where, value, options)
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where}: expected a list, got {value!r}.")
        return tuple(convert(options[0], item, where) for item in value)
    if origin in (types.UnionType, typing.Union):
        return _convert_to_any(options, value, where)
    if hint is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, bool) and hint is not bool:
        raise ValueError(f"{where}: expected {hint.__name__}, got {value!r}.")
    if hint is float and isinstance(value, int | float):
        return _float(value, where)
    if not isinstance(value, hint):
        raise ValueError(f"{where}: expected {hint.__name__}, got {value!r}.")
    return _integer(value, where) if hint is int else value


def _convert_to_any(hints: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and types.NoneType in hints:
        return None
    errors = []
    for hint in hints:
        if hint is not types.NoneType:
            try:
                return convert(hint, value, where)
            except (TypeError, ValueError) as error:
                errors.append(error)
    raise errors[0]


def _float(value: float, where: str) -> float:
    check_finite(where, value)
    if abs(value) > _LARGEST_FLOAT:
        raise ValueError(f"{where}: expected a size of at most {_LARGEST_FLOAT:.4g}, got {value}.")
    return float(value)


def _integer(value: int, where: str) -> int:
    if where.endswith("seed"):
        return check_seed(where, value)
    return check_integer(where, value, -_LARGEST_INTEGER, _LARGEST_INTEGER)
