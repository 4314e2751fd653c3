"""Runs ``floss`` on Linux as if on Windows or macOS: ``python other_system.py ARGUMENTS [--then ARGUMENTS]``.

What Windows does not have is not there: cores per process, ``fcntl`` (locks are those of ``msvcrt``), hard
links, renaming and removing of open files, names with its forbidden letters, fsync of what is open for
reading only, signals beyond its six. Processes are started by ``spawn``; the console knows few letters.
"""

import builtins
import errno
import multiprocessing
import os
import signal
import sys
import types
from pathlib import Path


def _refuse(*, winerror, path):
    error = PermissionError(errno.EACCES, "The process cannot access the file", str(path))
    error.winerror = winerror  # type: ignore[attr-defined]
    return error


def _open_files():
    found = set()
    for entry in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").is_dir() else ():
        try:
            found.add(os.readlink(entry))
        except OSError:
            continue
    return found


def _fsync(descriptor, fsync=os.fsync):
    import fcntl as real  # kept by those who imported it before

    if real.fcntl(descriptor, real.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "Bad file descriptor")
    fsync(descriptor)


def _no_hard_links(source, target, **options):
    raise OSError(errno.EPERM, "not on this file system")


def _careful(function):
    """Renaming and removing refuse files that this process has open, and names that Windows forbids."""

    def call(*arguments, **options):
        paths = [argument for argument in arguments if isinstance(argument, str | os.PathLike)]
        for path in paths:
            if os.path.realpath(path) in _open_files():
                raise _refuse(winerror=32, path=path)
        if set(os.path.basename(paths[-1])) & set('<>:"|?*'):
            raise OSError(
                errno.EINVAL, "The filename, directory name, or volume label syntax is incorrect"
            )
        return function(*arguments, **options)

    return call


def _msvcrt():
    import fcntl as real

    def locking(descriptor, mode, count):
        assert (mode, count) == (2, 1)
        try:
            real.lockf(descriptor, real.LOCK_EX | real.LOCK_NB)
        except OSError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    module = types.ModuleType("msvcrt")
    module.locking, module.LK_NBLCK = locking, 2  # type: ignore[attr-defined]
    return module


def pretend():
    """Makes this process one of another system, before flossing is imported."""
    import subprocess  # noqa: F401  (has been imported before the names go)
    import tempfile  # noqa: F401

    os.fsync = _fsync
    sys.modules["msvcrt"] = _msvcrt()
    _hide_module("fcntl")
    _hide_module("resource")
    for name in ("sched_getaffinity", "sched_setaffinity", "getuid", "killpg", "fork"):
        if hasattr(os, name):
            delattr(os, name)
    for name in ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGPIPE"):
        if hasattr(signal, name):
            delattr(signal, name)
    os.link = _no_hard_links
    os.replace, os.rename = _careful(os.replace), _careful(os.rename)
    os.mkdir = _careful(os.mkdir)
    os.unlink, os.remove = _careful(os.unlink), _careful(os.remove)
    multiprocessing.set_start_method("spawn", force=True)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="cp1252")


def _hide_module(name):
    real_import = builtins.__import__

    def imported(wanted, scope=None, *rest, **named):
        if wanted == name and scope and scope.get("__name__", "").startswith("flossing"):
            raise ImportError(f"No module named {name!r}")
        return real_import(wanted, scope, *rest, **named)

    builtins.__import__ = imported  # type: ignore[assignment]


if __name__ == "__main__":
    pretend()
    from flossing.cli import main

    words = iter(sys.argv[1:])
    while arguments := list(iter(lambda: next(words, "--then"), "--then")):
        if status := main(arguments):
            sys.exit(status)
