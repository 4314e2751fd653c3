"""Batch systems, GPUs and encryption: what is asked of Dask, without a cluster."""

import pytest
from hypothesis import given, strategies as st
from sweep_helpers import SMALL

import flossing as fl
from flossing.cli import main
from flossing.runs import RunConfig
from flossing.sweeps import connect, jobs, local

OPTIONS = {"queue": "gpu", "walltime": "02:00:00", "cores": 1, "memory": "4GB"}


def test_the_slurm_script_is_that_of_dask_jobqueue():
    script = jobs.job_script("slurm", OPTIONS)
    for line in (
        "#SBATCH -p gpu",
        "#SBATCH -t 02:00:00",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=4G",
        "export OPENBLAS_NUM_THREADS=1",
        "export OMP_NUM_THREADS=1",
        "export NPROC=1",
    ):
        assert line in script.splitlines()
    assert "--nthreads 1" in script
    with jobs.job_cluster("slurm", OPTIONS, 1, "127.0.0.1", "127.0.0.1:0", submit=False) as cluster:
        assert cluster.scheduler_address.startswith("tcp://127.0.0.1:")
        whole = cluster.job_script().replace(cluster.scheduler_address, "tcp://SCHEDULER:PORT")
    assert whole.replace("--name dummy-name", "--name worker") == script


@pytest.mark.parametrize("kind", ["slurm", "pbs", "lsf", "sge", "htcondor"])
def test_every_kind_limits_blas_and_passes_options_on(kind):
    options = {"cores": 4, "memory": "4GB", "job_script_prologue": ["module load mine"]}
    if kind == "htcondor":
        options["disk"] = "1GB"
    script = jobs.job_script(kind, options)
    assert "OPENBLAS_NUM_THREADS=1" in script
    assert "NPROC=4" in script
    assert "module load mine" in script
    assert script.index("OPENBLAS") < script.index("distributed.cli.dask_worker")
    assert "--nthreads 1" in script


def test_the_command_prints_the_script(capsys):
    command = "sweep --over seed=1,2 --cluster slurm --print-job-script"
    assert main([*command.split(), "--cluster-options", "memory=4GB", "queue=gpu"]) == 0
    assert "#SBATCH -p gpu" in capsys.readouterr().out


def test_options_of_the_command_line_stay_as_they_are():
    texts = ["queue=1e5", "walltime=02:00:00", "account=0123", "job-name=true", "memory=null"]
    assert jobs.parse_options(texts) == {
        "queue": "1e5",
        "walltime": "02:00:00",
        "account": "0123",
        "job_name": "true",
        "memory": "null",
    }


@given(st.sampled_from(["queue", "account", "project", "resource_spec", "python"]), st.text())
def test_text_is_never_converted(name, value):
    assert jobs.parse_options([f"{name}={value}"]) == {name: value}


def test_what_dask_jobqueue_does_not_take_as_text_is_read():
    texts = [
        "cores=2",
        'job-extra-directives=["--gres=gpu:1"]',
        "job-script-prologue=module load mine",
        "nanny=false",
        'scheduler-options={"port": 8786}',
    ]
    assert jobs.parse_options(texts) == {
        "cores": 2,
        "job_extra_directives": ["--gres=gpu:1"],
        "job_script_prologue": ["module load mine"],
        "nanny": False,
        "scheduler_options": {"port": 8786},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cores=two", "cores: expected an integer, got 'two'"),
        ("cores=true", "cores: expected an integer, got 'true'"),
        ("nanny=1", "nanny: expected true or false, got '1'"),
        ("job-extra-directives=[a", "job_extra_directives: expected JSON, got '\\[a'"),
        ("=gpu", "expected NAME=VALUE such as queue=gpu, got '=gpu'"),
    ],
)
def test_options_of_the_command_line_that_are_wrong(text, message):
    with pytest.raises(ValueError, match=message):
        jobs.parse_options([text])


