"""What flossing runs on: versions, system, devices."""

import contextlib
import platform
from importlib import metadata

import jax

from ._system import cores

CORE = ("flossing", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy", "xarray")
_OTHERS = ("jaxtyping", "torch", "flax", "distributed")


def versions(names: tuple[str, ...] = CORE) -> dict[str, str]:
    """Versions of packages by name; those that are not installed are left out. Nothing is imported."""
    installed = {}
    for name in names:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return installed


def devices() -> list[str]:
    """Devices that JAX sees, each as ``platform: kind``. JAX is started if it was not."""
    return [f"{device.platform}: {device.device_kind}" for device in jax.devices()]


def x64() -> bool:
    """Whether JAX works in double precision."""
    return bool(jax.config.read("jax_enable_x64"))


def describe_environment() -> str:
    """What flossing runs on, as text to paste into a report of a fault.

    Returns:
        Four lines: Python and the system, versions of flossing and what it stands on, devices, and whether
        JAX works in double precision. Packages that are not installed are left out. The text names no
        file, user or machine.

    Example:
        ``python -c "import flossing as fl; print(fl.describe_environment())"`` in a shell.
    """
    try:
        seen = devices()
        kinds = {kind: seen.count(kind) for kind in seen}
        shown = ", ".join(f"{count} x {kind}" for kind, count in kinds.items())
    except RuntimeError as error:  # a platform that was asked for and cannot be had
        shown = f"none ({error})"
    packages = versions((*CORE, *_OTHERS))
    return "\n".join(
        [
            f"python: {platform.python_version()}, {platform.platform()}, {cores()} cores",
            "packages: " + ", ".join(f"{name} {number}" for name, number in packages.items()),
            f"devices: {shown}",
            f"x64: {x64()}",
        ]
    )
