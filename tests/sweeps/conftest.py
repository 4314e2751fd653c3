"""A worker process that all tests share."""

import logging

import pytest
from kill_sweep import keep_compiled

from flossing.sweeps.local import local_cluster


@pytest.fixture(scope="session", autouse=True)
def compiled(tmp_path_factory):
    """Processes of all tests here take compiled functions from each other."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in keep_compiled(tmp_path_factory.mktemp("compiled")).items():
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
