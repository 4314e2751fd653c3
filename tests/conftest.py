"""Strict settings for all tests, before anything imports JAX."""

import atexit
import gc
import os
import shutil
import tempfile
import threading

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("FLOSSING_CACHE", "")
# Programs that take long to compile are kept for functions that are made anew and for processes that a test
# starts. Each worker has a folder of its own: none should read what another has half written.
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="flossing-tests-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"

import jax
import jaxtyping
import pytest
from jax._src.interpreters import mlir

with jaxtyping.install_import_hook("flossing", "typechecker.check"):
    from flossing import escape_noise, examine, floss, tasks, theory, training  # noqa: F401
    from flossing._compiled import compile_quickly, forget_programs

atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

# Tests compile for longer than they compute. Parts of a program that are compiled in threads of their own
# cost a sixth more, and workers of pytest-xdist use all cores already.
compile_quickly(level=0)
if "split_count" not in os.environ["XLA_FLAGS"]:
    os.environ["XLA_FLAGS"] += " --xla_cpu_parallel_codegen_split_count=1"
jax.config.update("jax_traceback_in_locations_limit", 0)  # where a program's operations come from


def _context_per_thread(make):
    """Makes a context of JAX's compiler once in each thread, not for each of ten thousand small programs.

    A program that is compiled while another one is being written has a context of its own.
    """
    kept = threading.local()

    def context():
        if mlir.ir.Context.current is not None:
            return make()
        if not hasattr(kept, "context"):
            kept.context = make()
        return kept.context

    return context


# An inner part of JAX, which a later version may not have; tests of tasks take a quarter less time with it.
if hasattr(mlir, "make_ir_context"):
    mlir.make_ir_context = _context_per_thread(mlir.make_ir_context)


def pytest_collection_finish():
    """What has been imported is not looked through again and again by the garbage collector."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="module")
def forget_compiled():
    """Compiled functions are forgotten in time: many thousands of them exhaust a process's memory maps."""
    yield
    forget_programs(0.5)


@pytest.fixture(autouse=True, scope="module")
def strict_ranks(request):
    """A mistake in an axis is an error, and no larger result; experiments are written like NumPy.

    Not so for dtypes: Optax and JAX add integers to floats themselves.
    """
    loose = "experiments" in request.path.parts
    # For all threads: a program that one compiles ahead for another would not be taken by it otherwise.
    jax.config.update("jax_numpy_rank_promotion", "allow" if loose else "raise")
    yield
    jax.config.update("jax_numpy_rank_promotion", "allow")


@pytest.fixture
def x64():
    """Double precision within one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def key():
    """The random key that tests start from."""
    return jax.random.key(0)


@pytest.fixture
def untyped():
    """Runtime type checks off, as users have it: for tests of our own error messages."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
