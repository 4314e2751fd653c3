"""Clients of Dask schedulers: encryption, and errors that say what to do."""

from typing import Any

from distributed import Client, Security


def security(
    ca_file: str | None = None, cert: str | None = None, key: str | None = None
) -> Security | None:
    """TLS from files, for client, workers and scheduler; ``None`` when nothing is given.

    Raises:
        ValueError: some of the three are given and others not. FileNotFoundError: one is not there.
    """
    from pathlib import Path

    given = {"tls_ca_file": ca_file, "tls_cert": cert, "tls_key": key}
    if not any(given.values()):
        return None
    for name, path in given.items():
        if not path:
            raise ValueError(
                f"{name}: expected a file, because TLS needs all of {', '.join(given)}."
            )
        if not Path(path).is_file():
            raise FileNotFoundError(f"{name}: expected a file in PEM format, found none at {path}.")
    roles = ("client", "worker", "scheduler")
    pairs = {
        f"tls_{role}_{kind}": given[f"tls_{kind}"] for role in roles for kind in ("cert", "key")
    }
    return Security(tls_ca_file=ca_file, require_encryption=True, **pairs)


def connect(address: str, tls: Security | None = None, timeout: float = 10.0) -> Client:
    """A client of the scheduler at an address.

    Raises:
        ConnectionError: nobody answers there, or not in the way that was asked for.
    """
    options: dict[str, Any] = {} if tls is None else {"security": tls}
    try:
        return Client(address, timeout=timeout, set_as_default=False, **options)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        hint = "; it is encrypted: give the three --tls options" if "tls" in address[:3] else ""
        raise ConnectionError(
            f"scheduler: cannot connect to {address} ({error}); expected the address of a running Dask "
            f"scheduler, such as tcp://host:8786{hint if tls is None else ''}."
        ) from None
