"""Options of the parts of a run on the command line: those of the chosen parts, and no others."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import tyro

from ..runs import parts
from ..runs.config import PLAIN, RunConfig, instead_of

Arguments = TypeVar("Arguments")


def parse(
    kind: type[Arguments], arguments: Sequence[str], prog: str, base: RunConfig | None = None
) -> Arguments:
    """Arguments of a command that has a field ``run`` with the settings of a run.

    ``--task``, ``--cell``, ``--schedule`` and ``--optimiser`` choose a part by its name, or one of the user's
    own as ``FILE.py:NAME``; the settings of the chosen parts are then options: ``--task.delay 40``.

    Args:
        kind: dataclass of the command.
        arguments: words of the command line.
        prog: name of the command.
        base: settings that hold where the command line says nothing.

    Raises:
        ValueError: an unknown part, or a setting that the chosen part does not have.
    """
    base = RunConfig() if base is None else base
    names, rest = _choices(arguments)
    chosen = {
        part: parts.read(part, {"name": name}, part, getattr(base, part))
        for part, name in names.items()
    }
    run = dataclasses.replace(base, **chosen)
    _refuse_others(run, rest)
    given = tyro.cli(
        _with_parts(kind, run), args=list(rest), prog=prog, description=_description(kind, run)
    )
    values = {field.name: getattr(given, field.name) for field in dataclasses.fields(RunConfig)}
    own = {
        field.name: getattr(given, field.name)
        for field in dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
        if field.name != "run"
    }
    return kind(run=RunConfig(**values), **own)


def _choices(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """The names of the chosen parts, and all other words."""
    names: dict[str, str] = {}
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        part = option.removeprefix("--")
        if not option.startswith("--") or part not in parts.FAMILIES:
            rest.append(word)
            continue
        names[part] = value if equals else next(words, "")
    return names, rest


def _refuse_others(run: RunConfig, arguments: Sequence[str]) -> None:
    """Raises ``ValueError`` for a setting that a chosen part does not have."""
    for word in arguments:
        name = word.partition("=")[0].removeprefix("--").removeprefix("no-").replace("-", "_")
        part, dot, field = name.partition(".")
        if not word.startswith("--") or not dot:
            continue
        field = field.removeprefix("no_") if part in parts.FAMILIES else field
        if part not in parts.FAMILIES:
            raise ValueError(instead_of(part if part in ("flossing", "training") else field))
        value = getattr(run, part)
        own = parts.settings(None if value is None else type(value))
        if field not in own:
            chosen = parts.name_of(part, value) or type(value).__name__
            raise ValueError(f"{part}.{field}: {parts.unknown(part, chosen, field)}")


def _with_parts(kind: Any, run: RunConfig) -> Any:
    """The command's dataclass and a run in one, with fields for parts of the chosen classes."""
    fields: list[Any] = []
    for part in parts.FAMILIES:
        value = getattr(run, part)
        hint: Any = type(value) if value is not None else Annotated[None, tyro.conf.Suppress]
        fields.append((part, hint, value))
    hidden = Annotated[Any, tyro.conf.Suppress]
    fields += [(name, hidden, getattr(run, name)) for name in ("step", "state")]
    hints = {field.name: field.type for field in dataclasses.fields(RunConfig)}
    fields += [(name, hints[name], getattr(run, name)) for name in PLAIN]
    fields.append(("run", hidden, None))
    command = dataclasses.make_dataclass(
        kind.__name__, fields, bases=(kind, RunConfig), frozen=True, kw_only=True
    )
    command.__doc__ = kind.__doc__
    return command


def _description(kind: Any, run: RunConfig) -> str:
    """What the command does, and which parts there are to choose from."""
    lines = [kind.__doc__ or "", "", "Parts of a run, and what is chosen:", ""]
    for part, family in parts.FAMILIES.items():
        known = [*family.members, *([parts.NONE] if part == "schedule" else [])]
        chosen = parts.name_of(part, getattr(run, part))
        lines.append(f"--{part} {chosen}   ({', '.join(known)}, or FILE.py:NAME)")
    return "\n".join(lines)
