"""Worker processes that all tests share."""

import logging

import pytest

from flossing.sweeps.local import local_cluster


@pytest.fixture(scope="session")
def workers():
    """A client of two worker processes."""
    from distributed import Client

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with (
        local_cluster(2, 2, "127.0.0.1", "127.0.0.1:0", None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client
