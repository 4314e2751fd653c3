"""The command line: ``floss demo``, ``examine``, ``train``, ``sweep``, ``reproduce``, ``report``."""

import io
import os
import sys
from collections.abc import Sequence

_COMMANDS = {
    "demo": "train networks with and without flossing from the same start, and compare (under two minutes)",
    "examine": "how gradients travel in a network, what is wrong with it, and what to do about it",
    "train": "train networks on a task, with a flossing schedule",
    "sweep": "many runs over a grid of settings, on all cores, a Dask cluster or a batch system",
    "reproduce": "a published figure, with its numbers beside the published ones",
    "report": "figures and one HTML page of a run or a sweep",
}


_FORMER = {"spectrum": "examine"}
"""Commands of an earlier version, and what has taken their place."""


def _usage() -> str:
    lines = [
        "usage: floss COMMAND [options]",
        "",
        "Gradient flossing of recurrent and spiking networks.",
        "",
    ]
    lines += [f"  {name:<10} {text}" for name, text in _COMMANDS.items()]
    lines += ["", "floss COMMAND --help lists the options of a command."]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0, 1 after an interrupt, 2 for wrong use or failure."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # terminals and files that do not know every letter
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _main(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


def _main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"flossing {version('flossing')}")
        return 0
    if new := _FORMER.get(arguments[0]):
        print(f"floss {arguments[0]}: is now floss {new}. See floss {new} --help.", file=sys.stderr)
        return 2
    if arguments[0] not in _COMMANDS:
        known = ", ".join(_COMMANDS)
        print(
            f"floss: unknown command {arguments[0]!r}; expected one of {known}. See floss --help.",
            file=sys.stderr,
        )
        return 2
    return _run(arguments[0], arguments[1:])


def _run(command: str, arguments: list[str]) -> int:
    from importlib import import_module

    from ._blas import one_blas_thread
    from ._compiled import cache_programs
    from ._warn import renamed

    one_blas_thread()
    cache_programs()
    try:
        for option in arguments:
            if message := renamed(option.partition("=")[0]):
                raise ValueError(f"{option}: {message}")
        return import_module(f"flossing.commands.{command}").main(arguments)
    except BrokenPipeError:
        raise
    except (ValueError, TypeError, OSError) as error:
        print(f"floss {command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"floss {command}: interrupted", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
