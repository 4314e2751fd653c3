"""The parts of a run that are chosen by name: task, cell, schedule, optimiser; those of users, too.

A part is an object of a class with settings: ``DelayedXOR(delay=40)``. In files it is the name of its class
and its settings, ``{name: xor, delay: 40}``, or the name alone. The classes of the library are known by short
names; others are found by where they are: ``my_tasks.py:Adding`` or ``package.module:Adding``.
"""

import dataclasses
import difflib
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import equinox as eqx
import numpy as np

from ..cells import CellSpec
from ..cells.spec import spec_for
from ..floss import Schedule
from ..optimisers import OptimiserSpec
from ..tasks import Task
from . import former, user_modules
from .fields import convert
from .fingerprint import fingerprint

FAMILIES: dict[str, Any] = {
    "task": Task,
    "cell": CellSpec,
    "schedule": Schedule,
    "optimiser": OptimiserSpec,
}
"""The parts of a run by the name of their field."""
NONE = "none"
"""The name of no schedule."""
ELSEWHERE = "python"
"""Stands in a file in the place of the name, for what Python gave and no file can hold."""

_names: dict[type, str] = {}
"""Where classes of users were found."""


def class_of(part: str, name: str) -> type | None:
    """The class of a part by its name; ``None`` for no schedule.

    Raises:
        ValueError: there is none of that name, or what is found there does not fit.
    """
    family = FAMILIES[part]
    if part == "schedule" and name == NONE:
        return None
    if name in family.members:
        return family.members[name]
    if ":" in name:
        return _found(part, name)
    known = [*family.members, *([NONE] if part == "schedule" else [])]
    near = [*filter(None, [part == "schedule" and former.SCHEDULES.get(name)])]
    near += difflib.get_close_matches(name, known, 1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ValueError(
        f"{part}: expected one of {', '.join(known)}, or FILE.py:NAME for one of your own, "
        f"got {name!r}.{hint}"
    )


def _found(part: str, name: str) -> type:
    """A class of the user's own, from a file or an installed module."""
    where, _, attribute = name.rpartition(":")
    module = (
        user_modules.from_file(part, where)
        if where.endswith(".py")
        else user_modules.from_name(part, where)
    )
    thing = getattr(module, attribute, None)
    if thing is None:
        have = ", ".join(n for n, x in vars(module).items() if inspect.isclass(x))
        raise ValueError(f"{part}: {where} has no {attribute}; it has {have or 'no classes'}.")
    if part == "cell":
        try:
            kind = spec_for(thing)
        except TypeError as error:
            raise ValueError(f"cell: {name}: {error}") from None
    else:
        kind = _checked(part, name, thing)
    _names[kind] = f"{Path(where).resolve()}:{attribute}" if where.endswith(".py") else name
    return kind


def _checked(part: str, name: str, thing: Any) -> Any:
    family = FAMILIES[part]
    if not (inspect.isclass(thing) and issubclass(thing, family)):
        raise ValueError(
            f"{part}: {name}: expected a subclass of {family.__module__.split('.')[1]}.{family.__name__}, "
            f"got {getattr(thing, '__name__', type(thing).__name__)}."
        )
    if inspect.isabstract(thing):
        missing = ", ".join(sorted(getattr(thing, "__abstractmethods__", ())))
        raise ValueError(f"{part}: {name}: lacks {missing}.")
    if not dataclasses.is_dataclass(thing):
        thing = dataclasses.dataclass(frozen=True, kw_only=True)(thing)
    return thing


def name_of(part: str, value: Any) -> str | None:
    """The name under which files find the class of a part; ``None`` if they cannot."""
    if value is None:
        return NONE
    kind = type(value)
    if kind.name if isinstance(value, FAMILIES[part]) else "":
        return kind.name
    if kind in _names:
        return _names[kind]
    module = sys.modules.get(kind.__module__)
    importable = kind.__module__ != "__main__" and getattr(module, kind.__qualname__, None) is kind
    if isinstance(value, FAMILIES[part]) and dataclasses.is_dataclass(kind) and importable:
        return (
            f"{user_modules.file_beside_the_script(module) or kind.__module__}:{kind.__qualname__}"
        )
    return None


def settings(kind: type | None) -> dict[str, Any]:
    """The settings of a part's class: the type of each by name."""
    if kind is None or not dataclasses.is_dataclass(kind):
        return {}
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind) if field.init}


def settled(part: str, value: Any) -> Any:
    """A part whose settings are plain values of the types that its class says; NumPy's become Python's.

    Raises:
        ValueError, TypeError: a value of another type, one that is not finite, or too large for JAX.
    """
    is_ours = isinstance(value, FAMILIES[part]) and dataclasses.is_dataclass(value)
    if not is_ours or isinstance(value, eqx.Module):
        return value
    changed = {}
    for field, hint in settings(type(value)).items():
        old = getattr(value, field)
        if _is_plain(hint) and isinstance(old, _PLAIN | tuple | list | np.generic):
            new = convert(hint, old, f"{part}.{field}")
            if type(new) is not type(old) or new != old:
                changed[field] = new
    return dataclasses.replace(value, **changed) if changed else value  # pyright: ignore


