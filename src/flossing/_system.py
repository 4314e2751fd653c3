"""What differs between Linux, macOS and Windows, in one place: cores, folders, locks, command lines."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # Linux, macOS
    msvcrt = None

_IN_USE = (5, 32, 33)
"""Windows' numbers of errors for a file that another program has open."""
_PATIENCE_SECONDS = 5.0


def cores() -> int:
    """Cores that this process may use; where a system does not say, all that there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cache_folder() -> Path:
    """Where the user's caches belong.

    Raises:
        RuntimeError: the user has no home.
    """
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def try_lock(descriptor: int) -> bool:
    """Locks an open file until it is closed or the process ends; ``False`` if another one holds it.

    ``True`` on file systems without locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        elif msvcrt is not None:
            os.lseek(descriptor, 0, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass
    return True


def write_through(path: Path) -> None:
    """Makes sure that a file's content is on the disk; Windows wants it open for writing."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def replace(source: Path, target: Path) -> None:
    """Renames a file over another; on Windows, waits a while for programs that have that one open.

    Raises:
        OSError: it cannot be renamed.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            source.replace(target)
            return
        except PermissionError as error:
            in_use = getattr(error, "winerror", None) in _IN_USE
            if not in_use or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def command_line(words: Sequence[str]) -> str:
    """Words of a command as one line that this system's shell takes apart again."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
