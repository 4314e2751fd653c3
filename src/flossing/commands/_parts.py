"""Options of the parts of a run on the command line: those of the chosen parts, and no others."""

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from ..runs import former, parts
from ..runs.config import PLAIN, RunConfig, from_yaml
from ._help import help_text

Arguments = TypeVar("Arguments")


def parse(
    kind: type[Arguments],
    arguments: Sequence[str],
    prog: str,
    base: RunConfig | None = None,
    names: Sequence[str] = (*parts.FAMILIES, *PLAIN),
) -> Arguments:
    """Arguments of a command that has a field ``settings`` with the settings of a run.

    ``--task``, ``--cell``, ``--schedule`` and ``--optimiser`` choose a part by its name, or one of the user's
    own as ``FILE.py:NAME``; the settings of the chosen parts are then options: ``--task.delay 40``.

    Args:
        kind: dataclass of the command.
        arguments: words of the command line; with ``--help`` among them the help is printed.
        prog: name of the command.
        base: settings that hold where the command line says nothing.
        names: those fields of a run that the command has.

    Raises:
        ValueError: an unknown part or option, or a setting that the chosen part does not have.
        SystemExit: after the help, and for values that are none.
    """
    run = RunConfig() if base is None else base
    chosen, rest = _choices(arguments, names)
    for part, name in chosen.items():
        value = parts.read(part, {"name": name}, part, getattr(run, part))
        run = dataclasses.replace(run, **{part: value})
    if "-h" in rest or "--help" in rest:
        print(help_text(kind, run, prog, names))
        raise SystemExit(0)
    options = _options(kind, run, names)
    _refuse_unknown(rest, run, options)
    words = list(_with_none(rest, options))
    given = tyro.cli(_dataclass(kind.__name__, options), args=words, prog=prog)
    values = dataclasses.asdict(given)
    for part in set(values) & set(parts.FAMILIES):
        value = getattr(run, part)
        values[part] = parts.made(part, type(value), values[part], part)
    settings = {name: values.pop(name) for name in names if name in values}
    return kind(settings=dataclasses.replace(run, **settings), **values)


def read_base(arguments: Sequence[str]) -> RunConfig | None:
    """The settings in the file of ``--config``; ``None`` without that option.

    Raises:
        ValueError: it cannot be read, or holds something else than settings.
    """
    path = value_of("--config", arguments)
    if path is None:
        return None
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"config: cannot read {path}: {error}") from None
    return from_yaml(text, path)


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """The value that the command line gives to an option, the last one where there are several."""
    value = None
    for i, argument in enumerate(arguments):
        if argument.startswith(f"{option}="):
            value = argument.split("=", 1)[1]
        elif argument == option and i + 1 < len(arguments):
            value = arguments[i + 1]
    return value


def _choices(arguments: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The names of the chosen parts, and all other words."""
    chosen: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        part = option.removeprefix("--")
        if option.startswith("--") and part in parts.FAMILIES and part in names:
            chosen[part] = value if equals else next(words, "")
        else:
            rest.append(word)
    return chosen, rest


def _options(kind: Any, run: RunConfig, names: Sequence[str]) -> dict[str, Any]:
    """Type and default of every option by name; a dictionary of them for a part."""
    hints = typing.get_type_hints(RunConfig)
    own = typing.get_type_hints(kind, include_extras=True)
    options: dict[str, Any] = {}
    for name in names:
        value = getattr(run, name)
        if name in parts.FAMILIES:
            fields = parts.settings(None if value is None else type(value))
            options[name] = {field: (hint, getattr(value, field)) for field, hint in fields.items()}
        else:
            options[name] = (hints[name], value)
    for field in dataclasses.fields(kind):
        if field.name != "settings":
            options[field.name] = (own[field.name], field.default)
    return options


def _with_none(arguments: Sequence[str], options: dict[str, Any]) -> Iterator[str]:
    """The same words, with Python's ``None`` where an option that may be absent is given as none."""
    option = ""
    for word in arguments:
        value = word
        if word.startswith("--"):
            option, equals, value = word.partition("=")
            if not equals:
                yield word
                continue
        name, _, field = option[2:].replace("-", "_").partition(".")
        declared = options.get(name, ())
        declared = declared.get(field, ()) if isinstance(declared, dict) else declared
        may_be_absent = declared and types.NoneType in typing.get_args(declared[0])
        absent = may_be_absent and value.lower() in ("none", "null")
        value = "None" if absent else value
        yield f"{option}={value}" if word.startswith("--") else value


def _dataclass(name: str, options: dict[str, Any]) -> Any:
    """A dataclass with these options, which tyro reads."""
    fields: list[Any] = []
    for option, declared in options.items():
        if isinstance(declared, dict):
            if declared:
                group = _dataclass(option, declared)
                fields.append((option, group, dataclasses.field(default_factory=group)))
        else:
            fields.append((option, declared[0], dataclasses.field(default=declared[1])))
    return dataclasses.make_dataclass(name, fields, kw_only=True)


def _refuse_unknown(arguments: Sequence[str], run: RunConfig, options: dict[str, Any]) -> None:
    """Raises ``ValueError`` for an option that is none: says who has it, or what was meant."""
    for word in arguments:
        if not word.startswith("--"):
            continue
        option = word.partition("=")[0]
        part, _, field = option[2:].replace("-", "_").partition(".")
        group = options.get(part)
        if not field:
            if part not in options and part.removeprefix("no_") not in options:
                raise ValueError(f"{option}: {_unknown(part, options)}")
        elif not isinstance(group, dict):
            raise ValueError(f"{option}: {_unknown(f'{part}.{field}', options)}")
        elif field not in group and field.removeprefix("no_") not in group:
            value = getattr(run, part)
            kind = None if value is None else type(value)
            raise ValueError(f"{option}: {parts.unknown(part, kind, field)}")


def _unknown(name: str, options: dict[str, Any]) -> str:
    """A sentence about an option that the command does not have."""
    if message := former.instead_of(name):
        return f"{message}."
    last = name.rpartition(".")[2]
    known = {option: option for option in options}
    for part, group in options.items():
        if isinstance(group, dict):
            known |= {field: f"{part}.{field}" for field in group if field not in options}
    near = difflib.get_close_matches(last, known, 1)
    hint = f"; did you mean --{known[near[0]].replace('_', '-')}?" if near else "; see --help."
    return f"unknown option{hint}"
