"""Compiled programs: kept on disk from one command to the next, and forgotten in time by a long one."""

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import platform
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ._system import cache_folder

P = ParamSpec("P")
R = TypeVar("R")

LIMIT = 2**30
"""Bytes; beyond them the oldest programs are deleted."""


QUICK = 0.1
"""Seconds of compilation from which on a program is kept; JAX's own default of 1 leaves out most spectra."""


def cache_programs() -> None:
    """Keeps compiled programs on disk, so that the next process does not compile them again.

    One line, before the first computation or later; programs compiled from then on are kept, those of this
    process and of processes that it starts. ``floss`` commands do so by themselves::

        fl.cache_programs()

    JAX's compilation cache does the work. The folder is ``$FLOSSING_CACHE``, or else ``flossing`` in the
    user's folder for caches (``~/.cache`` or ``$XDG_CACHE_HOME`` on Linux, ``~/Library/Caches`` on macOS,
    ``%LOCALAPPDATA%`` on Windows). Programs of different processors and versions are kept apart in it;
    beyond 1 GiB the oldest are deleted at the next call. An empty ``FLOSSING_CACHE`` keeps nothing, and a
    folder that was set in JAX itself (``jax_compilation_cache_dir``) stays. Nothing is said where the
    folder cannot be written.
    """
    import jax

    if jax.config.values["jax_compilation_cache_dir"] or os.environ.get("FLOSSING_CACHE") == "":
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, no permission, no space
        path = _folder() / _machine()
        path.mkdir(parents=True, exist_ok=True)
        _make_room(path.parent)
        _set("jax_compilation_cache_dir", str(path))
        if jax.config.values[_LEAST] == 1:
            _set(_LEAST, QUICK)


_LEAST = "jax_persistent_cache_min_compile_time_secs"


def _set(name: str, value: Any) -> None:
    """A setting of JAX, for this process and those that it starts."""
    import jax

    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)


def strongly_typed(tree: Any) -> Any:
    """The same arrays, without the weak types that JAX gives to what comes from a Python number.

    ``jnp.full(3, 0.1)`` is of such a type, and an array that an optimiser has changed is not. So a loop that
    gives a program its own output back would compile it twice: for the first call, and for all others.
    """
    import jax

    def strong(x: Any) -> Any:
        return jax.lax.convert_element_type(x, x.dtype) if getattr(x, "weak_type", False) else x

    return jax.tree.map(strong, tree)


def compile_quickly(level: int = 1) -> None:
    """Asks XLA to spend less time on programs for CPUs, unless the user's ``XLA_FLAGS`` say something else.

    XLA has two ways to make loops over elements; the older one takes half the time. A ``level`` of
    optimisation of 1 takes up to 45 % off. Networks of tanh units, whose work is matrix products, are as
    fast; a layer of LIF neurons is a fifth slower. To be called before XLA starts.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    wanted = {"xla_backend_optimization_level": str(level)}
    if _version("jaxlib") < (0, 11):  # XLA ends the process at a flag that it does not know
        wanted["xla_cpu_use_fusion_emitters"] = "false"
    new = [f"--{name}={value}" for name, value in wanted.items() if name not in flags]
    if new:
        os.environ["XLA_FLAGS"] = " ".join([flags, *new]).strip()


def _version(package: str) -> tuple[int, ...]:
    """Major and minor."""
    return tuple(int(part) for part in importlib.metadata.version(package).split(".")[:2])


def one_thread_first(function: Callable[P, R]) -> Callable[P, R]:
    """``function``, whose calls wait for each other until one has returned.

    JAX compiles a program twice if two threads ask for it at the same time.
    """
    lock, ready = threading.Lock(), threading.Event()

    @functools.wraps(function)
    def call(*args: P.args, **options: P.kwargs) -> R:
        if ready.is_set():
            return function(*args, **options)
        with lock:
            out = function(*args, **options)
        ready.set()
        return out

    return call


def forget_programs(share: float = 0.5) -> None:
    """Frees the programs compiled so far, once they fill a share of the memory maps a process may have.

    A training run compiles into some 2800 maps, and Linux ends a process that wants more than 65530.
    """
    import jax

    try:
        used = Path("/proc/self/maps").read_bytes().count(b"\n")
        limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    except (OSError, ValueError):  # another system
        return
    if used > share * limit:
        jax.clear_caches()


def _folder() -> Path:
    given = os.environ.get("FLOSSING_CACHE")
    return Path(given).expanduser() if given else cache_folder() / "flossing"


def _machine() -> str:
    """What a compiled program depends on, beside what JAX itself looks at."""
    import jaxlib

    processor = platform.processor()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor += next((line for line in lines if line.startswith("flags")), "")
    words = (platform.system(), platform.machine(), processor, jaxlib.__version__)
    return hashlib.sha256(repr(words).encode()).hexdigest()[:16]


def _make_room(folder: Path) -> None:
    files = [(f.stat(), f) for f in folder.rglob("*") if f.is_file()]
    total = sum(status.st_size for status, _ in files)
    for status, file in sorted(files, key=lambda pair: pair[0].st_mtime):
        if total <= LIMIT:
            return
        file.unlink(missing_ok=True)
        total -= status.st_size
