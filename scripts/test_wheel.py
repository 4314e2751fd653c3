"""Builds the wheel, installs it into an empty environment, and runs the tests against what was installed.

    python scripts/test_wheel.py newest                    # the newest dependencies that fit
    python scripts/test_wheel.py oldest                    # those of tests/oldest.txt
    python scripts/test_wheel.py newest -- tests/cells     # some tests only; what follows -- goes to pytest

The tests run in a copy of the repository without src/, so that nothing but the wheel can be imported. The
environment is that of the Python that runs this script; ``--keep`` says where to make it and leaves it there.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OLDEST = ROOT / "tests" / "oldest.txt"
_OLD_ONES_MAY = ("-W", "default::DeprecationWarning")
"""Old dependencies use what their own dependencies, which are newer, call deprecated."""
_NOT_TESTED = {"src", "runs", "sweeps", "dist", "build"}
"""Folders beside tests/ that the copy does without; those of the same names further down are tests."""
_JUNK = {".git", ".venv", ".hypothesis", ".pytest_cache", ".ruff_cache", "__pycache__", "_build"}


def left_out(folder: str, names: list[str]) -> set[str]:
    """What of a folder is not copied."""
    return set(names) & (_JUNK | _NOT_TESTED if Path(folder) == ROOT else _JUNK)


def run(command: Sequence[object], where: Path = ROOT) -> None:
    """Shows a command and runs it, without ``PYTHONPATH``; the script ends if it fails."""
    print("+", *command, flush=True)
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    words = [str(word) for word in command]
    if status := subprocess.run(words, cwd=where, env=clean, check=False).returncode:
        sys.exit(status)


def build(folder: Path) -> Path:
    """The wheel, newly built."""
    run([sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, ROOT])
    (wheel,) = folder.glob("flossing-*.whl")
    return wheel


def install(wheel: Path, folder: Path, extras: str, constraints: Sequence[Path]) -> Path:
    """An empty environment with the wheel in it; the path of its Python."""
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    limits = [word for file in constraints for word in ("--constraint", file)]
    wanted = f"flossing[{extras}] @ {wheel.as_uri()}"
    run([python, "-m", "pip", "install", "--quiet", wanted, *limits])
    return python


def test(python: Path, folder: Path, arguments: Sequence[str]) -> None:
    """Runs the tests in a copy of the repository that has no source of its own."""
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, ignore=left_out)
    check = (
        "import flossing, pathlib, sys; found = pathlib.Path(flossing.__file__); print(found); "
        "print(flossing.describe_environment()); sys.exit(not found.is_relative_to(sys.prefix))"
    )
    run([python, "-c", check], tree)
    run([python, "-m", "pytest", *arguments], tree)


def main() -> None:
    """Reads the command line and does it all."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], epilog="What follows -- goes to pytest."
    )
    parser.add_argument("dependencies", choices=["newest", "oldest"])
    parser.add_argument("--extras", default="test", help="extras to install; default: test")
    parser.add_argument("--wheel", type=Path, help="a wheel that is built already")
    parser.add_argument("--keep", type=Path, help="folder for the environment, which stays")
    words = sys.argv[1:]
    border = words.index("--") if "--" in words else len(words)
    options, for_pytest = parser.parse_args(words[:border]), words[border + 1 :]
    if options.keep and options.keep.exists():
        parser.error(f"--keep: {options.keep} exists already; choose another name.")
    constraints = [OLDEST] if options.dependencies == "oldest" else []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = options.wheel.resolve() if options.wheel else build(folder)
        home = options.keep.resolve() if options.keep else folder / "env"
        python = install(wheel, home, options.extras, constraints)
        allowed = _OLD_ONES_MAY if options.dependencies == "oldest" else ()
        test(python, folder, [*allowed, *for_pytest])


if __name__ == "__main__":
    main()
