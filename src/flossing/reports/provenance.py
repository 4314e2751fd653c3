"""Where results come from: versions, devices, commit and command, as rows of a table."""

import json
from pathlib import Path

from .words import rows_of


def environment_rows(path: Path, leave_out: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """Name and text of what is in a JSON file; one row that says so if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [(path.name, "there is no such file")]
    except (OSError, ValueError) as error:
        return [(path.name, f"cannot be read: {error}")]
    if isinstance(content, dict):
        content = {name: value for name, value in content.items() if name not in leave_out}
    return rows_of(content, "" if isinstance(content, dict) else path.name)
