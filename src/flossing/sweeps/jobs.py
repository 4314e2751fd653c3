"""Workers as jobs of a batch system, through dask-jobqueue."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dask

from .._checks import check_choice, check_integer
from .._readable import library
from .local import BLAS_LIMITS

CLUSTERS = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "lsf": "LSFCluster",
    "sge": "SGECluster",
    "htcondor": "HTCondorCluster",
}


_INTEGERS = ("cores", "processes", "ncpus", "mem", "job_cpu", "n_workers")
_SWITCHES = ("nanny", "security", "use_stdin")
_LISTS = (
    "job_extra_directives",
    "job_script_prologue",
    "job_directives_skip",
    "worker_extra_args",
    "worker_command",
    "submit_command_extra",
    "cancel_command_extra",
)
"""What dask-jobqueue takes as something else than text."""


def parse_options(texts: Sequence[str]) -> dict[str, Any]:
    """``name=value`` from the command line.

    Values stay the text that they are (``account=0123``, ``queue=1e5``), but for the options that
    dask-jobqueue wants as an integer, as true or false, as a list (in JSON, or one entry as it is) or as
    a mapping (in JSON).

    Raises:
        ValueError: no name, a name twice, or a value that is not what the option takes.
    """
    options: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.replace("-", "_").isidentifier():
            raise ValueError(
                f"cluster_options: expected NAME=VALUE such as queue=gpu, got {text!r}."
            )
        name = name.replace("-", "_")
        if name in options:
            raise ValueError(f"cluster_options: {name} is given twice.")
        options[name] = _option(name, value)
    return options


def _option(name: str, text: str) -> Any:
    kind = "an integer" if name in _INTEGERS else "true or false" if name in _SWITCHES else ""
    if name == "scheduler_options" or (name in _LISTS and text[:1] in ("[", "{")):
        kind = "JSON"
    if not kind:
        return [text] if name in _LISTS else text
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    types = {"an integer": int, "true or false": bool, "JSON": (list, dict)}[kind]
    if not isinstance(value, types) or (types is int and isinstance(value, bool)):
        raise ValueError(f"cluster_options: {name}: expected {kind}, got {text!r}.")
    return value


def job_options(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a dask-jobqueue cluster: what was given, one run at a time per worker, BLAS limited.

    Raises:
        ValueError: unknown kind of cluster, no memory, more workers than cores in a job.
    """
    check_choice("cluster", kind, tuple(CLUSTERS))
    full = dict(options)
    configured = dask.config.get(f"jobqueue.{kind}", {})
    for name, default in (("cores", 1), ("processes", 1)):
        if full.get(name) is None:
            full[name] = configured.get(name) or default
        check_integer(f"cluster_options: {name}", full[name], 1)
    if full.get("memory") is None and not configured.get("memory"):
        raise ValueError(
            "cluster_options: memory: expected the memory of a job, as memory=4GB; got none."
        )
    share = full["cores"] // full["processes"]
    if not share:
        raise ValueError(
            f"cluster_options: processes: expected at most cores = {full['cores']}, got {full['processes']}."
        )
    limits = BLAS_LIMITS | {"NPROC": str(share)}
    exports = [f"export {name}={value}" for name, value in limits.items()]
    own = full.get("job_script_prologue") or configured.get("job-script-prologue") or []
    full["job_script_prologue"] = [*exports, *([own] if isinstance(own, str) else own)]
    if share > 1:
        extra = full.get("worker_extra_args") or configured.get("worker-extra-args") or []
        full["worker_extra_args"] = [*extra, "--nthreads", "1"]
    return full


def job_script(kind: str, options: Mapping[str, Any]) -> str:
    """The script that a worker's job would have; submits nothing and starts no scheduler."""
    full = job_options(kind, options)
    for name in ("scheduler_options", "shared_temp_directory", "security"):
        full.pop(name, None)
    job = _cluster_class(kind).job_cls(
        "tcp://SCHEDULER:PORT", name="worker", **_checked(kind, full)
    )
    return job.job_script()


def _checked(kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Raises ``ValueError`` for an option that this kind of cluster does not have."""
    import inspect

    known: set[str] = {"scheduler_options", "shared_temp_directory", "security"}
    for base in _cluster_class(kind).job_cls.__mro__:
        if base is not object:
            known |= set(inspect.signature(base.__init__).parameters)
    known -= {"self", "scheduler", "name", "base_class_kwargs", "args", "kwargs"}
    for name in options:
        if name not in known:
            raise ValueError(
                f"cluster_options: unknown option {name!r}; expected one of {', '.join(sorted(known))}."
            )
    return options


def _cluster_class(kind: str) -> Any:
    jobqueue = library("dask_jobqueue", "cluster", "dask-jobqueue")
    return getattr(jobqueue, CLUSTERS[kind])


@contextlib.contextmanager
def job_cluster(
    kind: str,
    options: Mapping[str, Any],
    workers: int | None,
    host: str | None,
    dashboard_address: str,
    security: Any = None,
    submit: bool = True,
) -> Iterator[Any]:
    """A scheduler in this process, and ``workers`` jobs (one if not said) that connect to it.

    Raises:
        ValueError: no address for the scheduler, or options that dask-jobqueue does not take.
    """
    full = _checked(kind, job_options(kind, options))
    jobs = check_integer("workers", 1 if workers is None else workers, 1)
    scheduler = {"dashboard_address": dashboard_address, **full.pop("scheduler_options", {})}
    if host:
        scheduler["host"] = host
    if not ({"host", "interface"} & set(scheduler)) and not full.get("interface"):
        raise ValueError(
            "host: expected an address of this machine that the jobs reach, as --host ADDRESS or "
            "--cluster-options interface=ib0; got none."
        )
    if security is not None:
        full["security"] = security
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0}),
        _cluster_class(kind)(
            scheduler_options=scheduler, silence_logs=logging.CRITICAL, **full
        ) as cluster,
    ):
        if submit:
            # Unlike scale, this also replaces jobs that end, at their time limit for instance.
            cluster.adapt(minimum_jobs=jobs, maximum_jobs=jobs)
        yield cluster
