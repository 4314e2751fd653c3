"""Compiled programs on disk: found again by the next process, kept small, never in the way."""

import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import jax
import pytest

from flossing import _compiled, _system

LEAST = "jax_persistent_cache_min_compile_time_secs"

SCRIPT = """
import jax
import flossing
flossing.cache_programs()
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
hits = []
jax.monitoring.register_event_listener(
    lambda name, **_: hits.append(name) if name.endswith("cache_hits") else None
)
jax.jit(lambda x: x * 3 + 1)(1.0)
print(len(hits))
"""


MAPS = """
import gc
from pathlib import Path
import jax
from flossing._compiled import forget_programs
maps = lambda: len(Path("/proc/self/maps").read_text().splitlines())
functions = [jax.jit(lambda x: x * x.size + x.size) for _ in range(39)]
programs = lambda: sum(f._cache_size() for f in functions)
start = maps()
for size, f in enumerate(functions, 1):
    f(jax.numpy.ones(size))
full = maps()
forget_programs(share=1.0)
kept = programs()
forget_programs(share=0.0)
gc.collect()
print(start, full, maps(), kept, programs())
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_programs_are_forgotten_only_when_they_are_too_many():
    """Maps are counted loosely: other threads of the process come and go, each with maps of its own."""
    done = subprocess.run([sys.executable, "-c", MAPS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    start, full, after, kept, left = map(int, done.stdout.split())
    assert (kept, left) == (39, 0)
    assert full > start + 39
    assert after - start < (full - start) / 2


def test_threads_that_want_the_same_program_at_once_compile_it_once():
    """The function is traced as often as it is compiled; a pause lets both threads begin with it."""
    traced, found = [], []

    @_compiled.one_thread_first
    @jax.jit
    def slow(x):
        traced.append(x)
        time.sleep(0.3)
        return 2 * x

    threads = [threading.Thread(target=lambda x=x: found.append(slow(x))) for x in (1.0, 2.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(traced) == 1
    assert sorted(map(float, found)) == [2, 4]


def test_a_failure_lets_the_next_thread_in():
    @_compiled.one_thread_first
    def inverse(x):
        return 1 / x

    with pytest.raises(ZeroDivisionError):
        inverse(0)
    assert inverse(2) == 0.5


def hits(folder):
    environment = {**os.environ, "FLOSSING_CACHE": str(folder)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return int(done.stdout)


@pytest.mark.slow
def test_the_next_process_does_not_compile_again(tmp_path):
    assert hits(tmp_path / "new" / "folder") == 0
    assert hits(tmp_path / "new" / "folder") > 0


@pytest.fixture
def untouched(monkeypatch):
    """No cache before and after, whatever a test sets."""
    before = {name: jax.config.values[name] for name in ("jax_compilation_cache_dir", LEAST)}
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update(LEAST, 1.0)
    for name in ("JAX_COMPILATION_CACHE_DIR", LEAST.upper()):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    monkeypatch.delenv("FLOSSING_CACHE")
    yield monkeypatch
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_users_settings_come_first(untouched, tmp_path):
    untouched.setenv("FLOSSING_CACHE", "")
    _compiled.cache_programs()
    assert jax.config.jax_compilation_cache_dir is None
    untouched.setenv("FLOSSING_CACHE", str(tmp_path / "ours"))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "theirs"))
    _compiled.cache_programs()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "theirs")
    assert not (tmp_path / "ours").exists()


def test_a_folder_that_cannot_be_is_no_error(untouched, tmp_path):
    (tmp_path / "file").write_text("")
    untouched.setenv("FLOSSING_CACHE", str(tmp_path / "file" / "folder"))
    _compiled.cache_programs()
    assert jax.config.jax_compilation_cache_dir is None


@pytest.mark.parametrize(
    ("system", "platform", "variable", "below"),
    [
        ("posix", "linux", "XDG_CACHE_HOME", ""),
        ("posix", "linux", "HOME", ".cache"),
        ("posix", "darwin", "HOME", "Library/Caches"),
        ("nt", "win32", "LOCALAPPDATA", ""),
    ],
)
def test_caches_are_where_each_system_has_them(
    system, platform, variable, below, monkeypatch, tmp_path
):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    if variable == "HOME":
        monkeypatch.setattr(Path, "home", lambda: tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(_system.sys, "platform", platform)
        patch.setattr(_system, "os", types.SimpleNamespace(name=system, environ=os.environ))
        assert _system.cache_folder() == tmp_path / below


def test_a_program_that_takes_a_tenth_of_a_second_is_kept_unless_the_user_says_otherwise(
    untouched, tmp_path
):
    untouched.setenv("FLOSSING_CACHE", str(tmp_path))
    _compiled.cache_programs()
    assert jax.config.values[LEAST] == 0.1
    assert os.environ[LEAST.upper()] == "0.1"
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update(LEAST, 7.0)
    _compiled.cache_programs()
    assert jax.config.values[LEAST] == 7.0


def test_it_is_where_caches_belong(untouched, tmp_path):
    untouched.setattr(_compiled, "cache_folder", lambda: tmp_path)
    _compiled.cache_programs()
    (folder,) = (tmp_path / "flossing").iterdir()
    assert jax.config.jax_compilation_cache_dir == os.environ["JAX_COMPILATION_CACHE_DIR"]
    assert jax.config.jax_compilation_cache_dir == str(folder)


def test_the_oldest_programs_make_room(untouched, tmp_path):
    untouched.setattr(_compiled, "LIMIT", 25)
    untouched.setenv("FLOSSING_CACHE", str(tmp_path))
    for age in range(4):
        file = tmp_path / f"{age}"
        file.write_bytes(b"0123456789")
        os.utime(file, (1e9 - age, 1e9 - age))
    _compiled.cache_programs()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["0", "1"]


OURS = "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"


@pytest.mark.parametrize(
    ("given", "then"),
    [
        (None, OURS),
        ("--xla_dump_to=here", f"--xla_dump_to=here {OURS}"),
        (
            "--xla_backend_optimization_level=3",
            "--xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=false",
        ),
        (f"--xla_dump_to=here {OURS}", f"--xla_dump_to=here {OURS}"),
    ],
)
def test_the_users_flags_of_xla_stay(given, then, monkeypatch):
    monkeypatch.delenv("XLA_FLAGS", raising=False) if given is None else monkeypatch.setenv(
        "XLA_FLAGS", given
    )
    _compiled.compile_quickly()
    assert os.environ["XLA_FLAGS"] == then


@pytest.mark.parametrize(
    ("version", "known"), [("0.7.0", True), ("0.10.2", True), ("0.11.0", False)]
)
def test_flags_that_a_later_xla_may_not_know_are_left_out(version, known, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(_compiled.importlib.metadata, "version", lambda package: version)
    _compiled.compile_quickly()
    assert ("fusion_emitters" in os.environ["XLA_FLAGS"]) == known
