"""Where results come from: versions, devices, commit and command, as rows of a table."""

import json
from pathlib import Path

from .words import rows_of


def environment_rows(path: Path) -> list[tuple[str, str]]:
    """Name and text of everything in a JSON file; one row that says so if it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [(path.name, "there is no such file")]
    except (OSError, ValueError) as error:
        return [(path.name, f"cannot be read: {error}")]
    return rows_of(content)
