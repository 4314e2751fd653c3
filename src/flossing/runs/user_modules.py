"""Modules of users that hold parts of runs: loaded from files, or imported."""

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any


def from_file(part: str, where: str) -> Any:
    """The module in a file; raises ``ValueError`` if there is none, or it cannot be loaded."""
    path = Path(where).resolve()
    key = f"flossing_user_{abs(hash(str(path)))}"
    if module := sys.modules.get(key) or _imported(path):
        return module
    spec = importlib.util.spec_from_file_location(key, path)
    if not path.is_file() or spec is None or spec.loader is None:
        moved = (
            " If it was moved, say so in config.yaml of the run."
            if Path(where).is_absolute()
            else ""
        )
        raise ValueError(f"{part}: there is no file {where}.{moved}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[key] = module
    before = list(sys.path)
    sys.path.append(str(path.parent))  # where it finds the modules beside it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[key]
        raise ValueError(f"{part}: {where} cannot be loaded: {error!r}.") from error
    finally:
        sys.path[:] = before
    return module


def _imported(path: Path) -> Any:
    """The module that a script has imported from this file, so that classes are the same; else ``None``."""
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if file.name == path.name and name != "__main__" and file.resolve() == path:
            return module
    return None


def from_name(part: str, where: str) -> Any:
    """The module of a name; raises ``ValueError`` if it cannot be imported."""
    try:
        return importlib.import_module(where)
    except ImportError as error:
        raise ValueError(
            f"{part}: cannot import {where}: {error}. Install it, or put the folder that holds it into the "
            "environment variable PYTHONPATH; or repeat the call of fl.train, if it was one."
        ) from error


def file_beside_the_script(module: Any) -> Path | None:
    """The file of a module that is found only from the script's folder, or the current one; else ``None``.

    Another process, such as ``floss train --resume``, would not find it by its name.
    """
    file = getattr(module, "__file__", None)
    if file is None or "." in module.__name__:
        return None
    path = Path(file).resolve()
    here = {Path(folder).resolve() for folder in (*sys.path[:1], "")}
    return path if path.suffix == ".py" and path.parent in here else None
