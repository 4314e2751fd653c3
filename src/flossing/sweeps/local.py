"""Worker processes on this machine: what each may use, and how they are started."""

import contextlib
import importlib.metadata
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import dask
from distributed import Nanny, Scheduler, Security
from distributed.core import Status
from distributed.deploy.spec import SpecCluster

from .._checks import check_integer
from .._system import cores

_STARTS = 5
"""How often a worker process is started before the sweep gives up."""
BLAS_LIMITS = {
    name: "1"
    for name in (
        "OPENBLAS_NUM_THREADS",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    )
}


def gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs that JAX would use here, as CUDA_VISIBLE_DEVICES names them; asks without taking one."""
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and not {"cuda", "gpu"} & set(platforms.split(",")):
        return []
    if not _jax_has_cuda():
        return []
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        named = [name.strip() for name in visible.split(",")]
        return [] if named[0] in ("", "-1") else named
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines())
    return [str(i) for i in range(count)] if listed.returncode == 0 else []


def _jax_has_cuda() -> bool:
    names = (f"jax-cuda{version}-plugin" for version in (11, 12, 13, 14))
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            importlib.metadata.version(name)
            return True
    return False


def worker_environments(
    workers: int | None, devices: list[str], num_cores: int
) -> list[dict[str, str]]:
    """The environment variables of each worker process.

    One worker per core, or per GPU where there are any. BLAS has one thread; XLA (which reads NPROC) gets
    its share of the cores; a GPU is seen by one worker only.

    Raises:
        TypeError, ValueError: ``workers`` is no positive integer, or more than there are GPUs.
    """
    count = len(devices) or num_cores
    if workers is not None:
        count = check_integer("workers", workers, 1, len(devices) or None)
    shared = BLAS_LIMITS | {"NPROC": str(max(1, num_cores // count))}
    if not devices:
        return [shared] * count
    return [shared | {"CUDA_VISIBLE_DEVICES": devices[i]} for i in range(count)]


class _PatientNanny(Nanny):
    """Starts its worker again if that dies while it starts; Dask itself replaces those that die later."""

    async def instantiate(self) -> Status:
        status = await super().instantiate()
        for _ in range(_STARTS - 1):
            if status == Status.running or self.status in (Status.closing, Status.closed):
                break
            status = await super().instantiate()
        return status


@contextlib.contextmanager
def local_cluster(
    workers: int | None,
    needed: int,
    host: str,
    dashboard_address: str,
    security: Security | None,
) -> Iterator[Any]:
    """A scheduler in this process and worker processes beside it, all listening on ``host`` only.

    At most ``needed`` workers are started. They end with this process, however it ends.

    Raises:
        ConnectionError: a worker process does not start.
    """
    environments = worker_environments(workers, gpus(), cores())
    protocol = "tls://" if security is not None and security.require_encryption else "tcp://"
    shared: dict[str, Any] = {"host": host, "protocol": protocol, "security": security}
    specs = {
        i: {
            "cls": _PatientNanny,
            "options": {
                **shared,
                "nthreads": 1,
                "memory_limit": 0,
                "env": environment,
                "preload": ["flossing.sweeps.worker"],
                "dashboard": False,
                "silence_logs": logging.CRITICAL,
            },
        }
        for i, environment in enumerate(environments[: max(1, needed)])
    }
    scheduler = {
        "cls": Scheduler,
        "options": {
            **shared,
            "port": 0,
            "dashboard": True,
            "dashboard_address": dashboard_address,
        },
    }
    before = {name: os.environ.get(name) for name in (*BLAS_LIMITS, "NPROC", "PYTHONHASHSEED")}
    # Nannies copy these to this process when they start a worker: BLAS reads them when it is loaded.
    early = {name: environments[0][name] for name in (*BLAS_LIMITS, "NPROC")}
    os.environ.update(early)
    settings = {
        "distributed.scheduler.worker-saturation": 1.0,
        "distributed.nanny.pre-spawn-environ": early,
        "distributed.worker.profile.enabled": False,  # its samples hold up tracing and compiling
    }
    try:
        with (
            dask.config.set(settings),
            _start(specs, scheduler, security) as cluster,
        ):
            yield cluster
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _start(specs: Any, scheduler: Any, security: Security | None) -> SpecCluster:
    try:
        return SpecCluster(
            workers=specs,
            scheduler=scheduler,
            security=security,
            silence_logs=logging.CRITICAL,  # pyright: ignore[reportArgumentType]
            name="sweep",
        )
    except RuntimeError as error:
        cause = error.__cause__ or error
        raise ConnectionError(
            f"workers: a worker process could not be started in {_STARTS} tries ({cause}); try fewer "
            "workers, or look at what ends them: is there enough memory?"
        ) from error