_PLAIN = str | int | float | bool | None


def _is_plain(hint: Any) -> bool:
    """Whether values of this type can stand in a file."""
    if typing.get_origin(hint) is Literal or hint in (str, int, float, bool, types.NoneType):
        return True
    inner = [option for option in typing.get_args(hint) if option is not ...]
    return bool(inner) and hint is not type and all(map(_is_plain, inner))


def written(part: str, value: Any) -> dict[str, Any]:
    """A part as files have it."""
    name = name_of(part, value)
    fields = settings(None if value is None else type(value))
    values = {field: getattr(value, field) for field in fields}
    if name is None or not all(map(_can_be_written, values.values())):
        return elsewhere(value)
    listed = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return {"name": name} | listed


def elsewhere(value: Any) -> dict[str, str]:
    """What a file says of an object that it cannot hold: enough to notice another one."""
    return {ELSEWHERE: fingerprint(value)}


def _can_be_written(value: Any) -> bool:
    items = value if isinstance(value, tuple) else (value,)
    return all(isinstance(item, _PLAIN) for item in items)


def not_here(where: str, content: dict[str, Any]) -> str:
    """A sentence about a part that stands in a file without being there."""
    return (
        f"{where}: {str(content[ELSEWHERE]).split()[0]} was given in Python, and no file holds it; call "
        "result = fl.train(...) again with the same arguments and this directory. The run goes on, or is "
        "read if it has ended; fl.examine then takes step, state, inputs, key = result.driven(1)."
    )


def read(part: str, content: Any, where: str, base: Any = None) -> Any:
    """A part from what a file says; settings left out are those of ``base`` that were set, or defaults.

    Raises:
        ValueError, TypeError: unknown names or settings, values of another type or out of range.
    """
    if content is None:
        content = NONE
    if isinstance(content, str):
        content = {"name": content}
    if not isinstance(content, dict):
        raise ValueError(f"{where}: expected a name or settings, got {content!r}.")
    if ELSEWHERE in content:
        raise ValueError(not_here(where, content))
    given = dict(content)
    own = name_of(part, base) or next(iter(FAMILIES[part].members))
    name = given.pop("name", own)
    if not isinstance(name, str):
        raise ValueError(f"{where}.name: expected a name, got {name!r}.")
    kind = class_of(part, name)
    known = settings(kind)
    if kind is None:
        if given:
            raise ValueError(
                f"{where}: without a schedule there are no settings, got {list(given)}."
            )
        return None
    values = {k: v for k, v in _set_in(base).items() if k in known}
    for field, value in given.items():
        if field not in known:
            raise ValueError(f"{where}.{field}: {unknown(part, kind, str(field))}")
        values[field] = convert(known[field], value, f"{where}.{field}")
    return made(part, kind, values, where)


def _set_in(base: Any) -> dict[str, Any]:
    """The settings of a part that are not the defaults of its class."""
    defaults = (
        {field.name: field.default for field in dataclasses.fields(base)}
        if base is not None
        else {}
    )
    values = (
        {name: getattr(base, name) for name in settings(type(base))} if base is not None else {}
    )
    return {
        name: value
        for name, value in values.items()
        if not (_can_be_written(value) and value == defaults[name])
    }


def made(part: str, kind: Any, values: dict[str, Any], where: str) -> Any:
    """An object of a part's class; errors begin with where its settings stand."""
    try:
        return kind(**values)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}.{error}") from None


def unknown(part: str, kind: type | None, field: str) -> str:
    """A sentence about a setting that a class of a part does not have: who has it, or what was meant."""
    family, name = FAMILIES[part], label(part, kind)
    others = [other for other, member in family.members.items() if field in settings(member)]
    if others:
        have = "has" if len(others) == 1 else "have"
        return f"{name} has no such setting; {', '.join(others)} {have} it."
    if message := former.instead_of(f"{part}.{field}"):
        return f"{message}."
    near = difflib.get_close_matches(field, settings(kind), 1)
    elsewhere = [f"{p}.{field}" for p, _ in owners(field)]
    if near or elsewhere:
        return f"{name} has no such setting; did you mean {[*near, *elsewhere][0]}?"
    return f"{name} has no such setting; it has {', '.join(settings(kind)) or 'none'}."


def label(part: str, kind: type | None) -> str:
    """What a class of a part is called in messages and titles."""
    if kind is None:
        return NONE
    return getattr(kind, "name", "") or _names.get(kind, kind.__name__).rpartition(":")[2]


def owners(field: str) -> Iterator[tuple[str, str]]:
    """Parts and names of the classes that have a setting of this name."""
    for part, family in FAMILIES.items():
        for name, kind in family.members.items():
            if field in settings(kind):
                yield part, name
