"""What flossing runs on, as text for reports of faults and as a record of runs."""

import platform
from importlib import metadata

import jax

import flossing as fl
from flossing import _environment
from flossing.runs.directory import environment


def _lines() -> dict[str, str]:
    return dict(line.split(": ", 1) for line in fl.describe_environment().splitlines())


def test_versions_are_those_that_are_installed():
    packages = dict(pair.split() for pair in _lines()["packages"].split(", "))
    assert packages["jax"] == jax.__version__
    assert packages["flossing"] == fl.__version__
    for name, number in packages.items():
        assert number == metadata.version(name)
    assert {"jaxlib", "equinox", "optax"} <= packages.keys()


def test_packages_that_are_not_installed_are_left_out(monkeypatch):
    def version(name):
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(_environment.metadata, "version", version)
    packages = _lines()["packages"]
    assert "torch" not in packages
    assert "flax 1.2.3" in packages


def test_python_system_and_devices_are_told():
    lines = _lines()
    assert lines["python"].startswith(f"{platform.python_version()}, {platform.platform()}, ")
    assert lines["devices"].startswith(f"{jax.device_count()} x cpu: ")


def test_double_precision_is_told(x64):
    assert _lines()["x64"] == "True"
    with jax.enable_x64(False):
        assert _lines()["x64"] == "False"


def test_a_platform_that_cannot_be_had_is_told_and_nothing_raises(monkeypatch):
    def devices():
        raise RuntimeError("Unable to initialize backend 'tpu'")

    monkeypatch.setattr(jax, "devices", devices)
    assert _lines()["devices"] == "none (Unable to initialize backend 'tpu')"


def test_runs_keep_the_same():
    content = environment()
    lines = _lines()
    assert content["python"] in lines["python"]
    assert str(content["x64"]) == lines["x64"]
    for name, number in content["versions"].items():
        assert f"{name} {number}" in lines["packages"]