def test_options_given_twice_are_refused_and_groups_of_them_add_up(capsys):
    with pytest.raises(ValueError, match="cluster_options: queue is given twice"):
        jobs.parse_options(["queue=a", "queue=b"])
    command = "sweep --over seed=1 --cluster slurm --print-job-script --cluster-options memory=4GB"
    assert main([*command.split(), "--cluster-options", "queue=007"]) == 0
    assert "#SBATCH -p 007" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("slurm", {}, "memory: expected the memory of a job"),
        ("slurm", OPTIONS | {"processes": 2}, "processes: expected at most cores = 1, got 2"),
        ("slurm", OPTIONS | {"cue": "gpu"}, "unknown option 'cue'"),
        ("turing", OPTIONS, "cluster: expected one of 'slurm', 'pbs'"),
    ],
)
def test_wrong_options_are_named(kind, options, message):
    with pytest.raises(ValueError, match=message):
        jobs.job_script(kind, options)


def test_jobs_need_an_address(tmp_path):
    with pytest.raises(ValueError, match="host: expected an address of this machine"):
        fl.sweep(
            RunConfig(), {"seed": [1]}, tmp_path / "a", cluster="slurm", cluster_options=OPTIONS
        )


def test_each_worker_has_a_gpu_of_its_own():
    environments = local.worker_environments(None, ["0", "GPU-7"], 16)
    assert [e["CUDA_VISIBLE_DEVICES"] for e in environments] == ["0", "GPU-7"]
    assert {e["NPROC"] for e in environments} == {"8"}
    with pytest.raises(ValueError, match="workers: expected at most 2, got 3"):
        local.worker_environments(3, ["0", "1"], 16)
    plain = local.worker_environments(None, [], 2)
    assert plain == [local.BLAS_LIMITS | {"NPROC": "1"}] * 2


def test_gpus_are_those_that_are_visible(monkeypatch):
    monkeypatch.setattr(local, "_jax_has_cuda", lambda: True)
    assert local.gpus({"CUDA_VISIBLE_DEVICES": "2, MIG-a"}) == ["2", "MIG-a"]
    assert local.gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert local.gpus({"CUDA_VISIBLE_DEVICES": "0", "JAX_PLATFORMS": "cpu"}) == []

    class Listed:
        returncode = 0
        stdout = "GPU 0: A (UUID: a)\nGPU 1: B (UUID: b)\n  MIG 1g.5gb\n"

    monkeypatch.setattr(local.subprocess, "run", lambda *a, **k: Listed)
    assert local.gpus({}) == ["0", "1"]


def test_tls_needs_three_files(tmp_path):
    for name in ("ca", "cert", "key"):
        (tmp_path / name).touch()
    ca, cert, key = (str(tmp_path / name) for name in ("ca", "cert", "key"))
    assert connect.security() is None
    assert connect.security(ca, cert, key).require_encryption
    with pytest.raises(ValueError, match="tls_key: expected a file"):
        connect.security(ca, cert)
    with pytest.raises(FileNotFoundError, match="tls_cert: expected a file in PEM format"):
        connect.security(ca, "nowhere", key)


@pytest.fixture
def batch_system(tmp_path, monkeypatch):
    """``sbatch`` and ``scancel`` that run a job's script here, as Slurm would elsewhere."""
    folder = tmp_path / "bin"
    folder.mkdir()
    sbatch = (
        'cp "$1" "$0.job"\nsetsid bash "$0.job" > "$0.log" 2>&1 &\necho "Submitted batch job $!"\n'
    )
    for name, text in (("sbatch", sbatch), ("scancel", 'kill -- "-$1"\n')):
        (folder / name).write_text(f"#!/bin/bash\n{text}")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder


@pytest.mark.slow
def test_a_sweep_with_jobs_as_workers(batch_system, tmp_path):
    result = fl.sweep(
        SMALL,
        {"seed": [1, 2]},
        tmp_path / "sweep",
        cluster="slurm",
        cluster_options=OPTIONS,
        host="127.0.0.1",
    )
    assert (result.data["status"] == "finished").all()
    assert "export OPENBLAS_NUM_THREADS=1" in (batch_system / "sbatch.job").read_text()
