"""A worker process that all tests share."""

import logging
import os
from pathlib import Path

import pytest
from kill_sweep import keep_compiled

from flossing.sweeps.local import local_cluster


@pytest.fixture(scope="session", autouse=True)
def compiled():
    """Processes of all tests here take compiled functions from each other and from this process."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keep_compiled(Path(os.environ["JAX_COMPILATION_CACHE_DIR"])).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def workers(compiled):
    """A client of a worker process."""
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        local_cluster(1, 1, "127.0.0.1", "127.0.0.1:0", None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
